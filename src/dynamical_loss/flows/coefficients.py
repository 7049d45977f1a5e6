"""Coefficients of the flows (arXiv 2302.01952).

A flow multiplies the component of the gradient along an eigenvector of the Hessian by a coefficient α.  All
coefficients are functions of x = hλ, where h is the step of gradient descent and λ the eigenvalue.  On a
quadratic, a step of gradient descent multiplies the distance to the minimum by 1 − x.  In the same time, a
flow with the coefficient α multiplies the distance by exp(xα).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Inexact

_SERIES = 1e-4  # |x| below which log(1 − x)/x is computed by its series, whose first omitted term is 2e-17


def negative_gradient(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Return the coefficient of gradient flow, −1."""
    return -jnp.ones_like(x)


def implicit_regularisation(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Return the coefficient of implicit gradient regularisation (IGR), −(1 + x/2)."""
    return -(1 + x / 2)


def third_order(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Return the coefficient of the third-order flow without its third derivatives, −(1 + x/2 + x²/3)."""
    return -(1 + x / 2 + x**2 / 3)


def principal(x: Inexact[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """Return the coefficient of the principal flow, log(1 − x)/x.

    The condition exp(xα) = 1 − x determines the coefficient up to the branch of the logarithm.  The branch
    cut lies along the negative imaginary axis of 1 − x and not, as usual, along the negative real axis.  The
    reason is that along a path with x > 1, the imaginary part of x is small and changes its sign, and the
    usual branch would jump.  A path can still reach the cut used here, if x has the real part 1 and a large
    imaginary part.

    Args:
        x: hλ, real or complex, any shape.

    Returns:
        complex numbers of the same shape and precision: −1 at x = 0, and −∞ at the pole x = 1.  The real part
        is positive for real x > 2, where gradient descent diverges.

    Examples:
        >>> x = jnp.array([0.0, 0.5, 3.0])
        >>> [round(float(value.real), 4) for value in principal(x)]
        [-1.0, -1.3863, 0.231]
    """
    x = jnp.asarray(x)
    near = abs(x) < _SERIES
    # The mask comes before the division, because entries that are not chosen must not make NaNs in
    # derivatives.
    apart = jnp.where(near, jnp.ones_like(x) / 2, x)
    series = -(1 + x * (1 / 2 + x * (1 / 3 + x / 4)))
    found: jax.Array = jnp.where(near, series, _logarithm(1 - apart) / apart)
    return found


def _logarithm(z: Inexact[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """Return log z with the branch cut along the negative imaginary axis."""
    z = z + 0j
    right = z.real >= 0
    turned = jnp.log(jnp.where(right, z, -z))
    return turned + jnp.where(right, 0.0, 1j * math.pi)
