"""Gather the phase diagrams of several random draws of one dataset into one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.analysis import draws
from dynamical_loss.analysis.phase import wanted
from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.datasets.kinds import KINDS
from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs, Provenance
from dynamical_loss.settings import kind_of

_DRAWN_BY = {kind_of(kind): kind.draw_seed for kind in KINDS}
"""Name of the setting that holds the seed of a draw, by kind of dataset."""


def run(settings: PhaseSettings, diagrams: Sequence[Path], output: Path) -> None:
    """Write the phase diagrams of all draws, and the contributions to the variance.

    Raises:
        UserError: if a file is no phase diagram, cannot be read or was made with other settings; if the data
            of two files differ in more than the seed of the draw; or if the file of a draw is missing.
    """
    if not settings.noise_seeds:
        raise UserError("--settings: noise_seeds is empty; name the draws to gather")
    inputs = Inputs()
    found = {}
    for path in diagrams:
        stored = inputs.read(path, wanted(settings), made_by="aggregate_phase")
        data = recorded.recorded(stored.attrs, recorded.DATASET_SETTINGS, path)
        drawn_by = str(_DRAWN_BY.get(str(data.get("kind"))))
        found[data.pop(drawn_by, None)] = path, stored, data
    record = Provenance(__name__, settings.model_dump(), settings.all_seeds, settings.precision, inputs)
    for seed in settings.noise_seeds:
        if seed not in found:
            raise UserError(
                f"no file was given for the data drawn with seed {seed}; make {output} with snakemake, which "
                "passes all files"
            )
    given = [found[seed] for seed in settings.noise_seeds]
    _, first, data = given[0]
    for seed, (path, stored, others) in zip(settings.noise_seeds, given, strict=True):
        if not _made_with(settings.drawn(seed), recorded.settings_of(stored)):
            raise UserError(
                f"{path} was made with other settings than those given; make it again with these settings"
            )
        if others != data:
            raise UserError(
                f"{path} differs from {given[0][0]} in more of its data settings than the seed of the draw"
            )
    diagrams_in_order = [stored for _, stored, _ in given]
    if settings.draws == "paired":
        everything = draws.gather_pairs(diagrams_in_order)
    else:
        everything = draws.gather(diagrams_in_order, settings.noise_seeds)
    origin = recorded.of_data(*(stored for _, stored, _ in given))
    origin[recorded.DATASET_SETTINGS] = json.dumps({**data, drawn_by: settings.noise_seeds}, sort_keys=True)
    origin["dataset_description"] = _description(first.attrs["dataset_description"], settings)
    for name in ("engine", "trained_on", "computed_by"):
        said = {str(stored.attrs[name]) for _, stored, _ in given if name in stored.attrs}
        if said:
            origin[name] = ", ".join(sorted(said))
    record.write(everything.assign_attrs(origin), output)


def _made_with(settings: PhaseSettings, stated: dict[str, Any]) -> bool:
    try:
        return PhaseSettings.model_validate(stated) == settings
    except ValueError:
        return False


def _description(first: str, settings: PhaseSettings) -> str:
    """Describe the data of all draws in words."""
    seeds = ", ".join(map(str, settings.noise_seeds))
    each = ", one for each initial seed" if settings.draws == "paired" else ""
    return f"{len(settings.noise_seeds)} draws of the data (seeds {seeds}){each}, the first: {first}"
