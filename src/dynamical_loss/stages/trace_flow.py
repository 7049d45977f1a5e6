"""Follow gradient descent by flows from snapshots of a trajectory on (Fig. F4)."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

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


def run(settings: FlowStudy, trajectory: Path, dataset: Path, output: Path) -> None:
    """Write the distance of each flow from gradient descent, after each step from each start.

    Raises:
        UserError: if an input cannot be read, the trajectory was not trained on the dataset, or it is none
            that a flow can follow.
    """
    inputs = Inputs()
    wanted = ["parameters", "class_weight", "snapshot_step"]
    stored = inputs.read(trajectory, wanted, made_by="train_trajectory")
    origin = recorded.settings_of(stored)
    known = {name: origin[name] for name in TrajectorySettings.model_fields if name in origin}
    training = validate(TrajectorySettings, known, str(trajectory))
    try:
        settings.require_possible(training)
    except ValueError as error:
        raise UserError(f"--settings: {error}") from None
    data = loading.load(dataset, inputs)
    inputs.require_made_from(trajectory, dataset)
    record = Provenance(
        code.following(training),
        {**settings.model_dump(), "trajectory": origin},
        [origin["seed"]],
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
    weights = stored["class_weight"].values
    starts = [
        (stored["parameters"].sel(snapshot_step=start).values, weights[start : start + settings.steps])
        for start in settings.starts
    ]
    rate = training.learning_rate
    traces: list[list[Trace]] = []
    with jax.enable_x64(True), report(f"following {output.stem}") as progress:
        largest = [rate * sharpness(problem, place, each[0]) for place, each in starts]
        for kind in kinds:
            trace = tracer(
                problem,
                kind,
                order=settings.order,
                tolerance=settings.tolerance,
                evaluations=settings.evaluations,
            )
            traces.append([trace(place, each, rate) for place, each in starts])
            progress(len(traces) / len(kinds))
    variables = netcdf.Variables()
    figure = "arXiv 2302.01952, Fig. F4"
    variables.add("flow", ("flow",), kinds, "kind of flow", reference=figure)
    variables.add(
        "start", ("start",), settings.starts, "minimisation steps done at the start", reference=figure
    )
    words = "learning rate times the largest eigenvalue of the weighted loss's Hessian at the start"
    variables.add("multiple", ("start",), largest, words, reference=figure)
    for name, words in (
        ("error", "distance of a flow from gradient descent, after 0, 1, … steps"),
        ("imaginary", "length of a flow's imaginary part"),
        ("evaluations", "evaluations of a flow's field so far"),
        ("stuck", "1 if the flow could not be integrated so far within its evaluations"),
    ):
        found = np.array([[getattr(trace, name) for trace in of_kind] for of_kind in traces])
        variables.add(name, ("flow", "start", "step"), found, words, reference=figure)
    record.write(variables.dataset().assign_attrs(recorded.of_data(stored)), output)
