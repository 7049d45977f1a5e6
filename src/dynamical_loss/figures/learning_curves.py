"""Accuracy along the runs of a phase study, as several figures draw it (Fig. S3, S4, S8, S9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.errors import UserError
from dynamical_loss.figures import style
from dynamical_loss.notation import exact
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

STATIC_LOOK: dict[str, Any] = {"color": style.CLASS_COLOURS[0], "linestyle": (0, (4, 1.5))}
DYNAMICAL_LOOK: dict[str, Any] = {"color": style.CLASS_COLOURS[1], "linestyle": "-"}
OFF_COLOUR = "0.93"

FEWEST_SEEDS = 3
"""Smallest number of seeds for which an interval is drawn: for two seeds Student's factor is 12.7."""

_MOST_SINGLE = 5  # largest number of seeds whose lines are drawn one by one

Floats = npt.NDArray[np.float64]


def times(dataset: xr.Dataset) -> tuple[Floats, str]:
    """Return the times of the curves' points, and the label of their axis.

    Times are in epochs, or in steps if the file does not record the length of an epoch.
    """
    steps = dataset["step"].values.astype(float)
    each = dataset.attrs.get("steps_per_epoch")
    return (steps, "Minimisation step t") if each is None else (steps / int(each), "Epoch")


def oscillation_stop(dataset: xr.Dataset) -> float | None:
    """Return the time at which Γ becomes 1, on the axis of `times`; None if it differs between periods."""
    settings = recorded.settings_of(dataset)
    fraction = settings.get("oscillation_stop")
    return None if fraction is None else float(fraction) * length(dataset)


def length(dataset: xr.Dataset) -> float:
    """Return the length of a run, on the axis of `times`."""
    return float(recorded.settings_of(dataset)["steps"]) / int(dataset.attrs.get("steps_per_epoch", 1))


def static(dataset: xr.Dataset, variable: str) -> xr.DataArray:
    """Return a variable of the static runs (A = 1), which are the same at every period.

    Raises:
        UserError: if the grid has no static runs.
    """
    if 1.0 not in dataset["amplitude"]:
        raise UserError("learning curves are compared with the static loss; add 1 to the study's amplitudes")
    return dataset[variable].sel(amplitude=1.0).isel(period=0)


def cell(dataset: xr.Dataset, variable: str, period: int, amplitude: float) -> xr.DataArray:
    """Return a variable of the runs at one T and A.

    Raises:
        UserError: if the grid has no such cell.
    """
    if period not in dataset["period"] or amplitude not in dataset["amplitude"]:
        raise UserError(f"the study has no cell T = {period}, A = {exact(amplitude)}; name another as `cell`")
    return dataset[variable].sel(period=period, amplitude=amplitude)


def dynamical_cells(dataset: xr.Dataset) -> list[tuple[int, float]]:
    """Return (T, A) of all cells with A > 1, sorted by T and then by A."""
    return [
        (int(period), float(amplitude))
        for period in np.sort(dataset["period"].values)
        for amplitude in np.sort(dataset["amplitude"].values)
        if amplitude > 1
    ]


def draw(
    axis: Axes, x: Floats, runs: xr.DataArray, look: dict[str, Any], label: str, *, singles: bool = True
) -> None:
    """Draw the mean over seeds, its 95 % interval as a band and, if there are few seeds, each seed as a line.

    Args:
        axis: panel to draw in.
        x: abscissas, shape (step,).
        runs: values over (seed, step). Values that are not finite are left out of the mean.
        look: colour and line style.
        label: label of the mean.
        singles: whether lines of single seeds may be drawn.
    """
    values = runs.transpose("step", "seed").values.astype(float)
    mean, reach = student_interval(values)
    seeds = values.shape[1]
    if seeds >= FEWEST_SEEDS:
        enough = np.isfinite(values).sum(axis=1) >= FEWEST_SEEDS
        low, high = (np.where(enough, mean + side * reach, np.nan) for side in (-1, 1))
        axis.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0, gid=f"{label}, interval")
    if singles and 1 < seeds <= _MOST_SINGLE:
        for index, run in enumerate(values.T):
            axis.plot(x, run, **look, linewidth=0.35, alpha=0.7, label=f"_{label}, seed {index}")
    axis.plot(x, mean, **look, linewidth=1.1, label=label)


def mark_static_end(axis: Axes, dataset: xr.Dataset) -> None:
    """Shade the end of the runs, after the oscillation stops, if it stops at the same time in all runs."""
    stop = oscillation_stop(dataset)
    if stop is not None and stop < length(dataset):
        axis.axvspan(stop, length(dataset), color=OFF_COLOUR, linewidth=0, zorder=0, gid="off")


def divergence(broken: int, total: int) -> str:
    """Return how many runs diverged, in brackets; an empty string if none did."""
    return f" ({broken} of {total} diverged)" if broken else ""
