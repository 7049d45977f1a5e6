"""The plane of period T and amplitude A: statistics of its cells, and their drawing (Fig. 1, 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.errors import UserError
from dynamical_loss.figures import style
from dynamical_loss.figures.deferred import mcolors, mlines, mpl

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

COLOURS = "viridis"
"""Colour map of the cells: perceptually uniform, and readable with any kind of colour vision."""

_GAP = 0.18  # gap between the static strip and the cells above it, in heights of a cell
_LEAST_RANGE = 0.02  # smallest range of the colours, in accuracy: six of the 300 samples
_BELOW_RANGE = "0.35"
_MOST_ON_ONE_LINE = 5  # with more columns, cells are too narrow for mean ± error on one line
_ROW_HEIGHTS = (0.13, 0.2, 0.24)  # of cells with no, one and two lines of numbers, inches
_MOST_LABELLED = (10, 12)  # with more columns or rows, numbers do not fit into the cells

Floats = npt.NDArray[np.float64]


KINDS = (("train_accuracy", "training"), ("validation_accuracy", "validation"))
"""Variables of a phase file that have a panel each, and their names in the panels."""


@dataclass(frozen=True)
class Phase:
    """Statistics of one quantity over seeds.

    The arrays `mean`, `error` and `change` have the shape (amplitude, period).

    Attributes:
        periods: periods T in steps, ascending, shape (period,).
        amplitudes: amplitudes above 1, ascending, shape (amplitude,).
        mean: mean over seeds.
        error: standard error of the mean.
        change: +1 or −1 where the 95 % interval (Student) of the paired difference from the same
            seeds at A = 1 lies above or below 0, otherwise 0.
        static: (mean, standard error) at A = 1; None if the grid does not contain A = 1.
        n: number of seeds.
    """

    periods: Floats
    amplitudes: Floats
    mean: Floats
    error: Floats
    change: npt.NDArray[np.int64]
    static: tuple[float, float] | None
    n: int


def statistics(values: xr.DataArray) -> Phase:
    """Compute the mean over seeds, its standard error, and the change from the static loss.

    The change is judged by a Student interval, because with a few seeds a percentile bootstrap is too narrow.
    One in twenty of the cells without an effect is marked as a change nevertheless.

    Args:
        values: accuracy over (period, amplitude, seed).
    """
    ordered = values.sortby(["period", "amplitude"]).transpose("amplitude", "period", "seed")
    amplitudes = ordered["amplitude"].values.astype(float)
    data = ordered.values.astype(float)
    static = data[amplitudes == 1.0][:, 0]  # the static runs are the same at every period
    cells = data[amplitudes > 1.0]
    n = data.shape[-1]

    def error(samples: Floats) -> Floats:
        spread = samples.std(axis=-1, ddof=1) if n > 1 else np.full(samples.shape[:-1], math.nan)
        return np.asarray(spread / math.sqrt(n))

    change = np.zeros(cells.shape[:-1], dtype=np.int64)
    if static.size and n > 1:
        mean, reach = student_interval(cells - static)
        change = np.where(np.abs(mean) > reach, np.sign(mean), 0).astype(np.int64)
    return Phase(
        periods=ordered["period"].values.astype(float),
        amplitudes=amplitudes[amplitudes > 1.0],
        mean=cells.mean(axis=-1),
        error=error(cells),
        change=change,
        static=(float(static.mean()), float(error(static)[0])) if static.size else None,
        n=n,
    )


def colour_range(phases: Sequence[Phase]) -> Normalize:
    """Return the range of the colours: from the smallest to the largest mean, rounded outwards.

    A cell far below all other cells (by more than three interquartile ranges) would leave a single colour for
    the rest. Such a cell is left out of the range and drawn in grey. The static loss is never left out,
    because every cell is compared with it. The range spans at least `_LEAST_RANGE`, so that a single sample
    does not look like an effect.
    """
    means = np.concatenate([phase.mean.ravel() for phase in phases])
    means = means[np.isfinite(means)]
    references = [phase.static[0] for phase in phases if phase.static is not None]
    usual = means
    if means.size:
        quartiles = np.quantile(means, [0.25, 0.75])
        usual = means[means >= quartiles[0] - 3 * np.diff(quartiles)]
    shown = np.append(usual, references)
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        return mcolors.Normalize(0.0, 1.0)
    low, high = float(shown.min()), float(shown.max())
    spread = max(high - low, _LEAST_RANGE)
    step = next(unit for unit in (0.1, 0.05, 0.02, 0.01, 0.005) if 4 * unit <= spread or unit == 0.005)
    # A mean that lies on a multiple of the step must not be rounded to the next multiple by rounding errors.
    high = min(math.ceil(high / step - 1e-9) * step, 1.0)
    low = math.floor(low / step + 1e-9) * step
    return mcolors.Normalize(min(low, high - _LEAST_RANGE), high)


def _ink(colour: tuple[float, float, float, float]) -> str:
    """Return black or white, whichever is more legible on a colour, from the colour's relative luminance."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return "black" if np.dot([0.2126, 0.7152, 0.0722], linear) > 0.24 else "white"


def _label(axis: Axes, x: float, y: float, mean: float, error: float, between: str, ink: str) -> None:
    if math.isnan(mean):
        return
    known = "" if math.isnan(error) else f"{between}±{100 * error:.1f}"
    text = f"{100 * mean:.1f}{known}"
    axis.text(x, y, text, ha="center", va="center", color=ink, fontsize=style.SMALL, linespacing=1.05)


