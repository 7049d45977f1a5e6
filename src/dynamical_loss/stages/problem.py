"""From settings and data to what the training engine takes, and its work on that."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import jax

from dynamical_loss import fused, losses, models
from dynamical_loss.checkpoint import FileCheckpoint
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets import Data
from dynamical_loss.errors import UserError
from dynamical_loss.models import Parameters
from dynamical_loss.optimisers import optimiser
from dynamical_loss.progress import report
from dynamical_loss.training import History, Problem, Runs, Schedule, train_ensemble


def build(settings: TrainingSettings, data: Data, seeds: Sequence[int]) -> tuple[Problem, Parameters]:
    """The training problem and the initial parameters of each seed, stacked along (run,).

    Raises:
        UserError: if the settings ask for the fused loop and it does not cover the problem.
    """
    shape = data.train_inputs.shape[1:]
    model = models.build(settings.model, data.classes)
    perceptron = fused.perceptron(
        settings.model, settings.loss.kind, settings.optimiser, math.prod(shape), data.classes
    )
    if settings.engine == "fused" and (perceptron is None or jax.default_backend() != "cpu"):
        raise UserError(
            f"engine: fused needs a CPU and few features and classes, here {math.prod(shape)} and "
            f"{data.classes} on a {jax.default_backend()}; take auto or xla"
        )
    problem = Problem(
        apply=models.apply_function(model),
        loss=losses.sample_loss(settings.loss.kind),
        waveform=settings.loss.waveform,
        optimiser=optimiser(settings.optimiser.kind, settings.optimiser.arguments),
        train_inputs=data.train_inputs,
        train_targets=data.one_hot(data.train_labels),
        validation_inputs=data.validation_inputs,
        validation_targets=data.one_hot(data.validation_labels),
        perceptron=perceptron,
    )
    return problem, models.initial_parameters(model, shape, seeds)


def train(
    settings: TrainingSettings,
    problem: Problem,
    runs: Runs,
    schedule: Schedule,
    label: str,
    checkpoint: FileCheckpoint,
) -> History:
    """Train, with progress and the number of diverged runs on standard error.

    Raises:
        Interrupted: if `checkpoint` was watching and the process was asked to stop.
    """
    with report(f"training {label}") as progress:
        history = train_ensemble(
            problem,
            runs,
            schedule,
            precision=settings.precision,
            engine=settings.engine,
            progress=progress,
            checkpoint=checkpoint,
        )
    diverged = int(history.diverged.sum())
    if diverged:
        print(f"{diverged} of {len(history.diverged)} runs diverged and are kept as such", file=sys.stderr)
    return history
