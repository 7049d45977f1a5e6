"""Gather the thresholds of all runs of Fig. 5a and fit their power law in the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dynamical_loss.analysis import threshold_study
from dynamical_loss.config.analysis import BootstrapSettings, InstabilitySettings
from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance


def run(settings: BootstrapSettings, analyses: Sequence[Path], output: Path) -> None:
    """Write the thresholds, their events and the fitted exponents.

    Raises:
        UserError: if an input cannot be read or is no result of find-instabilities, if two inputs belong to
            the same run, or if the inputs were made with different settings.
    """
    inputs = Inputs()
    wanted = ["unstable_period", "event_start"]
    stored = [inputs.read(path, wanted, made_by="find_instabilities") for path in analyses]
    origins = [recorded.settings_of(item)["trajectory"] for item in stored]
    for path, origin in zip(analyses, origins, strict=True):
        if "width" not in origin["model"]:
            raise UserError(f"{path}: this kind of network has no width; give analyses of runs of an mlp")
    ways = [InstabilitySettings.stated(recorded.settings_of(item)) for item in stored]
    for path, way in zip(analyses, ways, strict=True):
        if way != ways[0]:
            raise UserError(
                f"{path} was made with other settings than {analyses[0]} (--settings of find-instabilities); "
                "give files with the same settings"
            )
    seeds = sorted({origin["seed"] for origin in origins})
    record = Provenance(
        __name__,
        {**settings.model_dump(), "trajectories": origins, "reading": ways[0].model_dump()},
        seeds,
        "float64",
        inputs,
    )
    try:
        study = threshold_study.gather(stored, origins, resamples=settings.resamples, seed=settings.seed)
    except ValueError as error:
        raise UserError(
            f"{analyses[error.args[0]]} has the width, learning rate and seed of another given file; leave "
            "one of them out"
        ) from None
    record.write(threshold_study.dataset(study).assign_attrs(recorded.of_data(*stored)), output)
