"""Convert settings and data to the arguments of the training engine, and run the engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from dynamical_loss import losses
from dynamical_loss.config import code
from dynamical_loss.config.training import LearningRateRule, TrainingSettings
from dynamical_loss.datasets import loading
from dynamical_loss.datasets.loading import Data
from dynamical_loss.errors import UserError
from dynamical_loss.losses.weights import Oscillation
from dynamical_loss.models.network import Parameters, initial_parameters, network
from dynamical_loss.models.network import computed_by as network_computed_by
from dynamical_loss.optimisers import optimiser
from dynamical_loss.progress import report
from dynamical_loss.results.digest import Code
from dynamical_loss.results.record import Inputs
from dynamical_loss.training.checkpoint import FileCheckpoint
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.step_size import DriftAdjusted
from dynamical_loss.training.types import Array, History, Perceptron, Problem, Runs, Schedule

SettingsType = TypeVar("SettingsType", bound=TrainingSettings)


def load(settings: SettingsType, dataset: Path, inputs: Inputs) -> tuple[SettingsType, Data]:
    """Load the dataset, and complete the settings with the length of the run in steps.

    Args:
        settings: settings of the training.
        dataset: file of the dataset.
        inputs: record of the files that the result depends on; the dataset is added.

    Raises:
        UserError: if the dataset cannot be read or does not fit the settings.
    """
    data = loading.load(dataset, inputs)
    try:
        return settings.for_data(data.shape), data
    except ValueError as error:
        raise UserError(f"{dataset}: {error}") from None


def code_of(stage: str, settings: TrainingSettings, data: Data) -> Code:
    """Return the code that a training stage depends on, on this device; see `config.code.training`.

    Raises:
        UserError: if the engine of the settings cannot train the problem.
    """
    try:
        return code.training(stage, settings, data.shape, jax.default_backend())
    except ValueError as error:
        raise UserError(str(error)) from None


def build(settings: TrainingSettings, data: Data, seeds: Sequence[int]) -> tuple[Problem, Parameters]:
    """Build the training problem and the initial parameters of each seed, stacked along (run,)."""
    shape = data.train_inputs.shape[1:]
    model = settings.model.build(data.classes, settings.arithmetic)
    layer = settings.model.hidden_layer
    points = tuple((place * settings.steps, factor) for place, factor in settings.learning_rate_schedule)
    problem = Problem(
        network=network(settings.model, model, shape),
        loss=losses.sample_loss(settings.loss.kind),
        oscillation=Oscillation(
            settings.loss.waveform,
            settings.loss.rest_steps,
            settings.loss.emphasis,
            settings.loss.normalisation,
        ),
        optimiser=optimiser(
            settings.optimiser.kind, settings.optimiser.arguments, settings.optimiser.weight_decay
        ),
        train_inputs=data.train_inputs,
        train_targets=data.one_hot(data.train_labels),
        validation_inputs=data.validation_inputs,
        validation_targets=data.one_hot(data.validation_labels),
        perceptron=Perceptron(layer.width, settings.loss.kind, layer.bias) if layer else None,
        batch_size=settings.batch_size,
        learning_rate_points=points or None,
        step_size=_step_size(settings.learning_rate_rule),
        evaluation_samples=settings.evaluation_samples,
        by_output=settings.loss.weighting == "output",
        products=settings.model.size(data.shape).products,
    )
    return problem, initial_parameters(model, shape, seeds)


def output_scales(settings: TrainingSettings, count: int) -> Float[Array, " run"] | None:
    """Return the scale α of each of `count` runs; None if the output is not scaled."""
    return None if settings.output_scale is None else np.full(count, settings.output_scale)


def leaders(settings: TrainingSettings, data: Data, seeds: Sequence[int]) -> Parameters | None:
    """Build the initial parameters of the leaders (seeds + 1); None if the rule replays no steps."""
    if not settings.learning_rate_rule.replays:
        return None
    return build(settings, data, [seed + 1 for seed in seeds])[1]


def _step_size(rule: LearningRateRule) -> DriftAdjusted | None:
    if not rule.adjusts or rule.cap is None:
        return None
    static = rule.steps_of == "static_next_seed"
    return DriftAdjusted(rule.power, rule.constant, rule.cap, rule.replays, static)


def oscillation_end(settings: TrainingSettings, period: int, classes: int) -> int:
    """Return the first step at which the oscillation has ended and Γ stays 1.

    Args:
        settings: settings of the training.
        period: T, in steps.
        classes: number of classes.

    Raises:
        UserError: if the period is too long to leave a static period at the end of the run.
    """
    try:
        return settings.oscillation_end(period, classes)
    except ValueError as error:
        raise UserError(f"period: {error}; take a shorter period or more steps") from None


def train(
    settings: TrainingSettings,
    data: Data,
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    label: str,
    checkpoint: FileCheckpoint,
) -> History:
    """Train the runs, and print the progress and the number of diverged runs to standard error.

    Args:
        settings: settings of the training.
        data: dataset.
        problem: training problem; see `build`.
        runs: runs to train.
        schedule: steps of the records and the snapshots.
        label: name of the work, for the progress report.
        checkpoint: store for unfinished work.

    Raises:
        ValueError: if the settings choose the fused loop and it cannot train the problem.
        Interrupted: if the process receives SIGINT or SIGTERM while `checkpoint` watches for signals.
    """
    engine = settings.trained_by(data.shape, jax.default_backend())
    products = network_computed_by(settings.model, settings.arithmetic, settings.precision)
    if products.endswith("XLA") and settings.precision == "float32":
        gains = "; without it, bfloat16 is not faster than full" if settings.arithmetic == "bfloat16" else ""
        print(f"{products}, because the C code is not available{gains}", file=sys.stderr)
    with report(f"training {label}") as progress:
        history = train_ensemble(
            problem,
            runs,
            schedule,
            precision=settings.precision,
            engine=engine,
            batching=settings.batching,
            progress=progress,
            checkpoint=checkpoint,
        )
    diverged = int(history.diverged.sum())
    if diverged:
        print(
            f"{diverged} of {len(history.diverged)} runs diverged and are recorded as diverged",
            file=sys.stderr,
        )
    return history


def computed_by(settings: TrainingSettings, data: Data) -> str:
    """Name what computes the training besides JAX's own programs; empty if nothing does.

    Unfinished work of another compiler, or for vectors of another width, is not resumed.
    """
    if settings.trained_by(data.shape, jax.default_backend()) == "fused":
        from dynamical_loss.training import fused

        return fused.COMPILER
    return network_computed_by(settings.model, settings.arithmetic, settings.precision)


def origin(settings: TrainingSettings, data: Data, history: History) -> dict[str, Any]:
    """Return global attributes for a result: the engine, the numbers of samples, and those of the dataset."""
    return {
        "engine": history.engine,
        "train_samples": len(data.train_inputs),
        "validation_samples": len(data.validation_inputs),
        "steps_per_epoch": settings.steps_per_epoch(len(data.train_inputs)),
        **data.attributes,
    }
