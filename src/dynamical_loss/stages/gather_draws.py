"""Gather the phase diagrams of several draws of one dataset into one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.analysis import draws
from dynamical_loss.analysis.phase import WANTED
from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance

_SEED = "train_seed"


def run(settings: PhaseSettings, diagrams: Sequence[Path], output: Path) -> None:
    """Write all draws and the parts of the variance.

    Raises:
        UserError: if a file is no phase diagram, cannot be read, was made with other settings, or if its data
            differ from the first's in more than the seed of the training noise, or if one that the settings
            ask for is not given.
    """
    if not settings.noise_seeds:
        raise UserError("--settings: noise_seeds is empty; name the draws to gather")
    inputs = Inputs()
    found = {}
    for path in diagrams:
        stored = inputs.read(path, WANTED, made_by="aggregate_phase")
        data = recorded.recorded(stored.attrs, recorded.DATASET_SETTINGS, path)
        seed = data.pop(_SEED, None)
        found[seed] = path, stored, data
    record = Provenance(__name__, settings.model_dump(), range(settings.seeds), settings.precision, inputs)
    for seed in settings.noise_seeds:
        if seed not in found:
            raise UserError(
                f"no file given is of the training noise {seed}; make {output} with snakemake, which names "
                "them all"
            )
    wanted = [found[seed] for seed in settings.noise_seeds]
    _, first, data = wanted[0]
    for seed, (path, stored, others) in zip(settings.noise_seeds, wanted, strict=True):
        if not _made_with(settings.drawn(seed), recorded.settings_of(stored)):
            raise UserError(f"{path} was made with other settings than those given; make it anew with them")
        if others != data:
            raise UserError(f"{path} is of other data than {wanted[0][0]}, and not only of another draw")
    everything = draws.gather([stored for _, stored, _ in wanted], settings.noise_seeds)
    origin = recorded.of_data(*(stored for _, stored, _ in wanted))
    origin[recorded.DATASET_SETTINGS] = json.dumps({**data, _SEED: settings.noise_seeds}, sort_keys=True)
    origin["dataset_description"] = _description(first.attrs["dataset_description"], settings.noise_seeds)
    for name in ("engine", "trained_on"):
        origin[name] = ", ".join(sorted({str(stored.attrs[name]) for _, stored, _ in wanted}))
    record.write(everything.assign_attrs(origin), output)


def _made_with(settings: PhaseSettings, stated: dict[str, Any]) -> bool:
    try:
        return PhaseSettings.model_validate(stated) == settings
    except ValueError:
        return False


def _description(first: str, noise_seeds: Sequence[int]) -> str:
    """The data of all draws in words."""
    seeds = ", ".join(map(str, noise_seeds))
    return f"{len(noise_seeds)} draws of the training noise (seeds {seeds}), the first: {first}"
