"""Vector fields dθ/dt of the flows (arXiv 2302.01952).

The time h of a flow corresponds to one step of gradient descent with learning rate h.  The fields are
functions of complex parameters: if hλ > 1, the principal flow leaves the real numbers within a step, and at
the end of the step it returns to them.  A loss must therefore be a holomorphic function, without a maximum,
an absolute value or a ReLU.  For losses with ReLU there is `field_of_pieces`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import Array, Complex, Float, Inexact

from dynamical_loss.flows import coefficients
from dynamical_loss.flows.krylov import MatVec, function_times_vector
from dynamical_loss.flows.names import KINDS_OF_PIECES, Kind

Loss = Callable[[Inexact[Array, " parameter"]], Inexact[Array, ""]]
"""(parameter,) → (): a loss that is complex for complex parameters and real for real ones."""

Field = Callable[[Complex[Array, " parameter"]], Complex[Array, " parameter"]]
"""(parameter,) → (parameter,): a complex vector field."""


def field(kind: Kind, loss: Loss, step: float | Float[Array, ""], order: int) -> Field:
    """Return the vector field of a flow.

    After a time h, a flow differs from a step of gradient descent by a local error.  The local error is O(h²)
    for gradient flow, O(h³) for IGR and O(h⁴) for the third-order flow.  For the principal flow it is O(h³),
    and 0 on quadratics.  For the principal flow with the next term it is O(h⁴).

    Args:
        kind: kind of flow.
        loss: loss E, holomorphic in the parameters.
        step: learning rate h.
        order: number of Arnoldi steps of the principal flow.
    """

    def at(parameters: Complex[Array, " parameter"]) -> Complex[Array, " parameter"]:
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


def field_of_pieces(kind: Kind, loss: Loss, step: float | Float[Array, ""], order: int) -> Field:
    """Return the vector field of a flow on a loss with ReLU.

    Gradient flow and IGR stay real.  The principal flow is continued to complex parameters to first order: at
    θ = a + ib it uses the Hessian H(a), and the gradient g(a) + iH(a)b.  This is exact on quadratics and
    accurate while b is small.  Without the imaginary part of the gradient, the flow would lose the sign of
    1 − hλ if hλ > 1.

    Args:
        kind: one of `KINDS_OF_PIECES`; the other flows need derivatives that a ReLU does not have.
        loss: loss E of real parameters, twice differentiable except at kinks.
        step: learning rate h.
        order: number of Arnoldi steps of the principal flow.
    """
    assert kind in KINDS_OF_PIECES

    def at(parameters: Complex[Array, " parameter"]) -> Complex[Array, " parameter"]:
        gradient, real_product = jax.linearize(jax.grad(loss), parameters.real)

        def product(vector: Complex[Array, " parameter"]) -> Complex[Array, " parameter"]:
            found: jax.Array = real_product(vector.real) + 1j * real_product(vector.imag)
            return found

        if kind == "principal":
            return _principal(product, gradient + 1j * real_product(parameters.imag), step, order)
        found: jax.Array = -gradient if kind == "gradient" else -gradient - step / 2 * real_product(gradient)
        return found + 0j

    return at


def third_derivative(
    loss: Loss, parameters: Complex[Array, " parameter"], vector: Complex[Array, " parameter"]
) -> Complex[Array, " parameter"]:
    """Return D(v) = ∇³E[v, v, ·], the gradient of vᵀHv at constant v.

    If v is a normalised eigenvector of the Hessian H, D(v) is the gradient of its eigenvalue.

    Args:
        loss: loss E, holomorphic in the parameters.
        parameters: place at which the derivative is taken, (parameter,).
        vector: v, (parameter,).
    """

    def product(place: Complex[Array, " parameter"]) -> Complex[Array, " parameter"]:
        found: jax.Array = jax.jvp(jax.grad(loss, holomorphic=True), (place,), (vector,))[1]
        return found

    changed: jax.Array = jax.jvp(product, (parameters,), (vector,))[1]
    return changed


def _principal(
    product: MatVec, gradient: Complex[Array, " parameter"], step: float | Float[Array, ""], order: int
) -> Complex[Array, " parameter"]:
    """Return the field of the principal flow, α(hH)g."""
    return function_times_vector(
        lambda values: coefficients.principal(step * values), product, gradient, order
    )
