# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F6: runs whose learning rate follows the curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from dynamical_loss import grid
from dynamical_loss.analysis.ritz import converged
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, style
from dynamical_loss.figures.along_run import Floats, Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _runs(config: Configuration) -> list[str]:
    return [grid.trajectory_run(study, 0) for study in config.figures.step_sizes]


def _check(config: Configuration) -> None:
    for study in config.figures.step_sizes:
        run = config.trajectories[study]
        if run.learning_rate_rule.kind != "dal":
            raise ValueError(
                f"trajectories.{study}.learning_rate_rule: figures.step_sizes shows runs with kind: dal; "
                "set this kind"
            )
        if run.learning_rate_schedule:
            raise ValueError(
                f"trajectories.{study}.learning_rate_schedule: Fig. F6 draws one constant cap; leave it out"
            )
        if "weighted" not in run.probes.hessian.losses:
            raise ValueError(
                f"trajectories.{study}.probes.hessian.losses: Fig. F6 needs the weighted loss; add weighted"
            )


DECLARATION = Declaration(
    part="flow",
    inputs={
        "trajectory": Role(
            "train_trajectory", lambda config: [layout.trajectory(run) for run in _runs(config)]
        ),
        "spectrum": Role(
            "probe_spectrum",
            lambda config: [layout.spectrum(run) for run in _runs(config)],
            ("hessian_eigenvalue", "hessian_residual"),
        ),
    },
    settings={
        "step_sizes": Setting(
            Annotated[list[str], Field(max_length=3)],
            [],
            "Fig. F6: at most three studies whose learning_rate_rule is dal; keys of `trajectories`; an "
            "empty list: Fig. F6 is not made",
            names="trajectories",
        )
    },
    check=_check,
)

_BINS = 50  # number of intervals of steps; the share of steps at the cap is computed in each
_LINE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": ":", "zorder": 0}


def at_cap(trajectory: xr.Dataset) -> tuple[Floats, Floats]:
    """Compute the share of records whose learning rate is at the cap, in intervals of steps.

    Args:
        trajectory: run with the rule dal.

    Returns:
        Middle of each interval of steps, and the share in the interval, each (interval,).
    """
    settings = recorded.settings_of(trajectory)
    cap = settings["learning_rate"] * settings["learning_rate_rule"]["cap"]
    # No step is taken at the last record, where the run ends.
    rate = trajectory["learning_rate"].values[:-1]
    # After a run has diverged, its learning rate is unknown.
    bound = np.where(np.isfinite(rate), rate >= cap * (1 - 1e-12), np.nan)
    steps = trajectory["step"].values[:-1].astype(float)
    parts = np.array_split(np.arange(steps.size), min(_BINS, steps.size))
    middles = np.array([steps[part].mean() for part in parts])
    return middles, np.array([bound[part].mean() for part in parts])


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw one column of panels for each run.

    The rows are, from the top:

    - the learning rate η(t) of each step;
    - the largest eigenvalue of the weighted loss's Hessian, and 2/η(t), which equals ‖Hĝ‖ below the cap for
      power 1 and η = 1;
    - the share of steps at the cap;
    - training and validation accuracy.

    Args:
        inputs: files of the roles ``trajectory`` and ``spectrum``, of the same runs in the same order.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    runs = list(zip(inputs["trajectory"], inputs["spectrum"], strict=True))
    figure, axes = plt.subplots(4, len(runs), squeeze=False, sharex="col", figsize=(style.PAGE, 5.8))
    for column, (trajectory, spectrum) in zip(axes.T, runs, strict=True):
        _column(column, trajectory, spectrum)
    style.panel_letters(list(axes.T.ravel()))
    figure.align_ylabels()
    return figure


def _column(column: Any, trajectory: xr.Dataset, spectrum: xr.Dataset) -> None:
    settings = recorded.settings_of(trajectory)
    rule = settings["learning_rate_rule"]
    steps = trajectory["step"].values.astype(float)
    span = (float(steps[0]), float(steps[-1]))
    tilted = f"T = {settings['period']}, A = {settings['amplitude']:g}"
    loss = "static loss" if settings["amplitude"] == 1 else tilted
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    column[0].annotate(f"{loss}, power {rule['power']:g}, cap {rule['cap']:g}", (0, 1), (20, 3), **place)
    _learning_rates(column[0], trajectory, settings["learning_rate"] * rule["cap"], span)
    _curvatures(column[1], trajectory, spectrum, span)
    column[2].plot(*at_cap(trajectory), drawstyle="steps-mid", color=along_run.LINE_COLOUR, linewidth=0.9)
    column[2].set_ylim(-0.03, 1.03)
    column[2].set_ylabel("share at the cap")
    along_run.accuracies(column[3], trajectory, span, zoomed=False)
    if settings["amplitude"] > 1:
        for axis in column:
            along_run.shade_static_end(axis, float(trajectory["oscillation_end"]), span)
    along_run.step_axis(column[3], span, 4)


def _learning_rates(axis: Axes, trajectory: xr.Dataset, cap: float, span: Span) -> None:
    steps = trajectory["step"].values.astype(float)
    # No step is taken at the last record, where the run ends.
    along_run.line(axis, steps[:-1], trajectory["learning_rate"].values[:-1], span)
    axis.axhline(cap, **_LINE)
    axis.set_ylim(0, 1.08 * cap)
    axis.set_ylabel("η(t)")


def _curvatures(axis: Axes, trajectory: xr.Dataset, spectrum: xr.Dataset, span: Span) -> None:
    steps = spectrum["snapshot_step"].values.astype(float)
    rate = trajectory["learning_rate"].sel(step=spectrum["snapshot_step"].values).values
    found = (spectrum[name].isel(mode=0).values for name in ("hessian_eigenvalue", "hessian_residual"))
    for values, colour, label in (
        (2 / rate, along_run.ODD_COLOUR, "2/η"),
        (converged(*found), along_run.EVEN_COLOUR, "λ$_{\\mathrm{max}}$"),
    ):
        along_run.line(axis, steps, along_run.positive(values), span, color=colour, label=label)
    along_run.log_scale(axis)
    axis.set_ylabel("curvature")
    along_run.legend_above(axis, backwards=True)
