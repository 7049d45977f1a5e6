"""Dots that stand for single runs and do not hide each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def swarm(
    values: Floats, *, bin_width: float = 0.015, spacing: float = 0.024, widest: float = 0.22
) -> Floats:
    """Sideways shifts that keep like values from hiding each other.

    Args:
        values: shape (n,).
        bin_width: values that share a bin are set side by side.
        spacing: between neighbours.
        widest: width of the fullest row.

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
