"""Spectrum of the finite-width neural tangent kernel Θ = J Jᵀ (Fig. 4f, section III.4).

J is the Jacobian of all outputs with respect to all parameters, (sample · class_index, parameter).
Under gradient descent on the squared error the residual evolves as g ← g − (η/N) Θ g, so a mode of
eigenvalue λ is smooth for ηλ/N < 1 and unstable for ηλ/N > 2, N being the number of samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from dynamical_loss.probes._neural_tangents import (
    JACOBIAN_CONTRACTION,
    empirical_ntk_fn,
    empirical_ntk_vp_fn,
)
from dynamical_loss.probes.lanczos import check_modes, lanczos, residual_norm

Apply = Callable[[Any, jax.Array], jax.Array]

_BLOCK_BYTES = 2**28  # of Jacobian rows at a time: enough for fast products, and two such blocks fit anywhere


class NtkSpectrum(NamedTuple):
    """The top of a kernel's spectrum, in units of output squared over parameter squared.

    Attributes:
        eigenvalue: the largest eigenvalues, descending, (modes,).  Fig. 4f shows the first.
        residual: |Θ v − λ v| of each, (modes,): the distance to a true eigenvalue is at most that.
    """

    eigenvalue: jax.Array
    residual: jax.Array


def ntk_top_eigenpairs(
    apply: Apply,
    parameters: Any,
    inputs: jax.Array,
    *,
    modes: int,
    order: int,
    key: jax.Array,
) -> tuple[NtkSpectrum, jax.Array]:
    """The largest eigenvalues of the full (sample · class_index)² kernel, never formed (Fig. 4f).

    No trace over logits and no normalisation: these are the eigenvalues of J Jᵀ, and of JᵀJ.

    Args:
        apply: (parameters, inputs) -> outputs, (sample, class_index).
        parameters: any pytree of arrays.
        inputs: (sample, ...).
        modes: how many eigenvalues.
        order: Lanczos steps, clipped to sample · class_index.
        key: random key of the start vector.

    Returns:
        `NtkSpectrum`, and the eigenvectors in columns, (sample · class_index, mode).  Parameters that are not
        finite give NaN.

    Raises:
        ValueError: if `modes` exceeds what `order` steps can give.
    """
    outputs = jax.eval_shape(apply, parameters, inputs)
    dimension = math.prod(outputs.shape)
    check_modes(modes, order, dimension)
    product = empirical_ntk_vp_fn(apply, inputs, None, parameters)

    def matvec(vector: jax.Array) -> jax.Array:
        return product(vector.reshape(outputs.shape)).reshape(-1)

    ritz = lanczos(matvec, dimension=dimension, order=order, key=key, dtype=outputs.dtype)
    value, vectors = ritz.value[:modes], ritz.vector(tuple(range(modes)))
    return NtkSpectrum(value, residual_norm(matvec, value, vectors)), vectors


@functools.partial(jax.jit, static_argnames="apply")
def _jacobian_rows(apply: Apply, parameters: Any, inputs: jax.Array) -> list[jax.Array]:
    """J of some samples, (sample · class_index, …) for each array of parameters."""

    def of_one(sample: jax.Array) -> Any:
        return jax.jacrev(lambda parameters: apply(parameters, sample[None])[0])(parameters)

    leaves = jax.tree.leaves(jax.vmap(of_one)(inputs))
    return [leaf.reshape(leaf.shape[0] * leaf.shape[1], -1) for leaf in leaves]


@jax.jit
def _products(left: list[jax.Array], right: list[jax.Array]) -> jax.Array:
    """The sum of L Rᵀ over the arrays of parameters."""
    return jnp.asarray(sum(one @ other.T for one, other in zip(left, right, strict=True)))


def gram(
    apply: Apply, parameters: Any, first: jax.Array, second: jax.Array, *, block_bytes: int = _BLOCK_BYTES
) -> npt.NDArray[Any]:
    """The kernel Θ = J Jᵀ between two sets of samples, formed densely from blocks of rows of J.

    Args:
        apply: (parameters, inputs) -> outputs, (sample, class_index); those of a sample must not depend on
            the other samples.  Compiled once for each function and shape.
        parameters: any pytree of arrays, of one precision.
        first: (sample, ...).
        second: (sample, ...); where it is `first` itself, half of the work is left out.
        block_bytes: of J that are held twice at a time, rounded to whole samples.

    Returns:
        (first.sample · class_index, second.sample · class_index), in units of output squared over parameter
        squared.
    """
    classes = jax.eval_shape(apply, parameters, first[:1]).shape[1]
    numbers = classes * sum(leaf.size for leaf in jax.tree.leaves(parameters))
    size = max(1, block_bytes // (numbers * jax.tree.leaves(parameters)[0].dtype.itemsize))
    found = np.empty((len(first) * classes, len(second) * classes), first.dtype)

    def blocks(samples: jax.Array, start: int) -> Iterator[tuple[slice, list[jax.Array]]]:
        for place in range(start, len(samples), size):
            rows = _jacobian_rows(apply, parameters, samples[place : place + size])
            yield slice(place * classes, (place + size) * classes), rows

    with jax.default_matmul_precision("highest"):
        for start, (here, left) in zip(range(0, len(first), size), blocks(first, 0), strict=True):
            if second is first:
                found[here, here] = _products(left, left)
            for there, right in blocks(second, start + size if second is first else 0):
                found[here, there] = _products(left, right)
                if second is first:
                    found[there, here] = found[here, there].T
    return found


def kernel_change(apply: Apply, before: Any, after: Any, inputs: jax.Array) -> float:
    """‖Θ − Θ₀‖ / ‖Θ₀‖ in the Frobenius norm, with Θ over all samples and classes.

    Args:
        apply: see `gram`.
        before: parameters of Θ₀, a pytree of arrays.
        after: those of Θ.
        inputs: (sample, ...).
    """
    start, end = (gram(apply, parameters, inputs, inputs) for parameters in (before, after))
    return float(np.linalg.norm(end - start) / np.linalg.norm(start))


def notebook_ntk_eigenvalues(
    apply: Apply, parameters: Any, inputs: jax.Array, *, samples: int = 50, modes: int
) -> jax.Array:
    """The variant in the authors' notebook: few samples, logits traced out, formed densely.

    The kernel is K_ij = (1/C) Σ_c Σ_p (∂f_ic/∂p)(∂f_jc/∂p), with C the number of classes:
    neural-tangents *averages* over the traced axis, where the trace proper would sum.  The spiral's
    samples are sorted by class, so the first 50 belong to the first class alone.

    Args:
        apply: (parameters, inputs) -> outputs, (sample, class_index).
        parameters: any pytree of arrays.
        inputs: (sample, ...).
        samples: how many of the first samples to use; fewer if there are fewer.
        modes: how many eigenvalues.

    Returns:
        the largest eigenvalues, descending, (modes,), in units of output squared over parameter
        squared.

    Raises:
        ValueError: if `modes` is not between 1 and the number of samples used.
    """
    used = inputs[:samples]
    if not 1 <= modes <= used.shape[0]:
        raise ValueError(f"modes must lie between 1 and {used.shape[0]} samples, got {modes}")
    kernel_fn = empirical_ntk_fn(apply, trace_axes=(-1,), implementation=JACOBIAN_CONTRACTION)
    with jax.default_matmul_precision("highest"):
        value: jax.Array = jnp.linalg.eigvalsh(kernel_fn(used, None, parameters))
    return value[::-1][:modes]
