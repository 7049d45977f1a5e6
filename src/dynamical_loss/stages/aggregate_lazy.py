"""Gather the blocks of a lazy study into one file over (width, scale, data_seed, seed)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.lazy import ensemble_error, output_variance
from dynamical_loss.config.lazy import LazySettings, LazyStudy
from dynamical_loss.errors import ResultError, UserError
from dynamical_loss.grid import LazyBlock
from dynamical_loss.notation import exact
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs, Provenance

Floats = npt.NDArray[np.float64]

_RUN = ("width", "scale", "data_seed", "seed")
_FIGURE = "arXiv 1906.08034"
_WANTED = ["output", "test_label", "test_error", "kernel_change", "converged", "record_time"]


def run(settings: LazyStudy, blocks: Sequence[Path], output: Path) -> None:
    """Write the quantities of every run, and of the ensembles over initial seeds.

    Records along a flow are written for the first seed and the first split only.

    Raises:
        UserError: if a file is no block, cannot be read, was made with other settings or from other data than
            the first block; or if a run that the settings ask for is missing.
    """
    inputs = Inputs()
    record = Provenance(
        __name__, settings.model_dump(), list(range(settings.seeds)), settings.precision, inputs
    )
    cells = _cells(settings, blocks, inputs)
    variables = netcdf.Variables()
    for name, values, words in (
        ("width", settings.widths, "h, hidden units of each layer"),
        ("scale", settings.scales, "√h·α, scale of the output"),
        ("data_seed", settings.data_seeds, "seed of the split of the data"),
        ("seed", list(range(settings.seeds)), "initial random seed"),
    ):
        variables.add(name, (name,), values, words, reference=f"{_FIGURE}, Fig. 3")
    _add_runs(variables, settings, cells)
    _add_records(variables, settings, cells)
    _add_ensembles(variables, settings, cells)
    given = list({id(cell.block): cell.block for cell in cells.values()}.values())
    attributes = {"engine": "adaptive Euler steps", **recorded.of_data(*given)}
    if data := _data_of(given[0], blocks[0]):
        # The seeds of the splits form a list, as the seeds of draws do in `gather_draws`.
        attributes[recorded.DATASET_SETTINGS] = json.dumps({**data, "sample_seed": settings.data_seeds})
    record.write(variables.dataset().assign_attrs(attributes), output)


class _Cell:
    """Run of a block; its items are the values of variables."""

    def __init__(self, block: xr.Dataset, scale: int, seed: int) -> None:
        self.block, self._place = block, {"scale": scale, "seed": seed}

    def __getitem__(self, name: str) -> Floats:
        return np.asarray(self.block[name].isel(self._place).values, dtype=np.float64)


_Key = tuple[int, float, int, int]


def _cells(settings: LazyStudy, blocks: Sequence[Path], inputs: Inputs) -> Mapping[_Key, _Cell]:
    """Return the runs of all blocks by width, scale, seed of the split, and initial seed."""
    cells: dict[_Key, _Cell] = {}
    shared: dict[str, dict[str, Any]] = {}
    origins: dict[int, frozenset[str] | None] = {}
    for path in blocks:
        try:
            block = LazyBlock.from_name(path.stem)
        except ValueError as error:
            raise UserError(f"{path}: {error}; give files made by train-lazy-block") from None
        stored = inputs.read(path, _WANTED, made_by="train_lazy_block")
        if not _made_with(settings.run, block, recorded.settings_of(stored)):
            raise UserError(
                f"{path} was made with other settings than those given; make it again with these settings"
            )
        # The datasets of different splits may differ only in the seed of the draw.
        data = _data_of(stored, path)
        if data != shared.setdefault("data", data):
            raise ResultError(f"{path} was made from other data than {blocks[0]}", path)
        origin = inputs.origins(path)
        if origin != origins.setdefault(block.data_seed, origin):
            raise ResultError(f"{path} was made from another dataset than other blocks of its split", path)
        for place, value in enumerate(block.scales):
            for at, number in enumerate(block.seeds):
                cells[block.width, value, block.data_seed, number] = _Cell(stored, place, at)
    for width, scale, data_seed, seed in _keys(settings):
        if (width, scale, data_seed, seed) not in cells:
            raise UserError(
                f"no given block holds h = {width}, √h·α = {exact(scale)}, data seed {data_seed}, seed "
                f"{seed}; make the file with snakemake, which passes all blocks"
            )
    return cells


def _data_of(block: xr.Dataset, path: Path) -> dict[str, Any]:
    """Return the settings of a block's dataset without the seed of the split; empty if not recorded."""
    if recorded.DATASET_SETTINGS not in block.attrs:
        return {}
    stated = recorded.recorded(block.attrs, recorded.DATASET_SETTINGS, path)
    return {name: value for name, value in stated.items() if name != "sample_seed"}


