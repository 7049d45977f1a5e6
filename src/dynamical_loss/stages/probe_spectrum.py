"""Measure Hessian and NTK spectra at the snapshots of a trajectory, without training again."""

from __future__ import annotations

from pathlib import Path

import jax

from dynamical_loss.config import code
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.datasets import loading
from dynamical_loss.errors import UserError
from dynamical_loss.models.network import computed_by
from dynamical_loss.probes.spectra import Snapshots, spectra
from dynamical_loss.progress import report
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.settings import validate


def run(settings: ProbeSettings, trajectory: Path, dataset: Path, output: Path) -> None:
    """Measure the spectra at every snapshot and write them.

    Raises:
        UserError: if an input cannot be read, the trajectory was not trained on the dataset, or the settings
            ask for more than the trajectory or the dataset holds.
    """
    inputs = Inputs()
    wanted = ["parameters", "class_weight", "learning_rate", "snapshot_step"]
    stored = inputs.read(trajectory, wanted, made_by="train_trajectory")
    origin = recorded.settings_of(stored)
    training = validate(
        TrajectorySettings,
        {name: origin[name] for name in TrajectorySettings.model_fields if name in origin},
        str(trajectory),
    )
    data = loading.load(dataset, inputs)
    try:
        remembers = "optimiser_state" in stored or not training.optimiser.remembers
        settings.require_possible(training.probed(data.shape, remembers=remembers))
    except ValueError as error:
        raise UserError(f"--settings: {error}") from None
    steps = stored["snapshot_step"].values
    if training.output_scale is not None and steps[0] != 0:
        raise UserError(f"{trajectory} lacks a snapshot at step 0, which output_scale needs; make it again")
    inputs.require_made_from(trajectory, dataset)
    record = Provenance(
        code.probing(training, jax.default_backend()),
        {**settings.model_dump(), "trajectory": origin},
        [origin["seed"], settings.seed],
        training.precision,
        inputs,
        computed_by(training.model, training.arithmetic, training.precision),
    )
    rate = stored["learning_rate"].sel(step=steps).values
    weight = stored["class_weight"].sel(step=steps).values
    parameters = stored["parameters"].values
    memory = stored["optimiser_state"].values if "optimiser_state" in stored else parameters[:, :0]
    snapshots = Snapshots(steps, parameters, weight, rate, memory)
    again = None
    if settings.small_steps is not None:
        # The slice includes the class weights Γ at the end of the stretch.
        first, last = settings.small_steps.start, settings.small_steps.start + settings.small_steps.steps
        again = stored["class_weight"].sel(step=slice(first, last)).values
    with report(f"probing {output.stem}") as progress:
        found = spectra(settings, training, data, snapshots, progress, again)
    record.write(found.assign_attrs(recorded.of_data(stored)), output)
