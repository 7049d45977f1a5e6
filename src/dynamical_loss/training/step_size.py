"""Rules that recompute the learning rate at each step."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class DriftAdjusted(NamedTuple):
    """The drift-adjusted learning rate (DAL) of arXiv 2302.01952, as implemented in its authors' code.

    To lowest order in η, a step of gradient descent deviates from the gradient flow by (η²/2)‖Hg‖.  The rule
    sets η(θ) = min(c / ‖Hĝ‖ᵖ, cap) with ĝ = g/‖g‖.  Here g and H are the gradient and the Hessian of the loss
    that is minimised; for the dynamical loss, they are taken at Γ(t).

    Attributes:
        power: exponent p > 0.
        constant: constant c.
        cap: largest value of the rule.  Without a cap runs diverge, because ‖Hĝ‖ is close to 0 at times.
        replayed: whether a run takes the learning rates that the rule gives to its leader, a second run that
            is trained at the same time.
        static: whether the leader is trained with the static loss.
    """

    power: float
    constant: float
    cap: float
    replayed: bool = False
    static: bool = False

    def factor(self, gradient_norm: Float[Array, ""], product_norm: Float[Array, ""]) -> Float[Array, ""]:
        """Return the factor that multiplies the learning rate.

        It is the cap if the gradient is 0.

        Args:
            gradient_norm: norm ‖g‖ of the gradient.
            product_norm: norm ‖Hg‖ of the product of the Hessian and the gradient.
        """
        still = gradient_norm == 0
        curvature = product_norm / jnp.where(still, 1.0, gradient_norm)
        factor = jnp.minimum(self.constant / curvature**self.power, self.cap)
        return jnp.where(still, self.cap, factor)
