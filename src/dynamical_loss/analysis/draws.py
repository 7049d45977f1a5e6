"""Phase diagrams of several draws of the data, gathered into one, with the components of their variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from jaxtyping import Float

from dynamical_loss.analysis.crossed import components
from dynamical_loss.results import netcdf

DRAW = "noise_seed"
"""The dimension over draws of the data."""

PARTS = ("data", "seed", "rest")
"""Components of the variance, see `crossed.Components`."""

_ACCURACIES = ("train_accuracy", "validation_accuracy")
_REFERENCE = "Fig. 3"


def gather(diagrams: Sequence[xr.Dataset], noise_seeds: Sequence[int]) -> xr.Dataset:
    """Gather all runs over (noise_seed, period, amplitude, seed), and split the variance of the accuracies.

    Args:
        diagrams: one phase diagram for each draw, over (period, amplitude, seed), all with the same grid.
        noise_seeds: seeds of the training noise, in the order of `diagrams`.

    Returns:
        the variables of the diagrams with a first dimension ``noise_seed``. For training and validation
        accuracy also ``…_variance`` over (period, amplitude, part) and ``…_variance_interval`` over (period,
        amplitude, part, bound), which are NaN if there are fewer than two draws or fewer than two seeds.
    """
    together, variables = _joined(diagrams, DRAW)
    variables.add(
        DRAW, (DRAW,), list(noise_seeds), "random seed of the draw of the data", reference=_REFERENCE
    )
    variables.add(
        "part", ("part",), list(PARTS), "what a part of the variance is due to", reference=_REFERENCE
    )
    variables.add("bound", ("bound",), ["lower", "upper"], "end of the 95 % interval", reference=_REFERENCE)
    for name in _ACCURACIES:
        accuracy = together[name].transpose("period", "amplitude", DRAW, "seed")
        values, intervals = _split(accuracy.values)
        words = f"variance of {accuracy.attrs['long_name']}, by what it is due to"
        cells = ("period", "amplitude", "part")
        variables.add(f"{name}_variance", cells, values, words, reference=_REFERENCE)
        variables.add(
            f"{name}_variance_interval",
            (*cells, "bound"),
            intervals,
            f"95 % interval of the {words}",
            reference=_REFERENCE,
        )
    return variables.dataset()


def gather_pairs(diagrams: Sequence[xr.Dataset]) -> xr.Dataset:
    """Gather all runs over (period, amplitude, seed) of a study with a separate draw for each initial seed.

    Args:
        diagrams: one phase diagram for each pair of draw and seed, over (period, amplitude, seed), all with
            the same grid and a single seed.
    """
    return _joined(diagrams, "seed")[1].dataset()


def one_draw(gathered: xr.Dataset, place: int) -> xr.Dataset:
    """Return the phase diagram of one draw from the result of `gather` or of `gather_pairs`.

    Args:
        gathered: diagrams of several draws.
        place: place of the draw in the order in which the diagrams were gathered.

    Returns:
        a diagram over (period, amplitude, seed, …), with a single seed if each draw has an initial seed of
        its own.
    """
    if DRAW not in gathered.dims:
        return gathered.isel(seed=[place])
    parts = [name for name, values in gathered.items() if "part" in values.dims]
    return gathered.drop_vars([*parts, "part", "bound"]).isel({DRAW: place}, drop=True)


def _joined(diagrams: Sequence[xr.Dataset], dimension: str) -> tuple[xr.Dataset, netcdf.Variables]:
    """Concatenate diagrams along a dimension; also return their variables with their attributes."""
    together = xr.concat(
        diagrams, dim=dimension, data_vars="all", coords="minimal", join="exact", combine_attrs="override"
    )
    variables = netcdf.Variables()
    for name, variable in (together.coords | together.data_vars).items():
        variables.add(
            str(name),
            tuple(map(str, variable.dims)),
            variable.values,
            variable.attrs["long_name"],
            units=variable.attrs["units"],
            reference=variable.attrs["reference"],
        )
    return together, variables


def _split(
    accuracy: Float[npt.NDArray[Any], "period amplitude draw seed"],
) -> tuple[
    Float[npt.NDArray[Any], "period amplitude part"], Float[npt.NDArray[Any], "period amplitude part bound"]
]:
    """Split the variance of each cell into parts, (period, amplitude, part), with intervals, (…, bound)."""
    values = np.full((*accuracy.shape[:2], len(PARTS)), np.nan)
    intervals = np.full((*values.shape, 2), np.nan)
    for period, amplitude in np.ndindex(accuracy.shape[:2]):
        table = accuracy[period, amplitude]
        if min(table.shape) < 2 or not np.isfinite(table).all():
            continue
        found = components(table)
        for index, part in enumerate(PARTS):
            estimate = getattr(found, part)
            values[period, amplitude, index] = estimate.value
            intervals[period, amplitude, index] = estimate.interval
    return values, intervals
