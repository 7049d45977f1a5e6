"""Measure the cost of 2800 curvature probes.

A probe finds the three largest eigenvalues of the Hessian, or the largest of the neural tangent kernel (NTK).
The snapshots are spread over a real run of Fig. 4's protocol.  The Lanczos order is the smallest at which the
residual |Hv − λv| is at most 1e-6 λ for every mode and every snapshot.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import contenders
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.flatten_util import ravel_pytree
from machine import Measurement, measurement

from dynamical_loss import losses
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.grid import last_period_boundary
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.probes import hessian, ntk
from dynamical_loss.training import problem as problems
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Runs, Schedule

Array = npt.NDArray[Any]

SNAPSHOTS = 2800
TOLERANCE = 1e-6
MODES = {"hessian": 3, "ntk": 1}
ORDERS = (10, 26)  # smallest and largest Lanczos order that the search considers


class Trajectory(NamedTuple):
    """Snapshots of one run: steps, flat parameters (snapshot, parameter), Γ (snapshot, class_index)."""

    step: Array
    parameters: Array
    class_weight: Array


def trajectory(width: int, steps: int, every: int) -> Trajectory:
    """Train a run of Fig. 4's protocol (T = 5000, A = 70, float64), with a snapshot every `every` steps."""
    settings = TrajectorySettings.model_validate({"model": {"width": width}, "steps": steps})
    problem, parameters = problems.build(settings, contenders.data(), [0])
    end = last_period_boundary(settings.steps, settings.period)
    runs = Runs(parameters, [settings.period], [settings.amplitude], [settings.learning_rate], [end])
    history = train_ensemble(problem, runs, Schedule.regular(steps, every, every), precision="float64")
    # Records and snapshots are taken at the same steps here.
    return Trajectory(history.snapshot_step, history.parameters[0], history.class_weight[0])


@functools.cache
def probe(kind: str, width: int, order: int) -> Callable[[Trajectory], Any]:
    """Compile a probe of all snapshots, one after another as in the pipeline's stage."""
    settings = TrajectorySettings.model_validate({"model": {"width": width}})
    data = contenders.data()
    model = settings.model.build(data.classes)
    apply = apply_function(model)
    loss = losses.sample_loss(settings.loss.kind)
    inputs, targets = jnp.asarray(data.train_inputs), jnp.asarray(data.one_hot(data.train_labels))
    initial = initial_parameters(model, inputs.shape[1:], [0])
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), initial))

    def one(snapshot: Trajectory) -> Any:
        key = jax.random.fold_in(jax.random.key(0), snapshot.step)
        parameters = jnp.asarray(snapshot.parameters)
        common: dict[str, Any] = {"modes": MODES[kind], "order": order, "key": key}
        if kind == "ntk":
            return ntk.ntk_top_eigenpairs(apply, unravel(parameters), inputs, **common)[0]
        return hessian.extreme_eigenvalues(
            lambda flat: losses.weighted_loss(
                loss, apply(unravel(flat), inputs), targets, snapshot.class_weight
            ),
            parameters,
            **common,
        )

    return jax.jit(lambda snapshots: jax.lax.map(one, snapshots))


def relative_residuals(spectrum: Any) -> Array:
    """Return |Hv − λv| / |λ|, (snapshot, mode)."""
    residuals: Array = np.asarray(spectrum.residual) / np.abs(np.asarray(spectrum.eigenvalue))
    return residuals


def smallest_order(kind: str, width: int, snapshots: Trajectory, orders: tuple[int, int]) -> int:
    """Find the smallest sufficient Lanczos order by bisection; residuals fall as the order grows.

    Returns the largest of `orders` if no order in this range is sufficient.
    """
    low, high = orders
    while low < high:
        order = (low + high) // 2
        residual = relative_residuals(probe(kind, width, order)(snapshots))
        low, high = (low, order) if (residual <= TOLERANCE).all() else (order + 1, high)
    return low


def measure(
    runs: Sequence[tuple[int, int, int]], repetitions: int, orders: tuple[int, int]
) -> list[Measurement]:
    """Measure the processor time of a probe, extrapolated to 2800 snapshots, and the residuals.

    Args:
        runs: (width, steps, steps between snapshots) of the trajectories to probe.
        repetitions: number of times that the compiled probe of all snapshots is timed.
        orders: smallest and largest Lanczos order to consider.
    """
    result = []
    with jax.enable_x64(True):
        for width, steps, every in runs:
            snapshots = trajectory(width, steps, every)
            count = len(snapshots.step)
            for kind, modes in MODES.items():
                order = smallest_order(kind, width, snapshots, orders)
                compiled = probe(kind, width, order)
                residual = relative_residuals(compiled(snapshots))
                times = []
                for _ in range(repetitions):
                    start = time.process_time()
                    jax.block_until_ready(compiled(snapshots))  # type: ignore[no-untyped-call]  # no type
                    times.append((time.process_time() - start) / count * SNAPSHOTS)
                keys = {
                    "probe": kind,
                    "width": width,
                    "modes": modes,
                    "order": order,
                    "snapshots": count,
                    "steps": steps,
                }
                result += [
                    measurement("probe", f"time of {SNAPSHOTS} snapshots", "s", times, **keys),
                    measurement("probe", "largest residual", "1", float(residual.max()), **keys),
                    measurement("probe", "median residual", "1", float(np.median(residual)), **keys),
                ]
    return result