def diverged(dataset: xr.Dataset) -> tuple[int, int]:
    """Return how many runs of a phase study diverged, and the number of runs; each static run counts once."""
    flags = dataset["diverged"]
    static = flags["amplitude"] == 1.0
    parts = [flags.where(~static, drop=True), flags.where(static, drop=True).isel(period=slice(1))]
    return sum(int(part.sum()) for part in parts), sum(part.size for part in parts)


def _draw(axis: Axes, phase: Phase, norm: Normalize) -> ScalarMappable:
    colours = mpl.colormaps[COLOURS].with_extremes(bad="0.85", under=_BELOW_RANGE)
    rows, columns = phase.mean.shape
    mesh = axis.pcolormesh(
        np.arange(columns + 1),
        np.arange(rows + 1),
        np.ma.masked_invalid(phase.mean),
        cmap=colours,
        norm=norm,
        edgecolors="white",
        linewidth=0.4,
    )
    between = "" if columns <= _MOST_ON_ONE_LINE else "\n"
    labelled = _labelled(phase)
    for row, column in np.ndindex(rows, columns):
        ink = _ink(colours(norm(phase.mean[row, column])))
        x, y = column + 0.5, row + 0.5
        if labelled:
            mean, error = float(phase.mean[row, column]), float(phase.error[row, column])
            _label(axis, x, y, mean, error, between, ink)
        if phase.change[row, column]:
            axis.plot(
                *((column + 0.93, row + 0.85) if labelled else (x, y)),
                marker="^" if phase.change[row, column] > 0 else "v",
                markersize=1.8,
                markeredgewidth=0,
                color=ink,
                linestyle="none",
            )
    ticks = [row + 0.5 for row in range(rows)]
    names = [f"{amplitude:g}" for amplitude in phase.amplitudes]
    bottom = 0.0
    if phase.static is not None:
        mean, error = phase.static
        bottom = -1.0 - _GAP
        axis.pcolormesh(
            np.array([0, columns]),
            np.array([bottom, -_GAP]),
            np.ma.masked_invalid([[mean]]),
            cmap=colours,
            norm=norm,
        )
        _label(axis, columns / 2, bottom + 0.5, mean, error, "", _ink(colours(norm(mean))))
        ticks, names = [bottom + 0.5, *ticks], ["1", *names]
    axis.set(xlim=(0, columns), ylim=(bottom, rows))
    axis.set_yticks(ticks, names)
    axis.set_xticks(np.arange(columns) + 0.5, [f"{period:g}" for period in phase.periods])
    axis.tick_params(length=0, pad=2)
    if columns > _MOST_LABELLED[0]:
        axis.tick_params(axis="x", labelrotation=90)
    axis.spines[:].set_visible(False)
    return mesh


def _labelled(phase: Phase) -> bool:
    rows, columns = phase.mean.shape
    return bool(columns <= _MOST_LABELLED[0] and rows <= _MOST_LABELLED[1])


def height(phase: Phase) -> float:
    """Return the height of a panel in which a cell has room for its lines of numbers, inches."""
    rows, columns = phase.mean.shape
    lines = 0 if not _labelled(phase) else 1 if columns <= _MOST_ON_ONE_LINE else 2
    return float((rows + 1.0 + _GAP) * _ROW_HEIGHTS[lines])


def draw_panel(figure: Figure, axis: Axes, phase: Phase, norm: Normalize, words: str) -> None:
    """Draw one plane with its colour bar.

    The period increases to the right and the amplitude upwards. Both are drawn as categories, because the
    grids are irregular: all cells have the same size. The strip below shows the static loss, A = 1, whose
    runs are the same at every period. If there is room, cells show mean ± standard error over seeds in per
    cent.

    Args:
        figure: figure of the panel, which the colour bar is added to.
        axis: an empty panel.
        phase: statistics to draw.
        norm: range of the colours; cells below it are grey.
        words: name of the accuracy, "training" or "validation".
    """
    clipped = bool(np.any(norm(phase.mean) < 0))
    bar = figure.colorbar(
        _draw(axis, phase, norm), ax=axis, pad=0.02, aspect=22, extend="min" if clipped else "neither"
    )
    bar.set_label(f"{words} accuracy")
    bar.outline.set_visible(False)
    axis.set_xlabel("period $T$ (steps)")
    axis.set_ylabel("amplitude $A$")


def key(figure: Figure) -> None:
    """Draw a legend below all panels that explains the numbers and marks in the cells."""
    marks = [
        mlines.Line2D(
            [], [], marker=marker, color="black", markersize=3.5, markeredgewidth=0, linestyle="none"
        )
        for marker in "^v"
    ]
    figure.legend(
        marks,
        ["better", "worse than the static loss ($A=1$)"],
        title="Cells: mean ± standard error, %.  Marks: the 95 % interval of the difference from $A=1$, "
        "paired by seed, excludes 0.",
        title_fontsize=style.SMALL,
        loc="outside lower center",
        ncols=2,
        handletextpad=0.1,
        columnspacing=1.0,
        borderpad=0,
    )


def require_dynamical(dataset: xr.Dataset, figure: str, study: str) -> None:
    """Refuse a study that has only the static loss.

    Raises:
        UserError: if no amplitude exceeds 1; the message names the figure and the study.
    """
    if float(dataset["amplitude"].max()) == 1.0:
        raise UserError(f"{figure} needs an amplitude above 1; add one to the {study} study")
