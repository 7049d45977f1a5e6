"""f(H)g from products with H alone, for a Hessian that may be complex symmetric."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

MatVec = Callable[[jax.Array], jax.Array]
Function = Callable[[jax.Array], jax.Array]

_LOST = 1e-10  # of a product's length: what is left of it beside the vectors before is rounding


def function_times_vector(function: Function, product: MatVec, vector: jax.Array, order: int) -> jax.Array:
    """f(H) v by an Arnoldi run with v as its start.

    A Hessian at complex parameters is symmetric and not Hermitian, so its eigenvectors are not orthogonal and
    Lanczos does not apply; Arnoldi takes any matrix.

    Args:
        function: f, of an array of eigenvalues.
        product: v → Hv, complex to complex.
        vector: v, complex, (dimension,).
        order: steps, clipped to the dimension; with that many the result is exact.

    Returns:
        f(H) v, (dimension,).
    """
    order = min(order, vector.size)
    length = jnp.linalg.norm(vector)
    start = _unit(vector, length)
    basis = jnp.zeros((order, vector.size), vector.dtype).at[0].set(start)

    def step(index: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        basis, projected = state
        image = product(basis[index])
        rest, along = image, jnp.zeros(order, vector.dtype)
        for _ in range(2):  # a second time, for what rounding has left
            more = basis.conj() @ rest
            rest, along = rest - basis.T @ more, along + more
        size = jnp.linalg.norm(rest)
        # An invariant space ends the run: what follows is 0, and adds nothing.
        size = jnp.where(size > _LOST * jnp.linalg.norm(image), size, 0.0)
        projected = projected.at[:, index].set(along)
        following = jnp.minimum(index + 1, order - 1)
        is_last = index + 1 == order
        basis = basis.at[following].set(jnp.where(is_last, basis[following], _unit(rest, size)))
        entry = projected[following, index]
        projected = projected.at[following, index].set(jnp.where(is_last, entry, size.astype(entry.dtype)))
        return basis, projected

    projected = jnp.zeros((order, order), vector.dtype)
    basis, projected = jax.lax.fori_loop(0, order, step, (basis, projected))
    values, right = jnp.linalg.eig(projected)
    first = jnp.zeros(order, vector.dtype).at[0].set(length)
    found: jax.Array = basis.T @ (right @ (function(values) * jnp.linalg.solve(right, first)))
    return found


def _unit(vector: jax.Array, length: jax.Array) -> jax.Array:
    return jnp.where(length > 0, vector / jnp.where(length > 0, length, 1.0), 0.0)
