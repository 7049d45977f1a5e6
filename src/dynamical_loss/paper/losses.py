"""Identify the base loss and waveform with which a phase diagram was trained (follow-up study, Fig. S7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

KINDS: Mapping[tuple[str, str], str] = {
    ("cross_entropy", "sample"): "cross-entropy",
    ("mse", "sample"): "squared error, weights on samples",
    ("mse", "output"): "squared error, weights on outputs",
}
"""Names of the dynamical losses, by base loss and by what a class weight multiplies."""

PAPER_WAVEFORM = "triangle"

Cell = tuple[int, float, bool]
"""Cell of Fig. S8: width, η, and whether the loss is static."""


def kind_of(item: xr.Dataset) -> tuple[str, str]:
    """Return the base loss and what a class weight multiplies: a key of `KINDS`."""
    settings = recorded.settings_of(item)
    return settings["loss"]["kind"], recorded.setting(settings, "loss.weighting", "sample")


def waveform_of(item: xr.Dataset) -> str:
    """Return the waveform of a class weight over a period."""
    return str(recorded.settings_of(item)["loss"]["waveform"])


def width_of(item: xr.Dataset) -> int:
    """Return the number of hidden units."""
    return int(recorded.settings_of(item)["model"]["width"])


def cell_of(item: xr.Dataset) -> Cell:
    """Return the cell of Fig. S8 that a file of gathered runs belongs to."""
    training = recorded.settings_of(item)["trajectory"]
    return int(training["model"]["width"]), float(training["learning_rate"]), training["amplitude"] == 1
