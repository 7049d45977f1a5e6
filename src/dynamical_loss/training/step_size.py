"""Learning rates that a rule makes of each step anew."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class DriftAdjusted(NamedTuple):
    """The drift-adjusted learning rate (DAL) of arXiv 2302.01952, as its authors' code has it.

    A step of gradient descent drifts off the gradient flow by (η²/2)‖Hg‖ to lowest order.  The rule takes
    η(θ) = min(c / ‖Hĝ‖ᵖ, cap), with ĝ = g/‖g‖; g and H are those of the loss that is stepped on, so of a
    dynamical loss those at Γ(t).

    Attributes:
        power: p > 0.
        constant: c.
        cap: the largest value.  Without one runs diverge, as ‖Hĝ‖ comes close to 0 at times.
        replayed: whether a run takes the steps that the rule gives to another one, trained beside it.
        static: whether that other run has the static loss.
    """

    power: float
    constant: float
    cap: float
    replayed: bool = False
    static: bool = False

    def factor(self, gradient_norm: jax.Array, product_norm: jax.Array) -> jax.Array:
        """What the learning rate is multiplied with, ().

        Args:
            gradient_norm: ‖g‖, ().
            product_norm: ‖Hg‖, ().
        """
        still = gradient_norm == 0
        curvature = product_norm / jnp.where(still, 1.0, gradient_norm)
        factor = jnp.minimum(self.constant / curvature**self.power, self.cap)
        return jnp.where(still, self.cap, factor)
