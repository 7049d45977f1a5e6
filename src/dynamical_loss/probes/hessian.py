"""Spectrum of the Hessian of a loss, without ever forming it (Fig. 4e, Fig. 5, supplement).

The paper follows the largest eigenvalue λ_max of the *weighted* loss, with the class weights of the
step it is taken at.  Gradient descent with learning rate η on a quadratic loses stability at
η λ_max = 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dynamical_loss.probes.lanczos import (
    MatVec,
    Quadrature,
    check_modes,
    lanczos,
    residual_norm,
    stochastic_lanczos_quadrature,
)

Loss = Callable[[jax.Array], jax.Array]


class HessianSpectrum(NamedTuple):
    """The ends of a Hessian's spectrum, in units of loss over parameter squared.

    Attributes:
        eigenvalue: the largest eigenvalues, descending, (modes,).  Fig. 4e shows the first, λ_max.
        residual: |H v − λ v| of each, (modes,): the distance to a true eigenvalue is at most that.
        min_eigenvalue: an upper bound of the smallest eigenvalue, the smallest Ritz value, ().
        min_residual: its residual, ().
    """

    eigenvalue: jax.Array
    residual: jax.Array
    min_eigenvalue: jax.Array
    min_residual: jax.Array


def hessian_vector_product(loss: Loss, parameters: jax.Array) -> MatVec:
    """V -> H v, with H the Hessian of `loss` at `parameters`: forward mode over the gradient.

    The part that does not depend on v is computed once, here, and shared by every product.  For ReLU
    networks H is that of the linear piece the parameters lie in.

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> ().
        parameters: (parameter,).

    Returns:
        (parameter,) -> (parameter,)

    Raises:
        ValueError: if `parameters` is not flat.
    """
    if parameters.ndim != 1:
        raise ValueError(f"parameters must be flat, got shape {parameters.shape}")
    with jax.default_matmul_precision("highest"):
        _, product = jax.linearize(jax.grad(loss), parameters)

    def matvec(vector: jax.Array) -> jax.Array:
        # A linearised function keeps the precision it was traced with.
        image: jax.Array = product(vector)
        return image

    return matvec


def extreme_eigenvalues(
    loss: Loss, parameters: jax.Array, *, modes: int, order: int, key: jax.Array
) -> HessianSpectrum:
    """The largest eigenvalues of the Hessian and its smallest, from one Lanczos run (Fig. 4e).

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> (); close over data and Γ.
        parameters: where to take the Hessian, (parameter,); its type is that of the result.
        modes: how many of the largest eigenvalues.
        order: Lanczos steps, clipped to the number of parameters.  Along the paper's Fig. 4 run
            (603 parameters), 20 steps give the three largest to rounding; 10, as in the authors'
            notebook, give the first to 1e-8 and the third to a few percent at a class switch.  The
            smallest sits at the edge of a dense bulk and converges slowly: at a switch to about 5 %
            with 20 steps and to 0.5 % with 40.
        key: random key of the start vector.

    Returns:
        `HessianSpectrum`.  Parameters that are not finite give NaN.

    Raises:
        ValueError: if `parameters` is not flat, or `modes` exceeds what `order` steps can give.
    """
    return extreme_eigenpairs(loss, parameters, modes=modes, order=order, key=key)[0]


def extreme_eigenpairs(
    loss: Loss, parameters: jax.Array, *, modes: int, order: int, key: jax.Array
) -> tuple[HessianSpectrum, jax.Array]:
    """What `extreme_eigenvalues` gives, and the eigenvectors of the largest, (parameter, modes)."""
    check_modes(modes, order, parameters.size)
    matvec = hessian_vector_product(loss, parameters)
    ritz = lanczos(matvec, dimension=parameters.size, order=order, key=key, dtype=parameters.dtype)
    ends = (*range(modes), -1)
    value = ritz.value[jnp.asarray(ends)]
    vector = ritz.vector(ends)
    residual = residual_norm(matvec, value, vector)
    return HessianSpectrum(value[:-1], residual[:-1], value[-1], residual[-1]), vector[:, :-1]


def spectral_density(
    loss: Loss, parameters: jax.Array, *, order: int, probes: int, key: jax.Array
) -> Quadrature:
    """The Hessian's whole spectrum by stochastic Lanczos quadrature.

    Fig. S1 draws it as a curve.

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> ().
        parameters: where to take the Hessian, (parameter,).
        order: Lanczos steps a probe, clipped to the number of parameters.
        probes: number of random probe vectors.
        key: random key of the probe vectors.

    Returns:
        `Quadrature`: nodes and weights, each (probes, order).

    Raises:
        ValueError: if `parameters` is not flat, or `order` or `probes` is not positive.
    """
    matvec = hessian_vector_product(loss, parameters)
    return stochastic_lanczos_quadrature(
        matvec,
        dimension=parameters.size,
        order=order,
        probes=probes,
        key=key,
        dtype=parameters.dtype,
    )
