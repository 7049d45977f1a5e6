"""Gather the blocks of a phase study into one file over (period, amplitude, seed)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.errors import ResultError, UserError
from dynamical_loss.grid import Block, cell
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs, Provenance

_FINAL = {
    "train_accuracy": "fraction of training samples classified correctly at the end",
    "validation_accuracy": "fraction of validation samples classified correctly at the end",
    "loss": "static loss at the end, mean over samples",
}


def run(settings: PhaseSettings, blocks: Sequence[Path], output: Path) -> None:
    """Write the phase diagram; static cells are the same runs at every period.

    If the settings ask for learning curves, what `_FINAL` names is kept along the runs too.

    Raises:
        UserError: if a file is no block, cannot be read, was made with other settings or trained on other
            data than the first, or if one that the settings ask for is not given.
    """
    inputs = Inputs()
    if not settings.is_resolved:
        data = recorded.of_data(inputs.read(blocks[0], made_by="train_phase_block"))
        if "train_samples" not in data:
            raise UserError(
                f"{blocks[0]} does not say how long an epoch is; make it anew, or give `steps` too"
            )
        try:
            settings = settings.with_length(int(data["train_samples"]))
        except ValueError as error:
            raise UserError(f"{blocks[0]}: {error}") from None
    record = Provenance(__name__, settings.model_dump(), range(settings.seeds), settings.precision, inputs)
    shape = (len(settings.periods), len(settings.amplitudes), settings.seeds)
    given = np.zeros(shape, dtype=bool)
    values = {name: np.full(shape, np.nan) for name in _FINAL}
    values |= {"diverged": np.zeros(shape, dtype=bool), "divergence_step": np.full(shape, -1)}
    curves: dict[str, np.ndarray] = {}
    steps = np.empty(0, np.int64)
    of_data: dict[str, Any] = {}
    places = _places(settings)
    engines, devices = set(), set()
    for path in blocks:
        try:
            block = Block.from_name(path.stem)
        except ValueError as error:
            raise UserError(f"{path}: {error}; give files made by train-phase-block") from None
        stored = record.inputs.read(path, values, made_by="train_phase_block")
        origin = recorded.settings_of(stored)
        if origin != {**settings.training.model_dump(mode="json"), "block": block.name}:
            raise UserError(f"{path} was made with other settings than those given; make it anew with them")
        if record.inputs.origins(path) != record.inputs.origins(blocks[0]):
            raise ResultError(f"{path} was trained on another dataset than {blocks[0]}", path)
        engines.add(str(stored.attrs["engine"]))
        devices.add(str(stored.attrs["device"]))
        of_data = recorded.of_data(stored)
        cells = stored.sel(amplitude=list(block.amplitudes), seed=list(block.seeds))
        arrays = {name: cells[name].isel(step=-1, missing_dims="ignore").values for name in values}
        if settings.learning_curves:
            steps = stored["step"].values
            for name in _FINAL:
                curves.setdefault(name, np.full((*shape, len(steps)), np.nan, np.float32))
            along = {name: cells[name].values for name in _FINAL}
        # Cell by cell and not run by run: a large study has half a million runs.
        seeds = slice(block.first_seed, block.last_seed + 1)
        for index, amplitude in enumerate(block.amplitudes):
            for place in places.get((block.period, amplitude), ()):
                given[place][seeds] = True
                for name, whole in values.items():
                    wanted = whole[place][seeds]
                    wanted[:] = arrays[name][index, : len(wanted)]
                for name, whole in curves.items():
                    wanted = whole[place][seeds]
                    wanted[:] = along[name][index, : len(wanted)]
    if not given.all():
        period, amplitude, seed = (int(index) for index in np.argwhere(~given)[0])
        raise UserError(
            f"no block given holds T = {settings.periods[period]}, A = {settings.amplitudes[amplitude]:g}, "
            f"seed {seed}; make {output} with snakemake, which names them all"
        )
    variables = netcdf.Variables()
    dimensions = ("period", "amplitude", "seed")
    for name, coordinate, words, units in (
        ("period", settings.periods, "period T of the oscillation, minimisation steps", "1"),
        ("amplitude", settings.amplitudes, "amplitude A of the oscillation", "1"),
        ("seed", np.arange(settings.seeds), "random seed", "1"),
    ):
        variables.add(name, (name,), coordinate, words, units=units, reference="Fig. 1, 3")
    for name, words in _FINAL.items():
        variables.add(name, dimensions, values[name], words, reference="Fig. 1, 3")
    variables.add(
        "diverged",
        dimensions,
        values["diverged"],
        "1 if the loss stopped being finite",
        reference="Fig. 1, 3",
    )
    variables.add(
        "divergence_step",
        dimensions,
        values["divergence_step"],
        "first recorded step with a loss that is not finite, -1 if none",
        reference="Fig. 1, 3",
    )
    if curves:
        variables.add("step", ("step",), steps, "minimisation steps done, t", reference="Eq. 2")
        for name, along_runs in curves.items():
            words = _FINAL[name].replace("at the end", "along the run")
            variables.add(f"{name}_curve", (*dimensions, "step"), along_runs, words, reference="Fig. S3, S4")
    trained = {"engine": ", ".join(sorted(engines)), "trained_on": ", ".join(sorted(devices)), **of_data}
    record.write(variables.dataset().assign_attrs(trained), output)


def _places(settings: PhaseSettings) -> dict[tuple[int | None, float], list[tuple[int, int]]]:
    """Indices of (period, amplitude) that show a trained cell: many for the static one."""
    places: dict[tuple[int | None, float], list[tuple[int, int]]] = {}
    for first, period in enumerate(settings.periods):
        for second, amplitude in enumerate(settings.amplitudes):
            places.setdefault(cell(period, amplitude), []).append((first, second))
    return places
