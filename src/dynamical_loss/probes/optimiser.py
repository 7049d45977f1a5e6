"""Stability of an optimiser's own step, from what it remembers.

A step takes parameters and memory to new ones.  Its derivative there has eigenvalues, its multipliers: a
direction in which one is below −1 grows from step to step with alternating sign, which is the flip that
cascades begin with.  For plain gradient descent the smallest multiplier is 1 − ηλ_max, so that −1 is
λ_max = 2/η; for every other optimiser it is measured here, and no formula of its bound is needed.
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
from matfree import decomp

from dynamical_loss.probes.hessian import Loss, hessian_vector_product
from dynamical_loss.probes.lanczos import MatVec, clipped_order, lanczos

ADAPTIVE = ("adam", "adamw", "rmsprop")
"""Optimisers whose preconditioner is known."""

_KNOWN = 0.01  # a multiplier that is less well known is none
_NEXT_TO_NOTHING = 1e-30  # a squared gradient far below ε², and no denormal number
_SMALLEST_UNIT = 1e-16  # of a squared gradient
_START, _PRECONDITIONED = 1, 2  # purposes of a random key


class Krylov(NamedTuple):
    """What an Arnoldi run leaves; `flip_multipliers` makes numbers of it.

    Attributes:
        projected: the operator on the Krylov space, (order, order).
        rest: norm of what lies outside of it after the last step, ().
    """

    projected: jax.Array
    rest: jax.Array


def step_product(
    loss: Loss,
    optimiser: optax.GradientTransformation,
    state: Any,
    parameters: jax.Array,
    unravel: Callable[[jax.Array], Any],
) -> tuple[MatVec, int]:
    """V -> J v, with J the derivative of a step in parameters and memory, and the dimension of both.

    Memory of squared gradients is in units of itself, so J is a similar matrix, with the same eigenvalues.

    Counters of steps are kept as they are.

    Args:
        loss: (parameter,) -> ().
        optimiser: with its learning rate.
        state: what it remembers.
        parameters: where to take it, (parameter,).
        unravel: flat parameters as the optimiser takes them.
    """
    squares = optax.tree_utils.tree_get(state, "nu")
    if squares is not None:
        # The root of 0 has no derivative, and a unit that is never on has no other square.
        lifted = jax.tree.map(lambda leaf: jnp.maximum(leaf, _NEXT_TO_NOTHING), squares)
        state = optax.tree_utils.tree_set(state, nu=lifted)
    leaves, structure = jax.tree.flatten(state)
    moving = [index for index, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    memory, unravel_memory = ravel_pytree([leaves[index] for index in moving])
    memory = memory.astype(parameters.dtype)

    def step(flat: jax.Array) -> jax.Array:
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
    """Of each remembered number, after a step was seen; in them J is nearer to a symmetric matrix."""
    units = jax.tree.map(jnp.ones_like, state)
    squares = optax.tree_utils.tree_get(state, "nu")
    if squares is not None:
        own = jax.tree.map(lambda leaf: leaf + _SMALLEST_UNIT, squares)
        units = optax.tree_utils.tree_set(units, nu=own)
        if optax.tree_utils.tree_get(state, "mu") is not None:
            units = optax.tree_utils.tree_set(units, mu=jax.tree.map(jnp.sqrt, own))
    return units


def krylov(product: MatVec, dimension: int, order: int, key: jax.Array, dtype: Any) -> Krylov:
    """An Arnoldi run from a random vector, with full reorthogonalisation."""
    start = jax.random.normal(jax.random.fold_in(key, _START), (dimension,), dtype)
    run = decomp.hessenberg(clipped_order(order, dimension), reortho="full", custom_vjp=False)
    with jax.default_matmul_precision("highest"):
        result = run(product, start)
    return Krylov(result.J_small, jnp.linalg.norm(result.residual))


def flip_multipliers(found: Krylov) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The multipliers with the smallest real part, where they are known to a per cent.

    The derivative is not symmetric, so a small |Jv − μv| does not make μ an eigenvalue: the distance is up to
    that over |uᴴv| to first order, u being the left eigenvector.  Right after the start of an adaptive
    optimiser, whose squares are 0, or where some stay so, the derivative is without bounds.

    Args:
        found: of several points, (snapshot, order, order) and (snapshot,).

    Returns:
        real part, and about how far it is from an eigenvalue at most, each of shape (snapshot,); the first is
        NaN where that is more than 1 % of it and of 1, both where a run was not finite.
    """
    values = np.full(len(found.projected), np.nan)
    errors = np.full(len(values), np.nan)
    for index, (projected, rest) in enumerate(zip(found.projected, found.rest, strict=True)):
        if not (np.isfinite(projected).all() and np.isfinite(rest)):
            continue
        multipliers, left, right = scipy.linalg.eig(np.asarray(projected, np.float64), left=True)
        lowest = int(multipliers.real.argmin())
        overlap = abs(np.vdot(left[:, lowest], right[:, lowest]))
        # Rounding of the projected matrix counts like what lies outside of it.
        rounding = np.finfo(np.asarray(projected).dtype).eps * np.linalg.norm(projected)
        outside = float(rest) * abs(right[-1, lowest]) + rounding
        errors[index] = outside / overlap if overlap > 0 else np.inf
        if errors[index] <= _KNOWN * max(1.0, abs(multipliers[lowest].real)):
            values[index] = multipliers[lowest].real
    return values, errors


def preconditioner(kind: str, arguments: Mapping[str, Any], state: Any) -> jax.Array | None:
    """What an adaptive optimiser divides each gradient by, (parameter,); None if it is not known to.

    As by Cohen et al. (arXiv 2207.14484): of Adam (1 − β₁ᵗ)(√(ν/(1 − β₂ᵗ)) + ε), of RMSProp √(ν + ε) or
    √ν + ε.

    Args:
        kind: name of the optimiser in optax.
        arguments: that it was made with.
        state: what it remembers.
    """
    if kind not in ADAPTIVE:
        return None
    defaults = {
        name: item.default for name, item in inspect.signature(getattr(optax, kind)).parameters.items()
    }
    known = {**defaults, **arguments}
    squares, _ = ravel_pytree(optax.tree_utils.tree_get(state, "nu"))
    # Before the first step there is nothing to divide by.
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
    loss: Loss, parameters: jax.Array, divisor: jax.Array, order: int, key: jax.Array
) -> jax.Array:
    """The largest eigenvalue of P⁻¹H, with P the diagonal matrix of `divisor`, ().

    Args:
        loss: (parameter,) -> ().
        parameters: where to take H, (parameter,).
        divisor: see `preconditioner`.
        order: Lanczos steps.
        key: random key.
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
