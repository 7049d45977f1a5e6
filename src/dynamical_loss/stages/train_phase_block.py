"""Train one block of a phase study: one period, some amplitudes, several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from dynamical_loss import resources
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.grid import Block
from dynamical_loss.models.network import computed_by
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.training import problem as problems
from dynamical_loss.training.checkpoint import FileCheckpoint
from dynamical_loss.training.types import Runs, Schedule


def run(
    settings: TrainingSettings, block: Block, dataset: Path, output: Path, checkpoint_seconds: float
) -> None:
    """Train the block and write its learning curves.

    Args:
        settings: what all runs share.
        block: the cells and seeds.
        dataset: file made by prepare-dataset.
        output: the file to write.
        checkpoint_seconds: least time between two writes of unfinished work.

    Raises:
        Interrupted: if the process was asked to stop; what was done is kept.
        UserError: if the dataset cannot be read, or the period leaves no static one.
    """
    inputs = Inputs()
    settings, data = problems.load(settings, dataset, inputs)
    resources.warn_of_memory(resources.phase_block(settings, data, block))
    period = max(1, settings.steps // 2) if block.period is None else block.period
    end = problems.oscillation_end(settings, period, data.classes)
    record = Provenance(
        problems.code_of("train_phase_block", settings, data),
        {**settings.model_dump(), "block": block.name},
        block.seeds,
        settings.precision,
        inputs,
        computed_by(settings.model, settings.arithmetic, settings.precision),
    )
    seeds, amplitudes = list(block.seeds), list(block.amplitudes)
    problem, parameters = problems.build(settings, data, seeds)

    def repeated(parameters: Any) -> Any:
        return jax.tree.map(lambda leaf: np.concatenate([leaf] * len(amplitudes)), parameters)

    # Runs in the order of the file's dimensions: all seeds of the first amplitude, of the second, …
    count = len(amplitudes) * len(seeds)
    runs = Runs(
        parameters=repeated(parameters),
        period=np.full(count, period),
        amplitude=np.repeat(amplitudes, len(seeds)),
        learning_rate=np.full(count, settings.learning_rate),
        oscillation_end=np.full(count, end),
        seed=np.tile(seeds, len(amplitudes)),
        leader=repeated(problems.leaders(settings, data, seeds)),
    )
    schedule = Schedule.regular(settings.steps, settings.record_every)
    checkpoint = FileCheckpoint(output, record, checkpoint_seconds)
    with checkpoint.watch():
        history = problems.train(settings, data, problem, runs, schedule, block.name, checkpoint)
        variables = netcdf.Variables()
        cells = ("amplitude", "seed")
        variables.add(
            "amplitude", cells[:1], amplitudes, "amplitude A of the oscillation", reference="Fig. 1, 3"
        )
        variables.add("seed", cells[1:], seeds, "random seed", reference="Fig. 1, 3")
        variables.add("step", ("step",), history.step, "minimisation steps done, t", reference="Eq. 2")
        adjusted = [("learning_rate", "learning rate η(t) of the step that follows")]
        for name, words in (
            *(adjusted if problem.step_size is not None else ()),
            ("weighted_loss", "dynamical loss F(t), mean over samples"),
            ("loss", "static loss, mean over samples"),
            ("train_accuracy", "fraction of training samples classified correctly"),
            ("validation_accuracy", "fraction of validation samples classified correctly"),
            ("diverged", "1 if the loss stopped being finite"),
            ("divergence_step", "first recorded step with a loss that is not finite, -1 if none"),
        ):
            values = getattr(history, name)
            shape = (len(amplitudes), len(seeds), *values.shape[1:])
            dimensions = (*cells, "step")[: len(shape)]
            variables.add(name, dimensions, values.reshape(shape), words, reference="Fig. 1, 3")
        origin = problems.origin(settings, data, history)
        record.write(variables.dataset().assign_attrs(origin), output)
        checkpoint.remove()
