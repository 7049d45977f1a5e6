"""The static and the dynamical run at the edge of stability: what Fig. F5 and F9 share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy.typing as npt
from pydantic import Field

from dynamical_loss import grid
from dynamical_loss.analysis.edge import stretch
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import along_run, style
from dynamical_loss.figures.declaration import Inputs, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS = {
    "stability": Setting(
        Annotated[list[str], Field()],
        [],
        "Fig. F5, F9: keys of `trajectories` with probes.alignment and a window of every step, one static "
        "and one dynamical; none: no such figures",
        names="trajectories",
    )
}

INPUTS = {
    "spectrum": Role(
        "probe_spectrum",
        lambda config: [layout.spectrum(grid.trajectory_run(key, 0)) for key in config.figures.stability],
        ("step_change",),
    )
}


def check(config: Configuration) -> None:
    """Refuse studies that are not such a pair.

    Raises:
        ValueError: one line that names the key to change.
    """
    studies = config.figures.stability
    for study in studies:
        run = config.trajectories[study]
        if not run.probes.alignment:
            raise ValueError(
                f"trajectories.{study}.probes.alignment: figures.stability shows what it measures; set it to "
                "true"
            )
        if not any(window.every == 1 for window in run.snapshots.windows):
            raise ValueError(
                f"trajectories.{study}.snapshots.windows: figures.stability looks from step to step; give "
                "one with every: 1"
            )
    static = [config.trajectories[study].amplitude == 1 for study in studies]
    if studies and sorted(static) != [False, True]:
        raise ValueError("figures.stability: name two studies, one with amplitude 1 and one above")


class Column(NamedTuple):
    """What one of the two runs is drawn on.

    Attributes:
        axes: from the top, (row,); the first ones share the axis of steps of the last of these.
        run: its snapshots at consecutive steps.
        span: the first and the last of these.
    """

    axes: npt.NDArray[Any]
    run: xr.Dataset
    span: along_run.Span


def columns(inputs: Inputs, rows: int, along: int, height: float) -> tuple[Figure, list[Column]]:
    """A figure with a column for each of the two runs, the static one first.

    Args:
        inputs: role ``spectrum``.
        rows: of panels.
        along: how many of them, from the top, have steps on their horizontal axis.
        height: of the figure, inches.

    Raises:
        UserError: if a file has no two snapshots one step apart.
    """
    runs = _static_first(inputs)
    figure, axes = plt.subplots(
        rows, len(runs), squeeze=False, figsize=(style.PAGE, height), width_ratios=(1, 1.4)[: len(runs)]
    )
    found = []
    for column, (title, run, span) in zip(axes.T, runs, strict=True):
        # Beside the panel's letter, and left of a legend above the axes.
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
        column[0].annotate(title, (0, 1), (20, 3), **place)
        last = column[along - 1]
        for axis in column[: along - 1]:
            axis.sharex(last)
            axis.tick_params(labelbottom=False)
        along_run.step_axis(last, span, 6)
        found.append(Column(column, run, span))
    style.panel_letters(list(axes.T.ravel()))
    return figure, found


def _static_first(inputs: Inputs) -> list[tuple[str, xr.Dataset, along_run.Span]]:
    """Title, snapshots and steps of each of the two runs.

    Raises:
        UserError: if a file has no two snapshots one step apart.
    """
    found = []
    for item in inputs["spectrum"]:
        settings = recorded.settings_of(item)["trajectory"]
        near = stretch(item)
        if not near.sizes["snapshot_step"]:
            raise UserError("role spectrum: a file has no snapshots at consecutive steps; give one that has")
        steps = near["snapshot_step"].values
        static = settings["amplitude"] == 1
        title = "static loss" if static else f"T = {settings['period']}, A = {settings['amplitude']:g}"
        found.append((not static, (title, near, (float(steps[0]), float(steps[-1])))))
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]
