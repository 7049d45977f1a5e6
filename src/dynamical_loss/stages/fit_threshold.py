"""Gather the thresholds of all runs of Fig. 5a and fit their power law in the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynamical_loss.analysis import threshold_study
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance


def run(settings: BootstrapSettings, analyses: Sequence[Path], output: Path) -> None:
    """Write thresholds, their events and the fitted exponents.

    Raises:
        UserError: if an input cannot be read or is no analysis of a run, or two are of the same run.
    """
    inputs = Inputs()
    wanted = ["unstable_period", "event_start"]
    stored = [inputs.read(path, wanted, made_by="find_instabilities") for path in analyses]
    origins = [recorded.settings_of(item)["trajectory"] for item in stored]
    seeds = sorted({origin["seed"] for origin in origins})
    record = Provenance(
        __name__, {**settings.model_dump(), "trajectories": origins}, seeds, "float64", inputs
    )
    try:
        study = threshold_study.gather(stored, origins, resamples=settings.resamples, seed=settings.seed)
    except ValueError as error:
        raise UserError(
            f"{analyses[error.args[0]]} has the width, learning rate and seed of another analysis given; "
            "leave one out"
        ) from None
    record.write(threshold_study.dataset(study).assign_attrs(recorded.of_data(*stored)), output)
