"""Curvature of any loss: ends of the spectra of Hessian and kernel, and a learning rate that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from dynamical_loss.probes.hessian import extreme_eigenvalues
from dynamical_loss.probes.lanczos import check_modes, lanczos, residual_norm
from dynamical_loss.training.step_size import DriftAdjusted


class Extremes(NamedTuple):
    """Ends of the spectrum of a symmetric matrix.

    Attributes:
        largest: the largest eigenvalues, descending, (mode,).
        residual: error bound of each of the largest, (mode,): the matrix has an eigenvalue that near to it.
        smallest: smallest Ritz value, an upper bound of the smallest eigenvalue, ().
    """

    largest: Float[Array, " mode"]
    residual: Float[Array, " mode"]
    smallest: Float[Array, ""]


def hessian_extremes(
    loss: Callable[[Any], jax.Array],
    parameters: Any,
    *,
    modes: int = 1,
    order: int = 20,
    key: PRNGKeyArray | None = None,
) -> Extremes:
    """Return the ends of the spectrum of a loss's Hessian, by Lanczos' method (Fig. 4e).

    Args:
        loss: loss as a function of the parameters alone; it closes over data, Γ and all else.
        parameters: a pytree of arrays.
        modes: number of largest eigenvalues.
        order: number of products with the Hessian. Look at `residual`: if it is too large, take more.
        key: random key of the start vector; None: a fixed key.

    Returns:
        `Extremes` in units of loss per squared parameter. Plain gradient descent with learning rate η becomes
        unstable where the largest exceeds 2/η.

    Raises:
        ValueError: if `order` steps cannot give so many `modes`.

    Examples:
        >>> found = hessian_extremes(lambda p: 2.0 * p["a"] ** 2 + p["b"] ** 2, {"a": 1.0, "b": 1.0}, order=2)
        >>> [round(float(value), 3) for value in (found.largest[0], found.smallest)]
        [4.0, 2.0]
    """
    flat, unflatten = ravel_pytree(parameters)
    found = extreme_eigenvalues(
        lambda vector: loss(unflatten(vector)), flat, modes=modes, order=order, key=_key(key)
    )
    return Extremes(found.eigenvalue, found.residual, found.min_eigenvalue)


def ntk_extremes(
    outputs: Callable[[Any], jax.Array],
    parameters: Any,
    *,
    modes: int = 1,
    order: int = 20,
    key: PRNGKeyArray | None = None,
) -> Extremes:
    """Return the ends of the spectrum of the neural tangent kernel Θ = J Jᵀ, by Lanczos' method (Fig. 4f).

    J is the Jacobian of all outputs with respect to all parameters. The kernel is not formed.

    Args:
        outputs: outputs of a network on fixed inputs as a function of the parameters alone, of any shape.
        parameters: a pytree of arrays.
        modes: number of largest eigenvalues.
        order: number of products with the kernel.
        key: random key of the start vector; None: a fixed key.

    Returns:
        `Extremes` in units of output squared per parameter squared. Under gradient descent on the squared
        error of N samples a mode is unstable if ηλ/N > 2.

    Raises:
        ValueError: if `order` steps cannot give so many `modes`.

    Examples:
        >>> inputs = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> found = ntk_extremes(lambda weights: inputs @ weights, jnp.ones(2), order=2)
        >>> [round(float(value), 3) for value in (found.largest[0], found.smallest)]
        [4.0, 1.0]
    """
    flat, unflatten = ravel_pytree(parameters)
    with jax.default_matmul_precision("highest"):
        shown, push = jax.linearize(lambda vector: outputs(unflatten(vector)).reshape(-1), flat)
        pull = jax.linear_transpose(push, flat)

    def product(vector: Float[Array, " output"]) -> Float[Array, " output"]:
        image: jax.Array = push(*pull(vector))
        return image

    check_modes(modes, order, shown.size)
    ritz = lanczos(product, dimension=shown.size, order=order, key=_key(key), dtype=shown.dtype)
    value, vectors = ritz.value, ritz.vector(tuple(range(modes)))
    return Extremes(value[:modes], residual_norm(product, value[:modes], vectors), value[-1])


def drift_adjusted_learning_rate(
    loss: Callable[[Any], jax.Array],
    parameters: Any,
    *,
    cap: float,
    power: float = 1.0,
    constant: float = 2.0,
) -> jax.Array:
    """Return the drift-adjusted learning rate η = min(c / ‖Hĝ‖ᵖ, cap) (DAL, arXiv 2302.01952).

    g and H are the gradient and the Hessian of the loss at the parameters, and ĝ = g/‖g‖. For a dynamical
    loss, `loss` holds the weights of the present step. The function costs about two gradients and can be
    compiled.

    Args:
        loss: loss as a function of the parameters alone.
        parameters: a pytree of arrays.
        cap: largest learning rate. Without one, runs diverge, because ‖Hĝ‖ comes close to 0.
        power: exponent p.
        constant: constant c.

    Returns:
        η, ().

    Raises:
        ValueError: if a number is not positive.

    Examples:
        >>> round(float(drift_adjusted_learning_rate(lambda p: 2.0 * p**2, jnp.array(3.0), cap=5.0)), 3)
        0.5
    """
    for name, value in (("cap", cap), ("power", power), ("constant", constant)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value:g}")
    flat, unflatten = ravel_pytree(parameters)
    gradient = jax.grad(lambda vector: loss(unflatten(vector)))
    here, product = jax.jvp(gradient, (flat,), (gradient(flat),))
    norms = (jnp.linalg.norm(here), jnp.linalg.norm(product))
    return DriftAdjusted(power, constant, cap).factor(*norms)


def _key(key: PRNGKeyArray | None) -> PRNGKeyArray:
    return jax.random.key(0) if key is None else key
