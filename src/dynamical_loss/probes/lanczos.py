"""Symmetric Lanczos with matfree: Ritz pairs with their residuals, and spectral densities.

An operator is given as a function that applies it to a vector.  All functions are pure and can be compiled
with ``jax.jit``; `order`, `dimension` and `probes` are static.  Matrix products run at full precision,
whatever the caller's setting, because the TF32 default of some accelerators would leave only three digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from matfree import decomp

MatVec = Callable[[Float[Array, " dimension"]], Float[Array, " dimension"]]
"""v → A v for a symmetric operator A, (dimension,) → (dimension,)."""

# Loss of orthogonality in units of the machine epsilon.  Full reorthogonalisation leaves a few units.  A
# vector that exceeds this limit is the rounding noise of an exhausted Krylov space.
_ORTHOGONALITY_LOSS = 1e3


class Ritz(NamedTuple):
    """Eigenvalue estimates of a symmetric operator from a subspace.

    Attributes:
        value: Ritz values, descending, in units of the operator, (order,).
        basis: orthonormal basis of the subspace, (dimension, order); the first column is the normalised start
            vector up to its sign.
        coefficient: orthonormal matrix whose column k holds the coefficients of the k-th Ritz vector in that
            basis, (order, order).
    """

    value: Float[Array, " order"]
    basis: Float[Array, "dimension order"]
    coefficient: Float[Array, "order order"]

    def vector(self, index: tuple[int, ...]) -> Float[Array, "dimension {len(index)}"]:
        """Return the Ritz vectors of the given ranks in columns, (dimension, rank).

        Args:
            index: ranks of the Ritz values: 0 for the largest, −1 for the smallest.
        """
        with jax.default_matmul_precision("highest"):
            return self.basis @ self.coefficient[:, jnp.asarray(index)]


class Quadrature(NamedTuple):
    """Gauss quadrature of a spectral density, with one rule for each probe vector.

    Attributes:
        node: eigenvalue estimates, descending, in units of the operator, (probe, order).
        weight: share of the spectrum at each node, (probe, order); every row sums to 1.
    """

    node: Float[Array, "*probe order"]
    weight: Float[Array, "*probe order"]


def clipped_order(order: int, dimension: int) -> int:
    """Return the number of Lanczos steps that are possible in the given dimension, min(order, dimension).

    Raises:
        ValueError: if either is not positive.
    """
    if order < 1 or dimension < 1:
        raise ValueError(f"order and dimension must be positive, got {order} and {dimension}")
    return min(order, dimension)


def check_modes(modes: int, order: int, dimension: int) -> None:
    """Check that a Lanczos run of the given order can give the given number of modes.

    Raises:
        ValueError: if the run gives fewer modes, or if `modes`, `order` or `dimension` is not positive.
    """
    available = clipped_order(order, dimension)
    if not 1 <= modes <= available:
        raise ValueError(
            f"modes must lie between 1 and {available} (order {order}, dimension {dimension}), got {modes}"
        )


def lanczos(matvec: MatVec, *, dimension: int, order: int, key: PRNGKeyArray, dtype: Any = None) -> Ritz:
    """Compute Ritz pairs of a symmetric operator by one Lanczos run with full reorthogonalisation.

    A Krylov space holds at most one vector of each eigenspace, so a repeated eigenvalue is found once.  The
    space may be exhausted before `order` steps: if the start vector lies in an invariant subspace, or if the
    operator has a low rank or is zero.  Then the basis is completed with random vectors, and the operator is
    projected on the completed basis.  The Ritz values stay finite, and in a full basis they are exact.  In a
    smaller basis the residuals tell how accurate the Ritz values are.  An operator that returns NaN gives
    NaN.

    Args:
        matvec: v -> A v for symmetric A, (dimension,) -> (dimension,).
        dimension: dimension of the operator.
        order: number of Lanczos steps; clipped to `dimension`.
        key: random key of the start vector, drawn from a standard normal.
        dtype: floating type of the vectors; None uses JAX's default.

    Returns:
        `Ritz` with min(order, dimension) pairs.

    Raises:
        ValueError: if `order` or `dimension` is not positive.
    """
    steps = clipped_order(order, dimension)
    start_key, completion_key = jax.random.split(key)
    dtype = jnp.result_type(float) if dtype is None else dtype
    start = jax.random.normal(start_key, (dimension,), dtype)
    with jax.default_matmul_precision("highest"):
        # Nothing differentiates a Lanczos run in reverse mode, and matfree's custom gradient forbids jvp.
        run = decomp.tridiag_sym(steps, reortho="full", materialize=True, custom_vjp=False)
        result = run(matvec, start)
        basis, projected = _completed(matvec, result.Q_tall.T, result.J_small, completion_key)
        value, coefficient = jnp.linalg.eigh(projected)
    return Ritz(value[::-1], basis, coefficient[:, ::-1])


def residual_norm(
    matvec: MatVec, value: Float[Array, " mode"], vector: Float[Array, "dimension mode"]
) -> Float[Array, " mode"]:
    """Compute the residuals |A v − θ v| of unit vectors v, bounds of the distance of θ to an eigenvalue.

    A residual is computed from the operator itself.  The Lanczos recurrence would give a residual without
    the effect of rounding.

    Args:
        matvec: v -> A v for symmetric A, (dimension,) -> (dimension,).
        value: Ritz values θ, (mode,).
        vector: unit vectors v in columns, (dimension, mode).

    Returns:
        residuals in the units of the operator, (mode,).
    """
    with jax.default_matmul_precision("highest"):
        image = jax.lax.map(matvec, vector.T)
    norm: jax.Array = jnp.linalg.norm(image - value[:, None] * vector.T, axis=1)
    return norm


def stochastic_lanczos_quadrature(
    matvec: MatVec, *, dimension: int, order: int, probes: int, key: PRNGKeyArray, dtype: Any = None
) -> Quadrature:
    """Estimate the spectral density of a symmetric operator with random probe vectors.

    The average of Σ_k weight_k f(node_k) over probes is an unbiased estimate of tr f(A) / dimension for
    polynomials f of degree below 2·order.

    Args:
        matvec: v -> A v for symmetric A, (dimension,) -> (dimension,).
        dimension: dimension of the operator.
        order: number of Lanczos steps for each probe vector; clipped to `dimension`.
        probes: number of probe vectors.
        key: random key of the probe vectors.
        dtype: floating type of the vectors; None uses JAX's default.

    Returns:
        `Quadrature` with arrays (probe, order), where order is min(order, dimension).

    Raises:
        ValueError: if `order`, `dimension` or `probes` is not positive.
    """
    if probes < 1:
        raise ValueError(f"probes must be positive, got {probes}")

    def one(probe_key: PRNGKeyArray) -> Quadrature:
        ritz = lanczos(matvec, dimension=dimension, order=order, key=probe_key, dtype=dtype)
        # The weight is the squared overlap of the Ritz vector with the start vector, the first of the basis.
        return Quadrature(ritz.value, ritz.coefficient[0] ** 2)

    # One probe after another: `vmap` would evaluate both branches of the breakdown test for every probe.
    quadrature: Quadrature = jax.lax.map(one, jax.random.split(key, probes))
    return quadrature


def _completed(
    matvec: MatVec,
    basis: Float[Array, "dimension order"],
    tridiagonal: Float[Array, "order order"],
    key: PRNGKeyArray,
) -> tuple[Float[Array, "dimension order"], Float[Array, "order order"]]:
    """Return an orthonormal basis and the operator projected on it, also after a breakdown of Lanczos.

    At a breakdown the next vector is 0/0 or normalised rounding noise, and that vector and all later ones are
    useless.  The size of the off-diagonal entries does not reveal a breakdown, because noise need not be
    orthogonal to the vectors before.  The orthonormality of the basis reveals it, and the projection needs no
    other property.
    """
    gram = basis.T @ basis
    error = jnp.max(jnp.abs(jnp.tril(gram - jnp.eye(gram.shape[0], dtype=gram.dtype))), axis=1)
    # A comparison with NaN is false, so vectors of NaN count as broken down.
    sound = error <= _ORTHOGONALITY_LOSS * np.finfo(gram.dtype).eps
    kept = jnp.cumprod(sound).astype(bool)

    def keep() -> tuple[Float[Array, "dimension order"], Float[Array, "order order"]]:
        return basis, tridiagonal

    def complete() -> tuple[Float[Array, "dimension order"], Float[Array, "order order"]]:
        random = jax.random.normal(key, basis.shape, basis.dtype)
        # Householder QR returns columns that are already orthonormal up to their sign.
        full, _ = jnp.linalg.qr(jnp.where(kept, basis, random))
        projected = full.T @ jax.lax.map(matvec, full.T).T
        return full, 0.5 * (projected + projected.T)

    chosen: tuple[jax.Array, jax.Array] = jax.lax.cond(jnp.all(kept), keep, complete)
    return chosen
