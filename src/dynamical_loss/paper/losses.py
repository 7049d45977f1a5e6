"""Which base loss and waveform a phase diagram was trained with (the follow-up study, Fig. S7)."""

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
"""Names of the dynamical losses by base loss and what a weight multiplies."""

PAPER_WAVEFORM = "triangle"

Cell = tuple[int, float, bool]
"""Of Fig. S8: width, η, and whether the loss is static."""


def kind_of(item: xr.Dataset) -> tuple[str, str]:
    """Base loss, and what a class weight multiplies: a key of `KINDS`."""
    settings = recorded.settings_of(item)
    return settings["loss"]["kind"], recorded.setting(settings, "loss.weighting", "sample")


def waveform_of(item: xr.Dataset) -> str:
    """Shape of a weight over a period."""
    return str(recorded.settings_of(item)["loss"]["waveform"])


def width_of(item: xr.Dataset) -> int:
    """Hidden units."""
    return int(recorded.settings_of(item)["model"]["width"])


def cell_of(item: xr.Dataset) -> Cell:
    """What tells one file of gathered runs from another (Fig. S8)."""
    training = recorded.settings_of(item)["trajectory"]
    return int(training["model"]["width"]), float(training["learning_rate"]), training["amplitude"] == 1
