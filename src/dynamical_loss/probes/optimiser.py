"""Stability of the step of any optimiser, including the optimiser's memory.

A step maps parameters and memory (for example momentum) to new parameters and a new memory.  The eigenvalues
of the derivative of this map are called multipliers.  Along a direction whose multiplier is below −1, a
displacement grows from step to step with alternating sign.  This is the flip bifurcation with which cascades
begin.  For plain gradient descent the smallest multiplier is 1 − ηλ_max, so it reaches −1 at λ_max = 2/η.
For every other optimiser this module measures the smallest multiplier, so no formula for the stability bound
is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
import scipy.linalg
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from matfree import decomp

from dynamical_loss.arrays import AnyArray
from dynamical_loss.probes.hessian import Loss, hessian_vector_product
from dynamical_loss.probes.lanczos import MatVec, clipped_order, lanczos

ADAPTIVE = ("adam", "adamw", "rmsprop")
"""Optimisers whose preconditioner is known (names in optax)."""

_KNOWN = 0.01  # largest error of a multiplier, relative to it or to 1, that is accepted
_NEXT_TO_NOTHING = 1e-30  # smallest squared gradient: far below ε², and not a denormal number
_SMALLEST_UNIT = 1e-16  # smallest unit of a squared gradient
_START, _PRECONDITIONED = 1, 2  # purposes of a random key


class Krylov(NamedTuple):
    """Result of an Arnoldi run, from which `flip_multipliers` computes eigenvalues.

    Attributes:
        projected: the operator, projected on the Krylov space, (order, order).
        rest: norm of the part of the last product that lies outside the Krylov space, ().
    """

    projected: Float[AnyArray, "*snapshot order order"]
    rest: Float[AnyArray, "*snapshot"]


def step_product(
    loss: Loss,
    optimiser: optax.GradientTransformation,
    state: Any,
    parameters: Float[Array, " parameter"],
    unravel: Callable[[Float[Array, " parameter"]], Any],
) -> tuple[MatVec, int]:
    """Return the product v -> J v, where J is the derivative of a step, and the dimension of J.

    J acts on the parameters followed by the memory.  The memory of squared gradients is rescaled by its own
    size.  The rescaled matrix is similar to the derivative, so it has the same eigenvalues.  Step counters
    are constant and not part of J.

    Args:
        loss: loss as a function of the flat parameters, (parameter,) -> ().
        optimiser: the optimiser, with its learning rate.
        state: state of the optimiser, which holds its memory.
        parameters: place at which the derivative is taken, (parameter,).
        unravel: function that turns flat parameters into the pytree that the optimiser expects.
    """
    squares = optax.tree_utils.tree_get(state, "nu")
    if squares is not None:
        # The square root has no derivative at 0, and a ReLU that is never active has squared gradients of 0.
        lifted = jax.tree.map(lambda leaf: jnp.maximum(leaf, _NEXT_TO_NOTHING), squares)
        state = optax.tree_utils.tree_set(state, nu=lifted)
    leaves, structure = jax.tree.flatten(state)
    moving = [index for index, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    memory, unravel_memory = ravel_pytree([leaves[index] for index in moving])
    memory = memory.astype(parameters.dtype)

    def step(flat: Float[Array, " dimension"]) -> Float[Array, " dimension"]:
        weights, remembered = flat[: parameters.size], unravel_memory(flat[parameters.size :])
        here = list(leaves)
        for index, leaf in zip(moving, remembered, strict=True):
            here[index] = leaf
        gradient = unravel(jax.grad(loss)(weights))
        tree = unravel(weights)
        updates, after = optimiser.update(gradient, jax.tree.unflatten(structure, here), tree)
        moved, _ = ravel_pytree(optax.apply_updates(tree, updates))
        kept = jax.tree.leaves(after)
        return jnp.concatenate([moved, *(kept[index].ravel() for index in moving)])

    point = jnp.concatenate([parameters, memory])
    with jax.default_matmul_precision("highest"):
        _, product = jax.linearize(step, point)
    _, after = optimiser.update(unravel(jax.grad(loss)(parameters)), state, unravel(parameters))
    of_memory = [jax.tree.leaves(_units(after))[index].ravel() for index in moving]
    scale = jnp.concatenate([jnp.ones_like(parameters), *of_memory])
    return lambda vector: product(vector * scale) / scale, point.size


def _units(state: Any) -> Any:
    """Return the unit of each entry of the optimiser's state after a step.

    In these units J is closer to a symmetric matrix.
    """
    units = jax.tree.map(jnp.ones_like, state)
    squares = optax.tree_utils.tree_get(state, "nu")
    if squares is not None:
        own = jax.tree.map(lambda leaf: leaf + _SMALLEST_UNIT, squares)
        units = optax.tree_utils.tree_set(units, nu=own)
        if optax.tree_utils.tree_get(state, "mu") is not None:
            units = optax.tree_utils.tree_set(units, mu=jax.tree.map(jnp.sqrt, own))
    return units


def krylov(product: MatVec, dimension: int, order: int, key: PRNGKeyArray, dtype: Any) -> Krylov:
    """Run Arnoldi's method from a random vector, with full reorthogonalisation.

    Args:
        product: v -> J v, (dimension,) -> (dimension,).
        dimension: dimension of J.
        order: number of Arnoldi steps, clipped to `dimension`.
        key: random key of the start vector.
        dtype: floating type of the vectors.
    """
    start = jax.random.normal(jax.random.fold_in(key, _START), (dimension,), dtype)
    run = decomp.hessenberg(clipped_order(order, dimension), reortho="full", custom_vjp=False)
    with jax.default_matmul_precision("highest"):
        result = run(product, start)
    return Krylov(result.J_small, jnp.linalg.norm(result.residual))


def flip_multipliers(
    found: Krylov,
) -> tuple[Float[npt.NDArray[Any], " snapshot"], Float[npt.NDArray[Any], " snapshot"]]:
    """Compute the smallest real part of the multipliers, if it is known to one per cent.

    The derivative is not symmetric, so a small residual |Jv − μv| does not imply that μ is close to an
    eigenvalue.  To first order, the distance is at most the residual divided by |uᴴv|, where u is the left
    eigenvector.  The derivative has no bound where the squared gradients of an adaptive optimiser are 0:
    right after the start, or for parameters whose gradient stays 0.

    Args:
        found: results at several snapshots, of shapes (snapshot, order, order) and (snapshot,).

    Returns:
        the real part, and an estimate of its largest distance to an eigenvalue, each of shape (snapshot,).
        The real part is NaN if its error exceeds both 1 % of the multiplier and 0.01.  Both are NaN if a run
        was not finite.
    """
    values = np.full(len(found.projected), np.nan)
    errors = np.full(len(values), np.nan)
    for index, (projected, rest) in enumerate(zip(found.projected, found.rest, strict=True)):
        if not (np.isfinite(projected).all() and np.isfinite(rest)):
            continue
        multipliers, left, right = scipy.linalg.eig(np.asarray(projected, np.float64), left=True)
        lowest = int(multipliers.real.argmin())
        overlap = abs(np.vdot(left[:, lowest], right[:, lowest]))
        # The rounding error of the projected matrix adds to the part outside the Krylov space.
        rounding = np.finfo(np.asarray(projected).dtype).eps * np.linalg.norm(projected)
        outside = float(rest) * abs(right[-1, lowest]) + rounding
        errors[index] = outside / overlap if overlap > 0 else np.inf
        if errors[index] <= _KNOWN * max(1.0, abs(multipliers[lowest].real)):
            values[index] = multipliers[lowest].real
    return values, errors


def preconditioner(kind: str, arguments: Mapping[str, Any], state: Any) -> Float[Array, " parameter"] | None:
    """Return the preconditioner of an adaptive optimiser: the numbers by which it divides each gradient.

    The preconditioners are those of Cohen et al. (arXiv 2207.14484): (1 − β₁ᵗ)(√(ν/(1 − β₂ᵗ)) + ε) for Adam,
    and √(ν + ε) or √ν + ε for RMSProp, where ν is the running mean of squared gradients.

    Args:
        kind: name of the optimiser in optax.
        arguments: arguments with which the optimiser was created.
        state: state of the optimiser, which holds ν.

    Returns:
        the preconditioner, (parameter,); NaN before the first step; None if the optimiser's preconditioner is
        not known.
    """
    if kind not in ADAPTIVE:
        return None
    defaults = {
        name: item.default for name, item in inspect.signature(getattr(optax, kind)).parameters.items()
    }
    known = {**defaults, **arguments}
    squares, _ = ravel_pytree(optax.tree_utils.tree_get(state, "nu"))
    # Before the first step all squares are 0, and the preconditioner is undefined.
    squares = jnp.where(jnp.any(squares > 0), squares, jnp.nan)
    if kind == "rmsprop":
        if known["centered"] or known["bias_correction"]:
            return None
        return jnp.sqrt(squares + known["eps"]) if known["eps_in_sqrt"] else jnp.sqrt(squares) + known["eps"]
    count = jnp.asarray(optax.tree_utils.tree_get(state, "count"), squares.dtype)
    corrected = squares / (1 - known["b2"] ** count)
    divided: jax.Array = jnp.sqrt(corrected + known["eps_root"]) + known["eps"]
    started: jax.Array = 1 - known["b1"] ** count
    return started * divided


def preconditioned_sharpness(
    loss: Loss,
    parameters: Float[Array, " parameter"],
    divisor: Float[Array, " parameter"],
    order: int,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """Compute the largest eigenvalue of P⁻¹H, where P is the diagonal matrix of `divisor` and H the Hessian.

    Args:
        loss: loss as a function of the flat parameters, (parameter,) -> ().
        parameters: place at which H is taken, (parameter,).
        divisor: preconditioner, see `preconditioner`, (parameter,).
        order: number of Lanczos steps.
        key: random key of the start vector.

    Returns:
        the eigenvalue, ().
    """
    product, root = hessian_vector_product(loss, parameters), jnp.sqrt(divisor)
    ritz = lanczos(
        lambda vector: product(vector / root) / root,
        dimension=parameters.size,
        order=order,
        key=jax.random.fold_in(key, _PRECONDITIONED),
        dtype=parameters.dtype,
    )
    return ritz.value[0]
