"""Spectrum of the Hessian of a loss, computed without forming the Hessian (Fig. 4e, Fig. 5, supplement).

The paper follows the largest eigenvalue λ_max of the *weighted* loss.  The class weights are those of the
step at which λ_max is measured.  Gradient descent with learning rate η on a quadratic loses stability at
η λ_max = 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dynamical_loss.probes.lanczos import (
    MatVec,
    Quadrature,
    check_modes,
    lanczos,
    residual_norm,
    stochastic_lanczos_quadrature,
)

Loss = Callable[[Float[Array, " parameter"]], Float[Array, ""]]
"""(parameter,) → (): a loss as a function of the flat parameters."""


class HessianSpectrum(NamedTuple):
    """The ends of a Hessian's spectrum, in units of loss over parameter squared.

    Attributes:
        eigenvalue: the largest eigenvalues, descending, (mode,).  Fig. 4e shows the first, λ_max.
        residual: |H v − λ v| of each eigenvalue, (mode,); an eigenvalue of H lies within this distance of λ.
        min_eigenvalue: smallest Ritz value, which is an upper bound of the smallest eigenvalue, ().
        min_residual: residual |H v − λ v| of the smallest Ritz value, ().
    """

    eigenvalue: Float[Array, " mode"]
    residual: Float[Array, " mode"]
    min_eigenvalue: Float[Array, ""]
    min_residual: Float[Array, ""]


def hessian_vector_product(loss: Loss, parameters: Float[Array, " ..."]) -> MatVec:
    """Return the product v -> H v with the Hessian H of `loss` at `parameters`.

    The product is the forward-mode derivative of the gradient.  The part that does not depend on v is
    computed once, here, and is shared by all products.  For a ReLU network, H is the Hessian of the linear
    piece in which the parameters lie.

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> ().
        parameters: place at which the Hessian is taken, (parameter,).

    Returns:
        the product, (parameter,) -> (parameter,).

    Raises:
        ValueError: if `parameters` is not flat.
    """
    if parameters.ndim != 1:
        raise ValueError(f"parameters must be flat, got shape {parameters.shape}")
    with jax.default_matmul_precision("highest"):
        _, product = jax.linearize(jax.grad(loss), parameters)

    def matvec(vector: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        # No precision is set here: a linearised function keeps the one with which it was traced.
        image: jax.Array = product(vector)
        return image

    return matvec


def extreme_eigenvalues(
    loss: Loss, parameters: Float[Array, " parameter"], *, modes: int, order: int, key: PRNGKeyArray
) -> HessianSpectrum:
    """Compute the largest eigenvalues and the smallest one of the Hessian by one Lanczos run (Fig. 4e).

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> (); it closes over data and Γ.
        parameters: place at which the Hessian is taken, (parameter,).  The result has the same precision.
        modes: number of largest eigenvalues.
        order: number of Lanczos steps, clipped to the number of parameters.  Along the run of the paper's
            Fig. 4 (603 parameters), 20 steps give the three largest eigenvalues up to rounding.  The authors'
            notebook uses 10 steps; at a class switch these give the first eigenvalue to 1e-8 and the third to
            a few percent.  The smallest eigenvalue lies at the edge of a dense bulk and converges slowly: at
            a class switch to about 5 % with 20 steps and to 0.5 % with 40 steps.
        key: random key of the start vector.

    Returns:
        `HessianSpectrum`.  Parameters that are not finite give NaN.

    Raises:
        ValueError: if `parameters` is not flat, or `modes` exceeds what `order` steps can give.

    Examples:
        >>> def loss(parameters):
        ...     return parameters @ (jnp.arange(1.0, 7.0) * parameters) / 2
        >>> found = extreme_eigenvalues(loss, jnp.ones(6), modes=2, order=6, key=jax.random.key(0))
        >>> [round(float(value), 3) for value in found.eigenvalue]
        [6.0, 5.0]
    """
    return extreme_eigenpairs(loss, parameters, modes=modes, order=order, key=key)[0]


def extreme_eigenpairs(
    loss: Loss, parameters: Float[Array, " parameter"], *, modes: int, order: int, key: PRNGKeyArray
) -> tuple[HessianSpectrum, Float[Array, "parameter {modes}"]]:
    """Compute the same spectrum as `extreme_eigenvalues`, and the eigenvectors of the largest eigenvalues.

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> ().
        parameters: place at which the Hessian is taken, (parameter,).
        modes: number of largest eigenvalues.
        order: number of Lanczos steps, see `extreme_eigenvalues`.
        key: random key of the start vector.

    Returns:
        `HessianSpectrum`, and the eigenvectors in columns, (parameter, mode).

    Raises:
        ValueError: if `parameters` is not flat, or `modes` exceeds what `order` steps can give.
    """
    check_modes(modes, order, parameters.size)
    matvec = hessian_vector_product(loss, parameters)
    ritz = lanczos(matvec, dimension=parameters.size, order=order, key=key, dtype=parameters.dtype)
    ends = (*range(modes), -1)
    value = ritz.value[jnp.asarray(ends)]
    vector = ritz.vector(ends)
    residual = residual_norm(matvec, value, vector)
    return HessianSpectrum(value[:-1], residual[:-1], value[-1], residual[-1]), vector[:, :-1]


def spectral_density(
    loss: Loss, parameters: Float[Array, " parameter"], *, order: int, probes: int, key: PRNGKeyArray
) -> Quadrature:
    """Estimate the density of the Hessian's whole spectrum by stochastic Lanczos quadrature.

    Fig. S1 draws the density as a curve.

    Args:
        loss: scalar function of the flat parameters, (parameter,) -> ().
        parameters: place at which the Hessian is taken, (parameter,).
        order: number of Lanczos steps for each probe vector, clipped to the number of parameters.
        probes: number of random probe vectors.
        key: random key of the probe vectors.

    Returns:
        `Quadrature`: nodes and weights, each (probe, order).

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
