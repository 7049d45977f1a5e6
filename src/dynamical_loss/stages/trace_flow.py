"""Compare flows with gradient descent, starting at snapshots of trajectories (Fig. F4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from dynamical_loss.config import code
from dynamical_loss.config.flow import FlowStudy
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.datasets import loading
from dynamical_loss.errors import UserError
from dynamical_loss.flows.names import KINDS, KINDS_OF_PIECES
from dynamical_loss.flows.network import Problem, Trace, sharpness, tracer
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.progress import report
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.settings import validate


def run(settings: FlowStudy, trajectories: Sequence[Path], dataset: Path, output: Path) -> None:
    """Write the distance between each flow and gradient descent, for each run and start and after each step.

    Args:
        settings: settings of the flows.
        trajectories: trajectories of runs that differ only in their seeds.
        dataset: dataset that the runs were trained on.
        output: file to write.

    Raises:
        UserError: if an input cannot be read, a trajectory was not trained on the dataset, the runs differ in
            more than their seeds, or a flow cannot follow such runs.
    """
    inputs = Inputs()
    runs, study = _runs(trajectories, inputs)
    training = validate(
        TrajectorySettings,
        {name: study[name] for name in TrajectorySettings.model_fields if name in study},
        str(trajectories[0]),
    )
    data = loading.load(dataset, inputs)
    try:
        settings.require_possible(training, data.classes)
    except ValueError as error:
        raise UserError(f"--settings: {error}") from None
    for trajectory in trajectories:
        inputs.require_made_from(trajectory, dataset)
    seeds = sorted(runs)
    record = Provenance(
        code.following(training),
        {**settings.model_dump(), "trajectory": study},
        seeds,
        "float64",
        inputs,
    )
    model = training.model.build(data.classes)
    example = jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, data.train_inputs.shape[1:], [0]))
    problem = Problem(
        apply_function(model),
        example,
        data.train_inputs,
        data.one_hot(data.train_labels),
        training.loss.kind,
        training.loss.weighting == "output",
        training.model.analytic,
    )
    kinds = list(KINDS) if problem.smooth else list(KINDS_OF_PIECES)
    starts = [
        [
            (
                runs[seed]["parameters"].sel(snapshot_step=start).values,
                runs[seed]["class_weight"].values[start : start + settings.steps],
            )
            for start in settings.starts
        ]
        for seed in seeds
    ]
    rate, count = training.learning_rate, len(kinds) * len(seeds)
    traces: list[list[list[Trace]]] = []
    with jax.enable_x64(True), report(f"following {output.stem}") as progress:
        curvature = sharpness(problem)
        largest = [[rate * curvature(place, each[0]) for place, each in of_run] for of_run in starts]
        for kind in kinds:
            trace = tracer(
                problem,
                kind,
                order=settings.order,
                tolerance=settings.tolerance,
                evaluations=settings.evaluations,
            )
            traces.append([])
            for of_run in starts:
                traces[-1].append([trace(place, each, rate) for place, each in of_run])
                progress(sum(map(len, traces)) / count)
    variables = netcdf.Variables()
    figure = "arXiv 2302.01952, Fig. F4"
    variables.add("flow", ("flow",), kinds, "kind of flow", reference=figure)
    variables.add("seed", ("seed",), seeds, "initial random seed", reference=figure)
    variables.add(
        "start", ("start",), settings.starts, "minimisation steps done at the start", reference=figure
    )
    words = "learning rate times the largest eigenvalue of the weighted loss's Hessian at the start"
    variables.add("multiple", ("seed", "start"), largest, words, reference=figure)
    for name, words in (
        ("error", "distance of a flow from gradient descent, after 0, 1, … steps"),
        ("imaginary", "length of a flow's imaginary part"),
        ("evaluations", "evaluations of a flow's field so far"),
        ("stuck", "1 if the flow could not be integrated so far within its evaluations"),
    ):
        found = np.array(
            [[[getattr(trace, name) for trace in of_run] for of_run in of_kind] for of_kind in traces]
        )
        variables.add(name, ("flow", "seed", "start", "step"), found, words, reference=figure)
    origin = recorded.of_data(*(runs[seed] for seed in seeds))
    record.write(variables.dataset().assign_attrs(origin), output)


def _runs(trajectories: Sequence[Path], inputs: Inputs) -> tuple[dict[int, xr.Dataset], dict[str, Any]]:
    """Return the runs by seed, and the settings that the runs share.

    Raises:
        UserError: if the runs differ in more than their seeds, or a seed is given twice.
    """
    wanted = ["parameters", "class_weight", "snapshot_step"]
    runs: dict[int, xr.Dataset] = {}
    shared: dict[str, Any] | None = None
    for trajectory in trajectories:
        stored = inputs.read(trajectory, wanted, made_by="train_trajectory")
        settings = recorded.settings_of(stored)
        seed = settings.pop("seed")
        shared = settings if shared is None else shared
        if settings != shared:
            raise UserError(
                f"{trajectory} belongs to another study than {trajectories[0]}; give runs of one study"
            )
        if seed in runs:
            raise UserError(f"{trajectory}: another given run has seed {seed} too; give each seed once")
        runs[seed] = stored
    assert shared is not None
    return runs, shared
