"""Function of a Hessian times a vector, f(H)g, from products with H alone; H may be complex symmetric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

MatVec = Callable[[Complex[Array, " dimension"]], Complex[Array, " dimension"]]
"""v → Hv, (dimension,) → (dimension,)."""

Function = Callable[[Complex[Array, " order"]], Complex[Array, " order"]]
"""f, applied to an array of eigenvalues."""

# Length of the rest of a product after orthogonalisation, relative to the product.  A shorter rest is
# rounding noise.
_LOST = 1e-10


def function_times_vector(
    function: Function, product: MatVec, vector: Complex[Array, " dimension"], order: int
) -> Complex[Array, " dimension"]:
    """Compute f(H) v by a run of Arnoldi's method that starts from v.

    A Hessian at complex parameters is symmetric but not Hermitian.  Its eigenvectors are therefore not
    orthogonal, and the Lanczos method does not apply.  Arnoldi's method works for any matrix.

    Args:
        function: f, a function of an array of eigenvalues.
        product: v → Hv, complex to complex.
        vector: v, complex, (dimension,).
        order: number of Arnoldi steps, clipped to the dimension; the result is exact if both are equal.

    Returns:
        f(H) v, (dimension,).
    """
    order = min(order, vector.size)
    length = jnp.linalg.norm(vector)
    start = _unit(vector, length)
    basis = jnp.zeros((order, vector.size), vector.dtype).at[0].set(start)

    def step(
        index: Any, state: tuple[Complex[Array, "order dimension"], Complex[Array, "order order"]]
    ) -> tuple[Complex[Array, "order dimension"], Complex[Array, "order order"]]:
        basis, projected = state
        image = product(basis[index])
        rest, along = image, jnp.zeros(order, vector.dtype)
        for _ in range(2):  # the second pass removes what rounding has left
            more = basis.conj() @ rest
            rest, along = rest - basis.T @ more, along + more
        size = jnp.linalg.norm(rest)
        # An invariant space ends the run: all later vectors are 0 and add nothing to the result.
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


def _unit(vector: Complex[Array, " dimension"], length: Float[Array, ""]) -> Complex[Array, " dimension"]:
    """Return the vector divided by its length; 0 if the length is 0."""
    return jnp.where(length > 0, vector / jnp.where(length > 0, length, 1.0), 0.0)
