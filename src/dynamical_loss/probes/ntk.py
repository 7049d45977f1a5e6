"""Spectrum of the finite-width neural tangent kernel Θ = J Jᵀ (Fig. 4f, section III.4).

J is the Jacobian of all outputs with respect to all parameters, (sample · class_index, parameter).  Under
gradient descent on the squared error of N samples the residual changes as g ← g − (η/N) Θ g.  A mode with the
eigenvalue λ is therefore smooth if ηλ/N < 1 and unstable if ηλ/N > 2.
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
from jaxtyping import Array, Float, Num, PRNGKeyArray

from dynamical_loss.arrays import AnyArray
from dynamical_loss.probes._neural_tangents import empirical_ntk_fn, empirical_ntk_vp_fn
from dynamical_loss.probes.lanczos import check_modes, lanczos, residual_norm

Apply = Callable[[Any, Num[Array, "sample ..."]], Float[Array, "sample class_index"]]
"""(parameters, inputs) → outputs, (sample, class_index)."""

# Size of a block of Jacobian rows: large enough for fast products, and two blocks fit into any memory.
_BLOCK_BYTES = 2**28


class NtkSpectrum(NamedTuple):
    """The largest eigenvalues of a kernel, in units of output squared over parameter squared.

    Attributes:
        eigenvalue: the largest eigenvalues, descending, (mode,).  Fig. 4f shows the first.
        residual: |Θ v − λ v| of each eigenvalue, (mode,); an eigenvalue of Θ lies within this distance of λ.
    """

    eigenvalue: Float[Array, " mode"]
    residual: Float[Array, " mode"]


def ntk_top_eigenpairs(
    apply: Apply,
    parameters: Any,
    inputs: Num[AnyArray, "sample ..."],
    *,
    modes: int,
    order: int,
    key: PRNGKeyArray,
) -> tuple[NtkSpectrum, Float[Array, "row {modes}"]]:
    """Compute the largest eigenvalues of the full (sample · class_index)² kernel, matrix-free (Fig. 4f).

    The kernel is neither traced over the logits nor normalised.  Its eigenvalues are those of J Jᵀ and, apart
    from zeros, those of JᵀJ.

    Args:
        apply: (parameters, inputs) -> outputs, (sample, class_index).
        parameters: any pytree of arrays.
        inputs: inputs of the network, (sample, ...).
        modes: number of eigenvalues.
        order: number of Lanczos steps, clipped to sample · class_index.
        key: random key of the start vector.

    Returns:
        `NtkSpectrum`, and the eigenvectors in columns, (sample · class_index, mode).  Parameters that are not
        finite give NaN.

    Raises:
        ValueError: if `modes` exceeds what `order` steps can give.
        UserError: if neural-tangents is not installed.
    """
    outputs = jax.eval_shape(apply, parameters, inputs)
    dimension = math.prod(outputs.shape)
    check_modes(modes, order, dimension)
    product = empirical_ntk_vp_fn(apply, inputs, None, parameters)

    def matvec(vector: Float[Array, " row"]) -> Float[Array, " row"]:
        return product(vector.reshape(outputs.shape)).reshape(-1)

    ritz = lanczos(matvec, dimension=dimension, order=order, key=key, dtype=outputs.dtype)
    value, vectors = ritz.value[:modes], ritz.vector(tuple(range(modes)))
    return NtkSpectrum(value, residual_norm(matvec, value, vectors)), vectors


@functools.partial(jax.jit, static_argnames="apply")
def _jacobian_rows(
    apply: Apply, parameters: Any, inputs: Num[Array, "sample ..."]
) -> list[Float[Array, "row _"]]:
    """Return the rows of J for some samples, (sample · class_index, entry), for each array of parameters."""

    def of_one(sample: jax.Array) -> Any:
        return jax.jacrev(lambda parameters: apply(parameters, sample[None])[0])(parameters)

    leaves = jax.tree.leaves(jax.vmap(of_one)(inputs))
    return [leaf.reshape(leaf.shape[0] * leaf.shape[1], -1) for leaf in leaves]


@jax.jit
def _products(
    left: list[Float[Array, "row _"]], right: list[Float[Array, "column _"]]
) -> Float[Array, "row column"]:
    """Return the sum of L Rᵀ over the arrays of parameters."""
    return jnp.asarray(sum(one @ other.T for one, other in zip(left, right, strict=True)))


def gram(
    apply: Apply,
    parameters: Any,
    first: Num[AnyArray, "first_sample ..."],
    second: Num[AnyArray, "second_sample ..."],
    *,
    block_bytes: int = _BLOCK_BYTES,
) -> Float[npt.NDArray[Any], "row column"]:
    """Compute the dense kernel Θ = J Jᵀ between two sets of samples from blocks of rows of J.

    Args:
        apply: (parameters, inputs) -> outputs, (sample, class_index).  The outputs of a sample must not
            depend on the other samples.  The function is compiled once for each shape of the inputs.
        parameters: any pytree of arrays, all of one precision.
        first: inputs of the samples of the rows, (sample, ...).
        second: inputs of the samples of the columns, (sample, ...).  If this is the same object as `first`,
            only half of the products are computed, because the kernel is symmetric.
        block_bytes: size of a block of J in bytes, rounded to whole samples; two blocks are in memory at a
            time.

    Returns:
        the kernel, (first.sample · class_index, second.sample · class_index), in units of output squared over
        parameter squared.
    """
    classes = jax.eval_shape(apply, parameters, first[:1]).shape[1]
    numbers = classes * sum(leaf.size for leaf in jax.tree.leaves(parameters))
    size = max(1, block_bytes // (numbers * jax.tree.leaves(parameters)[0].dtype.itemsize))
    found = np.empty((len(first) * classes, len(second) * classes), first.dtype)

    def blocks(
        samples: Num[AnyArray, "sample ..."], start: int
    ) -> Iterator[tuple[slice, list[Float[Array, "row _"]]]]:
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


def kernel_change(apply: Apply, before: Any, after: Any, inputs: Num[AnyArray, "sample ..."]) -> float:
    """Compute ‖Θ − Θ₀‖ / ‖Θ₀‖ in the Frobenius norm, where the kernel Θ is over all samples and classes.

    Args:
        apply: see `gram`.
        before: parameters of Θ₀, a pytree of arrays.
        after: parameters of Θ, a pytree of arrays.
        inputs: inputs of the network, (sample, ...).
    """
    start, end = (gram(apply, parameters, inputs, inputs) for parameters in (before, after))
    return float(np.linalg.norm(end - start) / np.linalg.norm(start))


def notebook_ntk_eigenvalues(
    apply: Apply, parameters: Any, inputs: Num[AnyArray, "sample ..."], *, samples: int = 50, modes: int
) -> Float[Array, " {modes}"]:
    """Compute the eigenvalues of the authors' notebook: a dense kernel of few samples, averaged over logits.

    The kernel is K_ij = (1/C) Σ_c Σ_p (∂f_ic/∂p)(∂f_jc/∂p), where C is the number of classes.
    neural-tangents *averages* over the traced axis, whereas a trace is a sum.  The spiral's samples are
    sorted by class, so the first 50 samples all belong to the first class.

    Args:
        apply: (parameters, inputs) -> outputs, (sample, class_index).
        parameters: any pytree of arrays.
        inputs: inputs of the network, (sample, ...).
        samples: number of samples that are used, from the first on; if there are fewer, all are used.
        modes: number of eigenvalues.

    Returns:
        the largest eigenvalues, descending, (mode,), in units of output squared over parameter squared.

    Raises:
        ValueError: if `modes` is not between 1 and the number of samples used.
        UserError: if neural-tangents is not installed.
    """
    used = inputs[:samples]
    if not 1 <= modes <= used.shape[0]:
        raise ValueError(f"modes must lie between 1 and {used.shape[0]} samples, got {modes}")
    kernel_fn = empirical_ntk_fn(apply, trace_axes=(-1,))
    with jax.default_matmul_precision("highest"):
        value: jax.Array = jnp.linalg.eigvalsh(kernel_fn(used, None, parameters))
    return value[::-1][:modes]
