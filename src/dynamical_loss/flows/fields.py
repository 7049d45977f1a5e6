"""Vector fields dθ/dt of the flows, of which a time h is one step of gradient descent (arXiv 2302.01952).

They are functions of complex parameters: where hλ > 1 the principal flow leaves the real numbers within a
step, and comes back to them at its end.  A loss is therefore a holomorphic function, without a maximum, an
absolute value or a ReLU; of those with ReLU, `field_of_pieces` takes the part that is left of it.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

from dynamical_loss.flows import coefficients
from dynamical_loss.flows.krylov import MatVec, function_times_vector
from dynamical_loss.flows.names import KINDS_OF_PIECES, Kind

Loss = Callable[[jax.Array], jax.Array]
"""(parameter,) → (), complex to complex and real on real parameters."""

Field = Callable[[jax.Array], jax.Array]
"""(parameter,) → (parameter,), complex."""


def field(kind: Kind, loss: Loss, step: float | jax.Array, order: int) -> Field:
    """The vector field of a flow.

    Local errors against a step h of gradient descent: gradient flow O(h²), IGR O(h³), third order O(h⁴),
    principal flow O(h³) and 0 on quadratics, with the next term O(h⁴).

    Args:
        kind: which flow.
        loss: E.
        step: h, the learning rate.
        order: Arnoldi steps of the principal flow.
    """

    def at(parameters: jax.Array) -> jax.Array:
        gradient: jax.Array
        product: MatVec
        gradient, product = jax.linearize(jax.grad(loss, holomorphic=True), parameters)
        found: jax.Array
        if kind == "gradient":
            found = -gradient
        elif kind == "regularised":
            found = -gradient - step / 2 * product(gradient)
        elif kind == "third_order":
            once, third = product(gradient), third_derivative(loss, parameters, gradient)
            found = -gradient - step / 2 * once - step**2 * (product(once) / 3 + third / 12)
        else:
            found = _principal(product, gradient, step, order)
            if kind == "principal_and_next":
                found -= step**2 / 12 * third_derivative(loss, parameters, gradient)
        return found

    return at


def field_of_pieces(kind: Kind, loss: Loss, step: float | jax.Array, order: int) -> Field:
    """The vector field of a flow on a loss with ReLU.

    The gradient flow and IGR stay real. The principal flow is continued to complex parameters to first order:
    at θ = a + ib it takes the Hessian at a, and g(a) + iH(a)b for the gradient, which is exact on quadratics,
    and close while b is small.  Without the second part it would lose the sign of 1 − hλ where hλ > 1.

    Args:
        kind: one of `KINDS_OF_PIECES`; the others need derivatives that a ReLU does not have.
        loss: E, of real parameters, twice differentiable but for kinks.
        step: h.
        order: Arnoldi steps of the principal flow.
    """
    assert kind in KINDS_OF_PIECES

    def at(parameters: jax.Array) -> jax.Array:
        gradient, real_product = jax.linearize(jax.grad(loss), parameters.real)

        def product(vector: jax.Array) -> jax.Array:
            found: jax.Array = real_product(vector.real) + 1j * real_product(vector.imag)
            return found

        if kind == "principal":
            return _principal(product, gradient + 1j * real_product(parameters.imag), step, order)
        found: jax.Array = -gradient if kind == "gradient" else -gradient - step / 2 * real_product(gradient)
        return found + 0j

    return at


def third_derivative(loss: Loss, parameters: jax.Array, vector: jax.Array) -> jax.Array:
    """D(v) = ∇³E[v, v, ·], the gradient of vᵀHv with v held; along an eigenvector the gradient of its λ."""

    def product(place: jax.Array) -> jax.Array:
        found: jax.Array = jax.jvp(jax.grad(loss, holomorphic=True), (place,), (vector,))[1]
        return found

    changed: jax.Array = jax.jvp(product, (parameters,), (vector,))[1]
    return changed


def _principal(product: MatVec, gradient: jax.Array, step: float | jax.Array, order: int) -> jax.Array:
    return function_times_vector(
        lambda values: coefficients.principal(step * values), product, gradient, order
    )
