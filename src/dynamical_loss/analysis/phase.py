"""Blocks of a phase study, gathered into one grid over (period, amplitude, seed) (Fig. 1, 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.grid import Block, cell
from dynamical_loss.results import netcdf

_FINAL = {
    "train_accuracy": "fraction of training samples classified correctly at the end",
    "validation_accuracy": "fraction of validation samples classified correctly at the end",
    "loss": "static loss at the end, mean over samples",
}

_CHANGES = ("kernel_change", "weight_change")

FINAL = tuple(_FINAL)
"""Names of the variables that are kept of the end of every run and, if the settings ask for learning curves,
along the run."""


def wanted(settings: PhaseSettings) -> tuple[str, ...]:
    """Return the variables that every block of a study must have, and that its phase diagram has."""
    return (*FINAL, "diverged", "divergence_step", *_changes(settings))


def _changes(settings: PhaseSettings) -> tuple[str, ...]:
    """Return the variables for the distance of a run from its start; none if the output is not scaled."""
    return () if settings.output_scale is None else _CHANGES


class PhaseDiagram:
    """A phase diagram that is filled with blocks; the static runs appear at every period."""

    def __init__(self, settings: PhaseSettings) -> None:
        """Create an empty grid over the settings' periods, amplitudes and seeds."""
        self._settings = settings
        self._shape = (len(settings.periods), len(settings.amplitudes), settings.seeds)
        self._given = np.zeros(self._shape, dtype=bool)
        numbers = (*_FINAL, *_changes(settings))
        self._values: dict[str, npt.NDArray[Any]] = {name: np.full(self._shape, np.nan) for name in numbers}
        self._values |= {
            "diverged": np.zeros(self._shape, dtype=bool),
            "divergence_step": np.full(self._shape, -1),
        }
        self._curves: dict[str, npt.NDArray[np.float32]] = {}
        self._steps: npt.NDArray[Any] = np.empty(0, np.int64)
        self._places = _places(settings)
        self._about: dict[str, dict[str, Any]] = {}

    def add(self, block: Block, stored: xr.Dataset) -> None:
        """Add the runs of a block to their cells.

        Args:
            block: block of runs that was trained.
            stored: learning curves of the block, over (amplitude, seed, step).
        """
        self._about = {name: stored[name].attrs for name in _changes(self._settings)}
        cells = stored.sel(amplitude=list(block.amplitudes), seed=list(block.seeds))
        arrays = {name: cells[name].isel(step=-1, missing_dims="ignore").values for name in self._values}
        along = {}
        if self._settings.learning_curves:
            self._steps = stored["step"].values
            along = {name: cells[name].values for name in _FINAL}
            for name in _FINAL:
                self._curves.setdefault(name, np.full((*self._shape, len(self._steps)), np.nan, np.float32))
        # Whole cells are copied and not single runs, because a large study has half a million runs.
        begin = block.first_seed - self._settings.first_seed
        seeds = slice(begin, begin + len(block.seeds))
        for index, amplitude in enumerate(block.amplitudes):
            for place in self._places.get((block.period, amplitude), ()):
                self._given[place][seeds] = True
                for table, found in ((self._values, arrays), (self._curves, along)):
                    for name, whole in table.items():
                        wanted = whole[place][seeds]
                        wanted[:] = found[name][index, : len(wanted)]

    def missing(self) -> tuple[int, float, int] | None:
        """Return period, amplitude and seed of the first missing run; None if no run is missing."""
        if self._given.all():
            return None
        period, amplitude, seed = (int(index) for index in np.argwhere(~self._given)[0])
        settings = self._settings
        return settings.periods[period], settings.amplitudes[amplitude], settings.all_seeds[seed]

    def dataset(self) -> xr.Dataset:
        """Return all runs as the variables of a phase diagram's file."""
        settings, values, curves, steps = self._settings, self._values, self._curves, self._steps
        variables = netcdf.Variables()
        dimensions = ("period", "amplitude", "seed")
        for name, coordinate, words, units in (
            ("period", settings.periods, "period T of the oscillation, minimisation steps", "1"),
            ("amplitude", settings.amplitudes, "amplitude A of the oscillation", "1"),
            ("seed", settings.all_seeds, "random seed", "1"),
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
        for name, about in self._about.items():
            words, reference = about["long_name"], about["reference"]
            variables.add(name, dimensions, values[name], words, reference=reference)
        if curves:
            variables.add("step", ("step",), steps, "minimisation steps done, t", reference="Eq. 2")
            for name, along_runs in curves.items():
                words = _FINAL[name].replace("at the end", "along the run")
                variables.add(
                    f"{name}_curve", (*dimensions, "step"), along_runs, words, reference="Fig. S3, S4"
                )
        return variables.dataset()


def _places(settings: PhaseSettings) -> dict[tuple[int | None, float], list[tuple[int, int]]]:
    """Return the indices (period, amplitude) of each trained cell; the static cell has many."""
    places: dict[tuple[int | None, float], list[tuple[int, int]]] = {}
    for first, period in enumerate(settings.periods):
        for second, amplitude in enumerate(settings.amplitudes):
            places.setdefault(cell(period, amplitude), []).append((first, second))
    return places
