"""Train one run and record its steps, with parameter snapshots for the probes (Fig. 4)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax

from dynamical_loss import resources
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.training import problem as problems
from dynamical_loss.training.checkpoint import FileCheckpoint
from dynamical_loss.training.types import Runs, Schedule


def run(
    settings: TrajectorySettings, seed: int, dataset: Path, output: Path, checkpoint_seconds: float
) -> None:
    """Train and write the trajectory.

    Args:
        settings: settings of the run.
        seed: seed of the initial parameters.
        dataset: file made by prepare-dataset.
        output: file to write.
        checkpoint_seconds: shortest time between two checkpoints, seconds.

    Raises:
        Interrupted: if the process was asked to stop; the work done so far is kept.
        UserError: if the dataset cannot be read.
    """
    inputs = Inputs()
    settings, data = problems.load(settings, dataset, inputs)
    resources.warn_of_memory(resources.trajectory(settings, data))
    end = problems.oscillation_end(settings, settings.period, data.classes)
    record = Provenance(
        problems.code_of("train_trajectory", settings, data),
        {**settings.model_dump(), "seed": seed},
        [seed],
        settings.precision,
        inputs,
        problems.computed_by(settings, data),
    )
    problem, parameters = problems.build(settings, data, [seed])
    problem = dataclasses.replace(problem, keeps_state=settings.snapshots.optimiser_state)
    count = sum(leaf[0].size for leaf in jax.tree.leaves(parameters))
    leader = problems.leaders(settings, data, [seed])
    rates, amplitudes = [settings.learning_rate], [settings.amplitude]
    scale = problems.output_scales(settings, 1)
    runs = Runs(parameters, [settings.period], amplitudes, rates, [end], [seed], leader, scale)
    windows = [(w.start, w.stop, w.every) for w in settings.snapshots.windows]
    schedule = Schedule.regular(settings.steps, settings.record_every, settings.snapshots.every, windows)
    checkpoint = FileCheckpoint(output, record, checkpoint_seconds)
    with checkpoint.watch():
        history = problems.train(settings, data, problem, runs, schedule, output.stem, checkpoint)
        variables = netcdf.Variables()
        figure = "Fig. 4, S2"
        variables.add("step", ("step",), history.step, "minimisation steps done, t", reference="Eq. 2")
        variables.add(
            "class_weight",
            ("step", "class_index"),
            history.class_weight[0],
            "class weight Γ_i(t)",
            reference="Eq. 2-5, Fig. 4a, S2",
        )
        variables.add(
            "learning_rate",
            ("step",),
            history.learning_rate[0],
            "learning rate η(t)",
            reference="Fig. S2",
        )
        for name, words, reference in (
            ("weighted_loss", "dynamical loss F(t), mean over samples", "Eq. 1, Fig. 4b, S2"),
            ("loss", "static loss, mean over samples", figure),
            ("train_accuracy", "fraction of training samples classified correctly", "Fig. 4d, S2"),
            ("validation_accuracy", "fraction of validation samples classified correctly", "Fig. 4d, S2"),
        ):
            variables.add(name, ("step",), getattr(history, name)[0], words, reference=reference)
        variables.add(
            "snapshot_step",
            ("snapshot_step",),
            history.snapshot_step,
            "minimisation steps done at the snapshot",
            reference=figure,
        )
        variables.add(
            "parameters",
            ("snapshot_step", "parameter"),
            history.parameters[0, :, :count],
            "network parameters, flattened in the order of jax.flatten_util.ravel_pytree",
            reference=figure,
        )
        if problem.keeps_state:
            variables.add(
                "optimiser_state",
                ("snapshot_step", "state_entry"),
                history.parameters[0, :, count:],
                "what the optimiser remembers, flattened in the order of jax.flatten_util.ravel_pytree",
                reference="Fig. S2",
            )
        variables.add(
            "diverged", (), history.diverged[0], "1 if the loss stopped being finite", reference=figure
        )
        variables.add("oscillation_end", (), end, "first step of the static end, Γ = 1", reference=figure)
        origin = problems.origin(settings, data, history)
        record.write(variables.dataset().assign_attrs(origin), output)
        checkpoint.remove()
