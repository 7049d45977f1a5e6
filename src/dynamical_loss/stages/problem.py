"""From settings and data to what the training engine takes."""

from __future__ import annotations

from collections.abc import Sequence

from dynamical_loss import losses, models
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets import Data
from dynamical_loss.models import Parameters
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training import Problem


def build(settings: TrainingSettings, data: Data, seeds: Sequence[int]) -> tuple[Problem, Parameters]:
    """The training problem and the initial parameters of each seed, stacked along (run,)."""
    model = models.build(settings.model, data.classes)
    problem = Problem(
        apply=models.apply_function(model),
        loss=losses.sample_loss(settings.loss.kind),
        waveform=settings.loss.waveform,
        optimiser=optimiser(settings.optimiser.kind, settings.optimiser.arguments),
        train_inputs=data.train_inputs,
        train_targets=data.one_hot(data.train_labels),
        validation_inputs=data.validation_inputs,
        validation_targets=data.one_hot(data.validation_labels),
    )
    return problem, models.initial_parameters(model, data.train_inputs.shape[1:], seeds)
