"""Gather the phase diagrams of several random draws of one dataset into one file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

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


class _Draw(NamedTuple):
    """The phase diagram of one draw, and where it comes from.

    Attributes:
        path: file that holds the diagram.
        diagram: the diagram, with the attributes of the file.
        settings: settings of the diagram; None if they are not valid any more.
        data: settings of the data without the seed of the draw.
        drawn_by: name of the setting that holds the seed of the draw.
    """

    path: Path
    diagram: xr.Dataset
    settings: PhaseSettings | None
    data: dict[str, Any]
    drawn_by: str


def run(settings: PhaseSettings, diagrams: Sequence[Path], output: Path) -> None:
    """Write the phase diagrams of all draws, and the contributions to the variance.

    Args:
        settings: settings of the study; `noise_seeds` names the draws.
        diagrams: phase diagrams of single draws, or of several draws that were gathered before; draws that
            `settings` does not name are left out.
        output: file to write.

    Raises:
        UserError: if a file is no phase diagram, cannot be read or was made with other settings; if the data
            of two files differ in more than the seed of the draw; or if a draw is missing or given twice.
    """
    if not settings.noise_seeds:
        raise UserError("--settings: noise_seeds is empty; name the draws to gather")
    inputs = Inputs()
    found: dict[int | None, _Draw] = {}
    for path in diagrams:
        stored = inputs.read(path, wanted(settings), made_by=("aggregate_phase", "gather_draws"))
        for seed, draw in _draws_in(path, stored):
            if seed in found:
                raise UserError(f"{path} and {found[seed].path} both hold the draw {seed}; give one of them")
            found[seed] = draw
    record = Provenance(__name__, settings.model_dump(), settings.all_seeds, settings.precision, inputs)
    for seed in settings.noise_seeds:
        if seed not in found:
            raise UserError(
                f"no file was given for the data drawn with seed {seed}; make {output} with snakemake, which "
                "passes all files"
            )
    given = [found[seed] for seed in settings.noise_seeds]
    first = given[0]
    for seed, draw in zip(settings.noise_seeds, given, strict=True):
        path = draw.path
        if draw.settings != settings.drawn(seed):
            raise UserError(
                f"{path} was made with other settings than those given; make it again with these settings"
            )
        if draw.data != first.data:
            raise UserError(
                f"{path} differs from {first.path} in more of its data settings than the seed of the draw"
            )
    diagrams_in_order = [draw.diagram for draw in given]
    if settings.draws == "paired":
        everything = draws.gather_pairs(diagrams_in_order)
    else:
        everything = draws.gather(diagrams_in_order, settings.noise_seeds)
    origin = recorded.of_data(*diagrams_in_order)
    data = {**first.data, first.drawn_by: settings.noise_seeds}
    origin[recorded.DATASET_SETTINGS] = json.dumps(data, sort_keys=True)
    origin["dataset_description"] = _description(first.diagram.attrs["dataset_description"], settings)
    for name in ("engine", "trained_on", "computed_by"):
        said = {str(diagram.attrs[name]) for diagram in diagrams_in_order if name in diagram.attrs}
        if said:
            origin[name] = ", ".join(sorted(said))
    record.write(everything.assign_attrs(origin), output)


def _draws_in(path: Path, stored: xr.Dataset) -> Iterator[tuple[int | None, _Draw]]:
    """Yield the seed of each draw in a file (None if its data were not drawn), and the draw."""
    data = recorded.recorded(stored.attrs, recorded.DATASET_SETTINGS, path)
    drawn_by = str(_DRAWN_BY.get(str(data.get("kind"))))
    seeds = data.pop(drawn_by, None)
    settings = _settings_of(stored)
    if not isinstance(seeds, list):
        yield seeds, _Draw(path, stored, settings, data, drawn_by)
        return
    for place, seed in enumerate(seeds):
        alone = None if settings is None else settings.drawn(seed)
        yield seed, _Draw(path, draws.one_draw(stored, place), alone, data, drawn_by)


def _settings_of(stored: xr.Dataset) -> PhaseSettings | None:
    try:
        return PhaseSettings.model_validate(recorded.settings_of(stored))
    except ValueError:
        return None


def _description(first: str, settings: PhaseSettings) -> str:
    """Describe the data of all draws in words, from the description of the first draw or of several draws."""
    alone = first.rpartition(_FIRST)[2]
    seeds = ", ".join(map(str, settings.noise_seeds))
    each = ", one for each initial seed" if settings.draws == "paired" else ""
    return f"{len(settings.noise_seeds)} draws of the data (seeds {seeds}){each}{_FIRST}{alone}"


_FIRST = ", the first: "
