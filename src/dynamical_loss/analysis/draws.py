"""Phase diagrams of several draws of the data as one, with the parts of their variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from dynamical_loss.analysis.crossed import components
from dynamical_loss.results import netcdf

DRAW = "noise_seed"
"""The dimension over draws of the data."""

PARTS = ("data", "seed", "rest")
"""Parts of the variance, see `crossed.Components`."""

_ACCURACIES = ("train_accuracy", "validation_accuracy")
_REFERENCE = "Fig. 3"


def gather(diagrams: Sequence[xr.Dataset], noise_seeds: Sequence[int]) -> xr.Dataset:
    """All runs over (noise_seed, period, amplitude, seed), and the parts of the accuracies' variance.

    Args:
        diagrams: one phase diagram a draw, over (period, amplitude, seed), of equal grids.
        noise_seeds: of the training noise, in the order of `diagrams`.

    Returns:
        The variables of the diagrams with a first dimension ``noise_seed``, and for training and validation
        accuracy ``…_variance`` over (period, amplitude, part) and ``…_variance_interval`` over (period,
        amplitude, part, bound). These are NaN where there are fewer than two draws or two seeds.
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
    """All runs over (period, amplitude, seed) where each initial seed has a draw of its own.

    Args:
        diagrams: one a draw and seed, over (period, amplitude, seed), of equal grids and a single seed.
    """
    return _joined(diagrams, "seed")[1].dataset()


def _joined(diagrams: Sequence[xr.Dataset], dimension: str) -> tuple[xr.Dataset, netcdf.Variables]:
    """Diagrams along a dimension, and their variables with what is said of each."""
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


def _split(accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts of the variance, (period, amplitude, part), and their intervals (…, bound)."""
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
