"""Change of the residual of the squared error, mode by mode of its kernel (section III.4; Fig. F10).

The weighted squared error is F = 1/(2N) Σ w_jc (f_jc − y_jc)², over N samples j and outputs c.  If the neural
tangent kernel Θ is constant, a step of gradient descent changes the residual g = f − y by

    g ← g − (η/N) Θ W g,

where W is the diagonal matrix of the weights w.  In terms of s = √W g this is s ← s − (η/N) K s with the
symmetric kernel K = √W Θ √W.  Each step therefore multiplies a mode with the eigenvalue κ by 1 − x, where
x = ηκ/N.  The mode is smooth if x < 1, alternates if 1 < x < 2, and is unstable if x > 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dynamical_loss.probes.ntk import ntk_top_eigenpairs

Outputs = Callable[[Float[Array, " parameter"]], Float[Array, "sample class_index"]]
"""(parameter,) → (sample, class_index): the outputs for all samples."""

KERNELS = ("fixed", "moving")
"""Kernels with which the residual is predicted: the kernel of the first step, and the current kernel of each
step."""


class ResidualModes(NamedTuple):
    """The largest eigenvalues of the weighted kernel, and the change of the loss by a step.

    Attributes:
        multiple: x = ηκ/N of the largest eigenvalues κ, descending, (mode,).
        error: upper bound of the distance of each x to the x of an eigenvalue, (mode,).
        share: share of ‖s‖² along each eigenvector, (mode,).
        unweighted: x of the largest eigenvalue of the unweighted kernel Θ, ().
        step_change: change of F by a step of gradient descent at constant Γ, ().
        kernel_change: change of F by the same step if the kernel were constant during the step, ().
    """

    multiple: Float[Array, " mode"]
    error: Float[Array, " mode"]
    share: Float[Array, " mode"]
    unweighted: Float[Array, ""]
    step_change: Float[Array, ""]
    kernel_change: Float[Array, ""]


def residual_modes(
    outputs: Outputs,
    targets: Float[Array, "sample class_index"],
    weight: Float[Array, "sample class_index"],
    parameters: Float[Array, " parameter"],
    learning_rate: Float[Array, ""],
    *,
    modes: int,
    order: int,
    key: PRNGKeyArray,
) -> ResidualModes:
    """Compute eigenvalues of the weighted kernel, the residual's shares, and the change of F by a step.

    Args:
        outputs: outputs of the network as a function of its parameters.
        targets: one-hot labels y, (sample, class_index).
        weight: weight w of each squared error, (sample, class_index).
        parameters: place at which everything is measured, (parameter,).
        learning_rate: η of the step that starts at this place, ().
        modes: number of eigenvalues.
        order: number of Lanczos steps, clipped to sample · class_index.
        key: random key of the start vector.

    Returns:
        `ResidualModes`.

    Raises:
        ValueError: if `modes` exceeds what `order` steps can give.
        UserError: if neural-tangents is not installed.
    """
    root = jnp.sqrt(weight)
    samples = len(targets)

    def scaled(
        flat: Float[Array, " parameter"], _: Float[Array, "sample class_index"]
    ) -> Float[Array, "sample class_index"]:
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
    """Errors of the residuals that the kernels predict along a run.

    Attributes:
        age: number of steps since the last restart of the prediction from the run's residual, (snapshot,).
        error: distance between the residual that each of `KERNELS` predicts and the run's residual, divided
            by the largest distance of the run's residual to its value at the restart, (snapshot, kernel).  An
            error of 1 is as large as that of the prediction that the residual does not move.  NaN at age 0,
            and while the run's residual has not moved.
    """

    age: Int[Array, " snapshot"]
    error: Float[Array, "snapshot kernel"]


def follow(
    outputs: Outputs,
    targets: Float[Array, "sample class_index"],
    steps: Int[Array, " snapshot"],
    parameters: Float[Array, "snapshot parameter"],
    weight: Callable[[Float[Array, " class_index"]], Float[Array, "sample class_index"]],
    class_weight: Float[Array, "snapshot class_index"],
    learning_rate: Float[Array, " snapshot"],
    *,
    restart: int,
) -> Followed:
    """Predict the residual along a run by g ← g − (η/N) Θ W g, with the fixed and with the moving kernel.

    Both predictions restart from the run's residual after `restart` steps, and at every snapshot that is not
    one step after the snapshot before.

    Args:
        outputs: outputs of the network as a function of its parameters.
        targets: one-hot labels y, (sample, class_index).
        steps: minimisation steps done at the snapshots, (snapshot,).
        parameters: parameters at the snapshots, (snapshot, parameter).
        weight: function that computes the weights w, (sample, class_index), from Γ, (class_index,).
        class_weight: class weights Γ at the snapshots, (snapshot, class_index).
        learning_rate: η at the snapshots, (snapshot,).
        restart: number of steps after which the predictions restart.

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
        # The largest distance and not the current one: an alternating residual returns to its start every
        # second step.
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
    """State of the predictions.

    Attributes:
        step: step of the last snapshot, ().
        age: number of steps since the last restart, ().
        anchor: parameters at the last restart, (parameter,).
        origin: residual at the last restart, (sample, class_index).
        farthest: largest distance of the run's residual to `origin` so far, ().
        led: residual that each kernel predicts, (kernel, sample, class_index).
    """

    step: Int[Array, ""]
    age: Int[Array, ""]
    anchor: Float[Array, " parameter"]
    origin: Float[Array, "sample class_index"]
    farthest: Float[Array, ""]
    led: Float[Array, "kernel sample class_index"]


def _kernel_product(
    outputs: Outputs, parameters: Float[Array, " parameter"], vector: Float[Array, "sample class_index"]
) -> Float[Array, "sample class_index"]:
    """Compute Θ v = J (Jᵀ v), (sample, class_index)."""
    pulled = jax.vjp(outputs, parameters)[1](vector)
    product: jax.Array = jax.jvp(outputs, (parameters,), pulled)[1]
    return product
