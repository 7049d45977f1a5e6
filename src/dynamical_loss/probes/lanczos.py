"""Symmetric Lanczos through matfree: Ritz pairs with their residuals, and spectral densities.

Operators are given by their action on a vector.  Everything is pure and can be jitted; `order`,
`dimension` and `probes` are static.  Matrix products run at full precision whatever the caller's
setting, because the TF32 default of some accelerators would leave three digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matfree import decomp

MatVec = Callable[[jax.Array], jax.Array]

# In units of the machine epsilon.  Full reorthogonalisation leaves a few units; past this many a
# vector is the rounding noise of an exhausted Krylov space.
_ORTHOGONALITY_LOSS = 1e3


class Ritz(NamedTuple):
    """Eigenvalue estimates of a symmetric operator from a subspace.

    Attributes:
        value: Ritz values, descending, (order,); units of the operator.
        basis: orthonormal basis of the subspace, (dimension, order); its first column is ± the
            start vector.
        coefficient: orthonormal, (order, order); column k holds the k-th Ritz vector in that basis.
    """

    value: jax.Array
    basis: jax.Array
    coefficient: jax.Array

    def vector(self, index: tuple[int, ...]) -> jax.Array:
        """The Ritz vectors of those ranks (0 = largest, −1 = smallest), (dimension, len(index))."""
        with jax.default_matmul_precision("highest"):
            return self.basis @ self.coefficient[:, jnp.asarray(index)]


class Quadrature(NamedTuple):
    """Gauss quadrature of a spectral density, one rule a probe vector.

    Attributes:
        node: eigenvalue estimates, descending, (probe, order); units of the operator.
        weight: share of the spectrum at each node, (probe, order); every row sums to 1.
    """

    node: jax.Array
    weight: jax.Array


def clipped_order(order: int, dimension: int) -> int:
    """The number of Lanczos steps that make sense in that dimension: min(order, dimension).

    Raises:
        ValueError: if either is not positive.
    """
    if order < 1 or dimension < 1:
        raise ValueError(f"order and dimension must be positive, got {order} and {dimension}")
    return min(order, dimension)


def check_modes(modes: int, order: int, dimension: int) -> None:
    """Check that a Lanczos run of that order can give that many modes.

    Raises:
        ValueError: if it cannot, or if `modes`, `order` or `dimension` is not positive.
    """
    available = clipped_order(order, dimension)
    if not 1 <= modes <= available:
        raise ValueError(
            f"modes must lie between 1 and {available} (order {order}, dimension {dimension}), got {modes}"
        )


def lanczos(matvec: MatVec, *, dimension: int, order: int, key: jax.Array, dtype: Any = None) -> Ritz:
    """Ritz pairs of a symmetric operator from one Lanczos run with full reorthogonalisation.

    A Krylov space holds one vector of each eigenspace at most, so a repeated eigenvalue is found once.
    When the space is exhausted before `order` steps (a start vector in an invariant subspace, an
    operator of low rank, zero), the basis is completed with random vectors and the operator is
    projected on the whole of it: the values stay finite and, in a full basis, exact; between the two
    the residuals say what they are worth.  An operator that returns NaN gives NaN.

    Args:
        matvec: v -> A v for symmetric A, (dimension,) -> (dimension,).
        dimension: of the operator.
        order: number of Lanczos steps; clipped to `dimension`.
        key: random key of the start vector, drawn from a standard normal.
        dtype: floating type of the vectors; JAX's default if not given.

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
        # Probes are never differentiated: without the custom gradient matfree also allows jvp.
        run = decomp.tridiag_sym(steps, reortho="full", materialize=True, custom_vjp=False)
        result = run(matvec, start)
        basis, projected = _completed(matvec, result.Q_tall.T, result.J_small, completion_key)
        value, coefficient = jnp.linalg.eigh(projected)
    return Ritz(value[::-1], basis, coefficient[:, ::-1])


def residual_norm(matvec: MatVec, value: jax.Array, vector: jax.Array) -> jax.Array:
    """|A v − θ v| of given unit vectors: θ is within that distance of an eigenvalue of A.

    Computed from the operator itself, not from the Lanczos recurrence, which would not see rounding.

    Args:
        matvec: v -> A v for symmetric A, (dimension,) -> (dimension,).
        value: θ, (mode,).
        vector: v, in columns, (dimension, mode).

    Returns:
        (mode,), in the units of the operator.
    """
    with jax.default_matmul_precision("highest"):
        image = jax.lax.map(matvec, vector.T)
    norm: jax.Array = jnp.linalg.norm(image - value[:, None] * vector.T, axis=1)
    return norm


def stochastic_lanczos_quadrature(
    matvec: MatVec, *, dimension: int, order: int, probes: int, key: jax.Array, dtype: Any = None
) -> Quadrature:
    """Spectral density of a symmetric operator, sampled with random probe vectors.

    Averaged over probes, Σ_k weight_k f(node_k) is an unbiased estimate of tr f(A) / dimension for
    polynomials f of degree below 2·order.

    Args:
        matvec: v -> A v for symmetric A, (dimension,) -> (dimension,).
        dimension: of the operator.
        order: Lanczos steps a probe; clipped to `dimension`.
        probes: number of probe vectors.
        key: random key of the probe vectors.
        dtype: floating type of the vectors; JAX's default if not given.

    Returns:
        `Quadrature` with arrays (probes, min(order, dimension)).

    Raises:
        ValueError: if `order`, `dimension` or `probes` is not positive.
    """
    if probes < 1:
        raise ValueError(f"probes must be positive, got {probes}")

    def one(probe_key: jax.Array) -> Quadrature:
        ritz = lanczos(matvec, dimension=dimension, order=order, key=probe_key, dtype=dtype)
        # The squared overlap of each Ritz vector with the start vector, the basis' first.
        return Quadrature(ritz.value, ritz.coefficient[0] ** 2)

    # One after the other: a batch would evaluate both branches of the breakdown test every time.
    quadrature: Quadrature = jax.lax.map(one, jax.random.split(key, probes))
    return quadrature


def _completed(
    matvec: MatVec, basis: jax.Array, tridiagonal: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """An orthonormal basis and the operator projected on it, where Lanczos may have broken down.

    At a breakdown the next vector is 0/0 or normalised rounding noise, and nothing after it is worth
    keeping.  The size of the off-diagonals does not tell (noise need not be orthogonal to what came
    before), the orthonormality of the basis does, and is all the projection needs to be right.
    """
    gram = basis.T @ basis
    error = jnp.max(jnp.abs(jnp.tril(gram - jnp.eye(gram.shape[0], dtype=gram.dtype))), axis=1)
    # A comparison with NaN is false, as it should be here.
    sound = error <= _ORTHOGONALITY_LOSS * np.finfo(gram.dtype).eps
    kept = jnp.cumprod(sound).astype(bool)

    def keep() -> tuple[jax.Array, jax.Array]:
        return basis, tridiagonal

    def complete() -> tuple[jax.Array, jax.Array]:
        random = jax.random.normal(key, basis.shape, basis.dtype)
        # Householder QR returns columns that are already orthonormal up to their sign.
        full, _ = jnp.linalg.qr(jnp.where(kept, basis, random))
        projected = full.T @ jax.lax.map(matvec, full.T).T
        return full, 0.5 * (projected + projected.T)

    chosen: tuple[jax.Array, jax.Array] = jax.lax.cond(jnp.all(kept), keep, complete)
    return chosen
