"""How the residual of the squared error moves, mode by mode of its kernel (section III.4; Fig. F10).

The weighted squared error is F = 1/(2N) Σ w_jc (f_jc − y_jc)², over N samples j and outputs c.  While the
neural tangent kernel Θ stays as it is, a step of gradient descent changes the residual g = f − y by

    g ← g − (η/N) Θ W g,

with the weights w on W's diagonal.  With s = √W g this is s ← s − (η/N) K s with the symmetric kernel
K = √W Θ √W, and so a mode of eigenvalue κ is multiplied by 1 − x in each step, x = ηκ/N: it is smooth for
x < 1, alternates for 1 < x < 2, and is unstable for x > 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dynamical_loss.probes.ntk import ntk_top_eigenpairs

Outputs = Callable[[jax.Array], jax.Array]
"""(parameter,) → (sample, class_index): the outputs for all samples."""

KERNELS = ("fixed", "moving")
"""Kernels that the residual is followed with: that of the first step, and that of each step."""


class ResidualModes(NamedTuple):
    """The top of the weighted kernel's spectrum, and what a step does.

    Attributes:
        multiple: x = ηκ/N of the largest eigenvalues κ, descending, (mode,).
        error: each is at most that far from a true one, (mode,).
        share: share of ‖s‖² along each eigenvector, (mode,).
        unweighted: x of the largest eigenvalue of Θ itself, ().
        step_change: change of F by a step of gradient descent, Γ held, ().
        kernel_change: the same if the kernel stayed as it is during the step, ().
    """

    multiple: jax.Array
    error: jax.Array
    share: jax.Array
    unweighted: jax.Array
    step_change: jax.Array
    kernel_change: jax.Array


def residual_modes(
    outputs: Outputs,
    targets: jax.Array,
    weight: jax.Array,
    parameters: jax.Array,
    learning_rate: jax.Array,
    *,
    modes: int,
    order: int,
    key: jax.Array,
) -> ResidualModes:
    """Eigenvalues of the weighted kernel, the residual's place in them, and what a step does to F.

    Args:
        outputs: of the network.
        targets: (sample, class_index).
        weight: w, of each squared error, (sample, class_index).
        parameters: where, (parameter,).
        learning_rate: η of the step that is taken here, ().
        modes: how many eigenvalues.
        order: Lanczos steps, clipped to sample · class_index.
        key: random key of the start vector.

    Returns:
        `ResidualModes`.

    Raises:
        ValueError: if `modes` exceeds what `order` steps can give.
    """
    root = jnp.sqrt(weight)
    samples = len(targets)

    def scaled(flat: jax.Array, _: jax.Array) -> jax.Array:
        return root * (outputs(flat) - targets)

    with jax.default_matmul_precision("highest"):
        found, vectors = ntk_top_eigenpairs(scaled, parameters, targets, modes=modes, order=order, key=key)
        plain = ntk_top_eigenpairs(
            lambda flat, _: outputs(flat), parameters, targets, modes=1, order=order, key=key
        )[0]
        here = root * (outputs(parameters) - targets)
        rate = learning_rate / samples
        by_kernel = here - rate * root * _kernel_product(outputs, parameters, root * here)
        pulled = jax.vjp(outputs, parameters)[1]
        landed = scaled(parameters - rate * pulled(root * here)[0], targets)
        square = jnp.sum(here**2)
        return ResidualModes(
            rate * found.eigenvalue,
            rate * found.residual,
            (here.reshape(-1) @ vectors) ** 2 / square,
            rate * plain.eigenvalue[0],
            (jnp.sum(landed**2) - square) / (2 * samples),
            (jnp.sum(by_kernel**2) - square) / (2 * samples),
        )


class Followed(NamedTuple):
    """How far the residual is from where kernels lead it.

    Attributes:
        age: steps since the kernels' residual was that of the run, (snapshot_step,).
        error: distance of the residual that each of `KERNELS` leads to from the run's, over the farthest that
            the run's has been from its start since then, (snapshot_step, kernel).  At 1 a kernel is as far
            off as if the run had rested.  NaN at age 0, and where the run's residual has not moved.
    """

    age: jax.Array
    error: jax.Array


def follow(
    outputs: Outputs,
    targets: jax.Array,
    steps: jax.Array,
    parameters: jax.Array,
    weight: Callable[[jax.Array], jax.Array],
    class_weight: jax.Array,
    learning_rate: jax.Array,
    *,
    restart: int,
) -> Followed:
    """Follow the residual along a run by g ← g − (η/N) Θ W g, with the fixed and with the moving kernel.

    Both start anew from the run's residual after `restart` steps, and wherever snapshots are not one step
    apart.

    Args:
        outputs: of the network.
        targets: (sample, class_index).
        steps: of the snapshots, (snapshot_step,).
        parameters: there, (snapshot_step, parameter).
        weight: makes w, (sample, class_index), from Γ, (class_index,).
        class_weight: Γ there, (snapshot_step, class_index).
        learning_rate: η there, (snapshot_step,).
        restart: see above.

    Returns:
        `Followed`.
    """
    zero = jnp.zeros((), targets.dtype)

    def visit(carry: _Carry, item: tuple[jax.Array, ...]) -> tuple[_Carry, tuple[jax.Array, jax.Array]]:
        step, flat, gamma, rate = item
        here = outputs(flat) - targets
        again = (step != carry.step + 1) | (carry.age > restart)
        started = _Carry(step, jnp.zeros_like(carry.age), flat, here, zero, jnp.stack([here, here]))
        kept = carry._replace(step=step)
        now: _Carry = jax.tree.map(lambda new, old: jnp.where(again, new, old), started, kept)
        # The farthest and not the last: what alternates is back at its start in every second step.
        farthest = jnp.maximum(now.farthest, jnp.linalg.norm(here - now.origin))
        error = jnp.linalg.norm((now.led - here).reshape(2, -1), axis=1) / farthest
        pull = weight(gamma) * now.led
        moved = jnp.stack(
            [_kernel_product(outputs, now.anchor, pull[0]), _kernel_product(outputs, flat, pull[1])]
        )
        onward = now._replace(age=now.age + 1, farthest=farthest, led=now.led - rate / len(targets) * moved)
        return onward, (now.age, jnp.where(now.age == 0, jnp.nan, error))

    with jax.default_matmul_precision("highest"):
        blank = jnp.zeros_like(targets)
        never = jnp.full((), -2, steps.dtype)
        first = _Carry(never, jnp.zeros((), int), parameters[0], blank, zero, jnp.stack([blank, blank]))
        items = steps, parameters, class_weight, learning_rate
        return Followed(*jax.lax.scan(visit, first, items)[1])


class _Carry(NamedTuple):
    """Where the kernels' residuals are.

    Attributes:
        step: of the last snapshot, ().
        age: steps since they started, ().
        anchor: parameters where they started, (parameter,).
        origin: the residual there, (sample, class_index).
        farthest: distance that the run's residual has had from it, ().
        led: the residual that each kernel leads to, (kernel, sample, class_index).
    """

    step: jax.Array
    age: jax.Array
    anchor: jax.Array
    origin: jax.Array
    farthest: jax.Array
    led: jax.Array


def _kernel_product(outputs: Outputs, parameters: jax.Array, vector: jax.Array) -> jax.Array:
    """Θ v = J (Jᵀ v), (sample, class_index)."""
    pulled = jax.vjp(outputs, parameters)[1](vector)
    product: jax.Array = jax.jvp(outputs, (parameters,), pulled)[1]
    return product