def _keys(settings: LazyStudy) -> list[_Key]:
    return [
        (width, scale, data_seed, seed)
        for width in settings.widths
        for scale in settings.scales
        for data_seed in settings.data_seeds
        for seed in range(settings.seeds)
    ]


def _made_with(wanted: LazySettings, block: LazyBlock, stated: Mapping[str, Any]) -> bool:
    values = {name: value for name, value in stated.items() if name != "block"}
    try:
        return stated.get("block") == block.name and LazySettings.model_validate(values) == wanted
    except ValueError:
        return False


def _shape(settings: LazyStudy) -> tuple[int, ...]:
    return len(settings.widths), len(settings.scales), len(settings.data_seeds), settings.seeds


def _add_runs(variables: netcdf.Variables, settings: LazyStudy, cells: Mapping[_Key, _Cell]) -> None:
    """Add every variable of the blocks that has one number per run, or one per run and layer."""
    keys = _keys(settings)
    example = cells[keys[0]].block
    for name, variable in example.data_vars.items():
        beyond = [str(dimension) for dimension in variable.dims if dimension not in ("scale", "seed")]
        if beyond not in ([], ["layer"]) or "scale" not in variable.dims:
            continue
        values = np.array([cells[key][str(name)] for key in keys])
        shape = *_shape(settings), *values.shape[1:]
        about = variable.attrs
        variables.add(
            str(name),
            (*_RUN, *beyond),
            values.reshape(shape),
            about["long_name"],
            units=about["units"],
            reference=about["reference"],
        )


def _add_records(variables: netcdf.Variables, settings: LazyStudy, cells: Mapping[_Key, _Cell]) -> None:
    first = settings.data_seeds[0]
    chosen = [[cells[width, scale, first, 0] for scale in settings.scales] for width in settings.widths]
    longest = max(cell["record_time"].size for row in chosen for cell in row)
    for name in ("record_time", "record_loss", "record_output"):
        about = chosen[0][0].block[name].attrs
        values = np.full((len(settings.widths), len(settings.scales), longest), np.nan)
        for row, of_width in enumerate(chosen):
            for column, cell in enumerate(of_width):
                found = cell[name]
                values[row, column, : found.size] = found
        variables.add(
            name,
            ("width", "scale", "record"),
            values,
            f"{about['long_name']}, first seed and split",
            units=about["units"],
            reference=about["reference"],
        )


def _add_ensembles(variables: netcdf.Variables, settings: LazyStudy, cells: Mapping[_Key, _Cell]) -> None:
    """Add variance and ensemble error over all initial seeds, and over all seeds but one, for each seed."""
    whole = np.full((2, *_shape(settings)[:-1]), np.nan)
    without = np.full((2, *_shape(settings)), np.nan)
    for index in np.ndindex(*whole.shape[1:]):
        width, scale = settings.widths[index[0]], settings.scales[index[1]]
        data_seed = settings.data_seeds[index[2]]
        runs = [cells[width, scale, data_seed, seed] for seed in range(settings.seeds)]
        outputs = np.array([run["output"] for run in runs])
        labels = np.asarray(runs[0].block["test_label"].values, dtype=np.float64)
        whole[(slice(None), *index)] = output_variance(outputs), ensemble_error(outputs, labels)
        for seed in range(settings.seeds if settings.seeds > 1 else 0):
            others = np.delete(outputs, seed, axis=0)
            without[(slice(None), *index, seed)] = output_variance(others), ensemble_error(others, labels)
    for at, (name, words, place) in enumerate(
        (
            ("output_variance", "variance of F over initial seeds, mean over test samples", "Eq. 16"),
            ("ensemble_error", "test error of the mean of F over initial seeds", "Eq. 15"),
        )
    ):
        reference = f"{_FIGURE}, {place}"
        variables.add(name, _RUN[:-1], whole[at], words, reference=reference)
        variables.add(f"{name}_without", _RUN, without[at], f"{words}, without one", reference=reference)
