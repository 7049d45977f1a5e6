"""Train one block of a phase study: one period, and several amplitudes and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.flatten_util import ravel_pytree

from dynamical_loss import resources
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.loading import Data
from dynamical_loss.grid import Block
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.training import problem as problems
from dynamical_loss.training.checkpoint import FileCheckpoint
from dynamical_loss.training.types import Runs, Schedule

_REGIMES = "arXiv 1906.08034"


def run(
    settings: TrainingSettings, block: Block, dataset: Path, output: Path, checkpoint_seconds: float
) -> None:
    """Train the block and write its learning curves.

    Args:
        settings: settings that all runs share.
        block: period, amplitudes and seeds of the block.
        dataset: file made by prepare-dataset.
        output: file to write.
        checkpoint_seconds: shortest time between two checkpoints, seconds.

    Raises:
        Interrupted: if the process was asked to stop; the work done so far is kept.
        UserError: if the dataset cannot be read, or the period leaves no room for a static end.
    """
    inputs = Inputs()
    settings, data = problems.load(settings, dataset, inputs)
    resources.warn_of_memory(resources.phase_block(settings, data, block))
    # The static loss has no period; this one leaves room for a static end whatever the rest.
    longest = settings.steps // 2 - settings.loss.rest_steps
    period = max(1, longest) if block.period is None else block.period
    end = problems.oscillation_end(settings, period, data.classes)
    record = Provenance(
        problems.code_of("train_phase_block", settings, data),
        {**settings.model_dump(), "block": block.name},
        block.seeds,
        settings.precision,
        inputs,
        problems.computed_by(settings, data),
    )
    seeds, amplitudes = list(block.seeds), list(block.amplitudes)
    problem, parameters = problems.build(settings, data, seeds)

    def repeated(parameters: Any) -> Any:
        return jax.tree.map(lambda leaf: np.concatenate([leaf] * len(amplitudes)), parameters)

    # The runs are in the order of the file's dimensions: all seeds of the first amplitude, then of the
    # second, …
    count = len(amplitudes) * len(seeds)
    runs = Runs(
        parameters=repeated(parameters),
        period=np.full(count, period),
        amplitude=np.repeat(amplitudes, len(seeds)),
        learning_rate=np.full(count, settings.learning_rate),
        oscillation_end=np.full(count, end),
        seed=np.tile(seeds, len(amplitudes)),
        leader=repeated(problems.leaders(settings, data, seeds)),
        output_scale=problems.output_scales(settings, count),
    )
    scaled = settings.output_scale is not None
    schedule = Schedule.regular(settings.steps, settings.record_every, settings.steps if scaled else None)
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
        if scaled:
            kernels, weights = _changes(settings, data, history.parameters)
            for name, found, words in (
                (
                    "kernel_change",
                    kernels,
                    "‖Θ(T) − Θ(0)‖ / ‖Θ(0)‖ of the neural tangent kernel of the first training samples",
                ),
                ("weight_change", weights, "‖w(T) − w(0)‖ / ‖w(0)‖ over all parameters"),
            ):
                values = found.reshape(len(amplitudes), len(seeds))
                variables.add(name, cells, values, words, reference=_REGIMES)
        origin = problems.origin(settings, data, history)
        record.write(variables.dataset().assign_attrs(origin), output)
        checkpoint.remove()


def _changes(
    settings: TrainingSettings, data: Data, parameters: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the relative changes, from start to end, of the tangent kernel and of the parameters.

    Args:
        settings: settings of the training; the kernel is that of the first `kernel_samples` training samples.
        data: training data.
        parameters: flattened parameters, (run, [start, end], parameter).

    Returns:
        change of the kernel and change of the parameters, each (run,).
    """
    from dynamical_loss.probes import ntk

    model = settings.model.build(data.classes)
    apply = apply_function(model)
    example = initial_parameters(model, data.train_inputs.shape[1:], [0])
    ends = np.asarray(parameters, np.float64)
    # In float32, rounding would hide the change of a kernel that hardly moves.
    with jax.enable_x64(True):
        _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], example))
        inputs = jnp.asarray(data.train_inputs[: settings.kernel_samples], np.float64)
        kernels = [
            ntk.kernel_change(apply, unravel(jnp.asarray(start)), unravel(jnp.asarray(end)), inputs)
            for start, end in ends
        ]
    distance, length = (np.linalg.norm(each, axis=1) for each in (ends[:, 1] - ends[:, 0], ends[:, 0]))
    return np.array(kernels), distance / length
