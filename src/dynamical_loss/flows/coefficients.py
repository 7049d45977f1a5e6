"""What each flow multiplies the gradient with along an eigenvector of the Hessian (arXiv 2302.01952).

With a step h and an eigenvalue λ, all of them are functions of x = hλ.  A step of gradient descent on a
quadratic multiplies the distance to its minimum by 1 − x, and a flow with the coefficient α multiplies it by
exp(xα) in the same time.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

_SERIES = 1e-4  # |x| below which log(1 − x)/x is summed: the first term left out is 2e-17


def negative_gradient(x: jax.Array) -> jax.Array:
    """Of the gradient flow: −1."""
    return -jnp.ones_like(x)


def implicit_regularisation(x: jax.Array) -> jax.Array:
    """Of implicit gradient regularisation (IGR): −(1 + x/2)."""
    return -(1 + x / 2)


def third_order(x: jax.Array) -> jax.Array:
    """Of the flow of third order, without its term in third derivatives: −(1 + x/2 + x²/3)."""
    return -(1 + x / 2 + x**2 / 3)


def principal(x: jax.Array) -> jax.Array:
    """Of the principal flow: log(1 − x)/x, which exp(xα) = 1 − x defines up to a branch.

    The branch is cut along the negative imaginary axis of 1 − x, and not along the negative real one: along
    a path x > 1 has an imaginary part that is small and changes its sign, and the usual branch would jump.
    A path may still come to this cut, where x has the real part 1 and a large imaginary one.

    Args:
        x: hλ, real or complex, any shape.

    Returns:
        complex numbers of the same shape and precision; −1 at 0, and −∞ at the pole x = 1.  The real part is
        positive for real x > 2, where gradient descent diverges.
    """
    x = jnp.asarray(x)
    near = abs(x) < _SERIES
    # Masked before the division: what is not chosen must not make NaNs in derivatives.
    apart = jnp.where(near, jnp.ones_like(x) / 2, x)
    series = -(1 + x * (1 / 2 + x * (1 / 3 + x / 4)))
    found: jax.Array = jnp.where(near, series, _logarithm(1 - apart) / apart)
    return found


def _logarithm(z: jax.Array) -> jax.Array:
    """Log z with its cut along the negative imaginary axis; complex."""
    z = z + 0j
    right = z.real >= 0
    turned = jnp.log(jnp.where(right, z, -z))
    return turned + jnp.where(right, 0.0, 1j * math.pi)
