"""Dots that show single runs, shifted sideways so that they do not hide each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]


def swarm(
    values: Floats, *, bin_width: float = 0.015, spacing: float = 0.024, widest: float = 0.22
) -> Floats:
    """Compute sideways shifts that keep dots of similar values from hiding each other.

    Args:
        values: values of the dots, shape (n,).
        bin_width: width of the bins, in units of the values; dots in the same bin are drawn side by side.
        spacing: distance between neighbouring dots.
        widest: largest width of a row of dots; fuller rows have a smaller spacing.

    Returns:
        Shifts, shape (n,), symmetric about 0 within each bin.
    """
    shifts = np.zeros(values.size)
    bins = np.floor(values / bin_width)
    for row in np.unique(bins):
        own = np.flatnonzero(bins == row)
        step = min(spacing, widest / max(own.size - 1, 1))
        shifts[own] = (np.arange(own.size) - (own.size - 1) / 2) * step
    return shifts


def row(axis: Axes, line: int, values: Floats) -> None:
    """Draw runs as dots around a horizontal line, with their mean and 95 % Student interval below the line.

    Args:
        axis: panel to draw in.
        line: ordinate of the line.
        values: value of each run, (seed,).
    """
    axis.plot(
        values,
        line + swarm(values, spacing=0.12, widest=0.36),
        linestyle="none",
        marker="o",
        markersize=2.5,
        alpha=0.7,
        color=style.CLASS_COLOURS[1],
    )
    mean, half = student_interval(values)
    axis.errorbar(
        [float(mean)],
        [line + 0.33],
        xerr=[np.nan_to_num(float(half))],
        fmt="|",
        color="black",
        markersize=5,
        elinewidth=1.0,
        capsize=2.0,
    )
