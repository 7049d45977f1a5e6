"""A static and a dynamical run, measured at consecutive steps: code that Fig. F5, F9 and F10 share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dynamical_loss import grid
from dynamical_loss.analysis.edge import stretch
from dynamical_loss.analysis.records import Booleans
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import along_run, style
from dynamical_loss.figures.declaration import Inputs, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Pair:
    """Two studies that a key under `figures` names: one with the static loss and one with a dynamical loss.

    Attributes:
        key: key under `figures` that names the studies.
        probe: probe that the studies must have.
        variable: variable that shows that a spectrum was measured with this probe.
        figures: names of the figures that show the studies.
    """

    key: str
    probe: Literal["alignment", "residual"]
    variable: str
    figures: str

    def studies(self, config: Configuration) -> list[str]:
        """Return the names of the studies, as keys of `trajectories`."""
        found: list[str] = getattr(config.figures, self.key)
        return found

    @cached_property
    def settings(self) -> dict[str, Setting]:
        """Setting of the key. It is cached, because all figures must declare the same object."""
        words = (
            f"{self.figures}: one study with the static and one with the dynamical loss, both with "
            f"probes.{self.probe} and a window of snapshots at every step; keys of `trajectories`; an empty "
            "list: no figure is made"
        )
        return {self.key: Setting(Annotated[list[str], Field()], [], words, names="trajectories")}

    @property
    def inputs(self) -> dict[str, Role]:
        """Role of the spectrum of each study's first seed."""

        def files(config: Configuration) -> list[str]:
            return [layout.spectrum(grid.trajectory_run(key, 0)) for key in self.studies(config)]

        return {"spectrum": Role("probe_spectrum", files, (self.variable,))}

    @property
    def gathered(self) -> Role:
        """Role of the results of all seeds of each study, for claims."""
        return Role("gather_runs", lambda config: [layout.runs(key) for key in self.studies(config)])

    def check(self, config: Configuration) -> None:
        """Refuse studies that are not a static and a dynamical run with the necessary probe and snapshots.

        Raises:
            ValueError: if the studies are refused; one line names the key to change.
        """
        studies = self.studies(config)
        for study in studies:
            run = config.trajectories[study]
            if not getattr(run.probes, self.probe):
                raise ValueError(
                    f"trajectories.{study}.probes.{self.probe}: figures.{self.key} shows what this probe "
                    "measures; set it"
                )
            if not any(window.every == 1 for window in run.snapshots.windows):
                raise ValueError(
                    f"trajectories.{study}.snapshots.windows: figures.{self.key} shows consecutive steps; "
                    "add a window with every: 1"
                )
        static = [config.trajectories[study].amplitude == 1 for study in studies]
        if studies and sorted(static) != [False, True]:
            raise ValueError(f"figures.{self.key}: name two studies, one with amplitude 1 and one with more")


STABILITY = Pair("stability", "alignment", "step_change", "Fig. F5 and F9")
RESIDUALS = Pair("residuals", "residual", "residual_change", "Fig. F10")


class Column(NamedTuple):
    """Column of panels that shows one of the two runs.

    Attributes:
        axes: panels from the top, (row,); those that show steps share one axis of steps.
        run: snapshots of the run at consecutive steps.
        span: first and last step of these snapshots.
    """

    axes: npt.NDArray[Any]
    run: xr.Dataset
    span: along_run.Span


def columns(inputs: Inputs, rows: int, along: int, height: float) -> tuple[Figure, list[Column]]:
    """Create a figure with a column for each of the two runs, the static run first.

    Args:
        inputs: files of the role ``spectrum``.
        rows: number of rows of panels.
        along: number of rows, from the top, that have steps on their horizontal axis.
        height: height of the figure in inches.

    Raises:
        UserError: if a file has no two snapshots one step apart.
    """
    runs = _static_first(inputs)
    figure, axes = plt.subplots(
        rows, len(runs), squeeze=False, figsize=(style.PAGE, height), width_ratios=(1, 1.4)[: len(runs)]
    )
    found = []
    for column, (title, run, span) in zip(axes.T, runs, strict=True):
        # The title stands to the right of the panel's letter, and left of a legend above the axes.
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


def changes(axis: Axes, run: xr.Dataset, values: along_run.Floats, span: along_run.Span) -> None:
    """Draw one value of either sign for each snapshot, on a symmetric-log axis.

    Even and odd steps are separate lines.
    """
    steps = run["snapshot_step"].values.astype(float)
    along_run.branches(axis, steps, values, span)
    axis.axhline(0, color="0.85", linewidth=0.6, zorder=0)
    along_run.both_signs(axis, values)


def mark_wrong(
    axis: Axes, run: xr.Dataset, change: along_run.Floats, wrong: Booleans, predictor: str
) -> None:
    """Mark the steps at which a criterion wrongly predicts whether the loss rises, and state their share.

    Args:
        axis: panel that shows the changes of the loss.
        run: snapshots of the run.
        change: change of the loss by each step, (snapshot_step,).
        wrong: whether the criterion is wrong, (snapshot_step,).
        predictor: the criterion in words, for the legend.
    """
    axis.plot(
        run["snapshot_step"].values[wrong],
        change[wrong],
        linestyle="none",
        marker=".",
        markersize=2.5,
        color=style.FINISH_COLOUR,
        label=f"{predictor} is wrong ({np.mean(wrong):.0%} of steps)",
    )
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles[-1:], labels[-1:], loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)


def _static_first(inputs: Inputs) -> list[tuple[str, xr.Dataset, along_run.Span]]:
    """Return title, snapshots, and first and last step of each of the two runs, the static run first.

    Raises:
        UserError: if a file has no two snapshots one step apart.
    """
    found = []
    for item in inputs["spectrum"]:
        settings = recorded.settings_of(item)["trajectory"]
        near = stretch(item)
        if not near.sizes["snapshot_step"]:
            raise UserError(
                "role spectrum: a file has no snapshots at consecutive steps; choose another file"
            )
        steps = near["snapshot_step"].values
        static = settings["amplitude"] == 1
        loss = "squared error" if settings["loss"]["kind"] == "mse" else "loss"
        title = f"static {loss}" if static else f"T = {settings['period']}, A = {settings['amplitude']:g}"
        found.append((not static, (title, near, (float(steps[0]), float(steps[-1])))))
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]
