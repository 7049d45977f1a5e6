"""Spectrum of the finite-width neural tangent kernel Θ = J Jᵀ (Fig. 4f, section III.4).

J is the Jacobian of all outputs with respect to all parameters, (sample · class_index, parameter).
Under gradient descent on the squared error the residual evolves as g ← g − (η/N) Θ g, so a mode of
eigenvalue λ is smooth for ηλ/N < 1 and unstable for ηλ/N > 2, N being the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dynamical_loss.probes._neural_tangents import (
    JACOBIAN_CONTRACTION,
    empirical_ntk_fn,
    empirical_ntk_vp_fn,
)
from dynamical_loss.probes.lanczos import check_modes, lanczos, residual_norm

Apply = Callable[[Any, jax.Array], jax.Array]


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
