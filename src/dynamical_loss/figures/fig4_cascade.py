"""Fig. 4: one run with the dynamical loss and its cascades of instabilities, whole and zoomed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss import grid
from dynamical_loss.analysis.event_table import events_of
from dynamical_loss.analysis.events import LOSS_RULE, SHARPNESS_RULE, Event
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, followed_run, style
from dynamical_loss.figures.along_run import Floats, Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mlines, mpatches, plt
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _all_runs(config: Configuration) -> list[str]:
    study = config.figures.trajectory
    return grid.trajectory_runs(study, config.trajectories[study].seeds)


def _check(config: Configuration) -> None:
    followed_run.check(config)
    study = config.figures.trajectory
    run = config.trajectories[study]
    whole = (0.0, float(run.for_data(config.datasets[run.dataset].shape).steps))
    if problem := along_run.outside(config.figures.trajectory_zoom, whole):
        raise ValueError(f"figures.trajectory_zoom: {problem} (trajectories.{study})")


DECLARATION = Declaration(
    part="spiral",
    inputs=followed_run.INPUTS,
    options={"zoom": lambda config: list(config.figures.trajectory_zoom)},
    settings={
        **followed_run.SETTINGS,
        "trajectory_zoom": Setting(
            tuple[int, int], (8_000, 10_500), "Fig. 4g-l: first and last step of the zoom into the run"
        ),
    },
    check=_check,
    # The figure shows one seed, but claims average over all seeds.
    evidence={
        "spectrum": Role("probe_spectrum", lambda config: list(map(layout.spectrum, _all_runs(config)))),
        "instabilities": Role(
            "find_instabilities", lambda config: list(map(layout.instabilities, _all_runs(config)))
        ),
    },
    made_from=followed_run.MADE_FROM,
)

LOSS_RULE_COLOUR = "#dcdcdc"
START_DASHES, FINISH_DASHES = (0, (5, 2)), (0, (1.6, 1.1))
"""Dashes differ, because the paper's green and red look alike to a red-green colour-blind reader."""

_ROWS = 6


def measured_threshold(table: xr.Dataset, rule: str) -> float:
    """Return the mean λ_max at the starts and finishes of the instabilities of one rule; NaN without any."""
    if "threshold_all" in table and rule in table["rule"].values.astype(str):
        return float(table["threshold_all"].sel(rule=rule))
    return math.nan


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw class weights, loss, its increments, accuracies, and λ_max of the Hessian and of the NTK.

    All panels show one run: as a whole (a to f) and zoomed in (g to l).

    Args:
        inputs: one file each of the roles `trajectory`, `spectrum` and `instabilities`, all of the same run.
        options: `zoom`, [start, stop] in steps for panels g to l; by default the second period.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if the zoom does not lie entirely in the run.
    """
    trajectory, spectrum, instabilities = (inputs[role][0] for role in DECLARATION.inputs)
    settings = recorded.settings_of(trajectory)
    rate, period = float(settings["learning_rate"]), float(recorded.cycle_of(settings))
    step = trajectory["step"].values.astype(float)
    snapshot = spectrum["snapshot_step"].values.astype(float)
    whole = (float(step[0]), float(step[-1]))
    asked = options.get("zoom")
    zoom = along_run.second_period(whole, period) if asked is None else along_run.zoom(asked, whole)
    paper, second = events_of(instabilities, SHARPNESS_RULE), events_of(instabilities, LOSS_RULE)
    threshold = measured_threshold(instabilities, SHARPNESS_RULE)
    off = float(trajectory["oscillation_end"]) if "oscillation_end" in trajectory else math.inf

    figure = plt.figure(figsize=(style.PAGE, 8.6))
    axes: npt.NDArray[Any] = figure.subplots(_ROWS, 2, sharex="col", width_ratios=(1.12, 1))
    rows: tuple[Callable[[Axes, Span, bool], None], ...] = (
        lambda axis, span, zoomed: along_run.class_weights(axis, trajectory, span, period),
        lambda axis, span, zoomed: along_run.loss(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: along_run.increments(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: along_run.accuracies(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: _hessian(axis, spectrum, span, zoomed, rate, threshold),
        lambda axis, span, zoomed: _ntk(axis, spectrum, snapshot, span),
    )
    for column, (span, zoomed) in enumerate(((whole, False), (zoom, True))):
        for row, draw in enumerate(rows):
            axis = axes[row, column]
            draw(axis, span, zoomed)
            if axis.has_data():
                _mark_events(axis, span, paper, second if zoomed else None, thin=not zoomed)
            if not zoomed:
                along_run.shade_static_end(axis, off, whole)
            if not zoomed and row == 0:
                along_run.mark_zoom(axis, zoom, "g–l")
        along_run.step_axis(axes[-1, column], span, 6 if zoomed else 7)
    style.panel_letters(axes.T.ravel())
    figure.align_ylabels(axes[:, 0])
    figure.align_ylabels(axes[:, 1])
    _key(figure, paper, second, off < whole[1])
    return figure


def _hessian(
    axis: Axes, spectrum: xr.Dataset, span: Span, zoomed: bool, rate: float, threshold: float
) -> None:
    snapshot = spectrum["snapshot_step"].values.astype(float)
    sharpness = along_run.positive(spectrum["hessian_eigenvalue"].isel(mode=0).values)
    (along_run.branches if zoomed else along_run.line)(axis, snapshot, sharpness, span)
    axis.set_ylabel("Hessian λ$_{\\mathrm{max}}$")
    word = "" if zoomed else "measured "
    lines: tuple[tuple[float, dict[str, Any], str], ...] = (
        (2 / rate, {"color": "black", "linestyle": ":"}, f"2/η = {2 / rate:.3g}"),
        (
            threshold,
            {"color": style.MEASURED_COLOUR, "linestyle": "--"},
            f"{word}λ$_{{\\mathrm{{th}}}}$ = {threshold:.3g}",
        ),
    )
    for value, look, label in lines:
        if math.isfinite(value):
            axis.axhline(value, linewidth=0.8, zorder=3, label=label, **look)
    along_run.log_scale(axis)
    along_run.legend_above(axis)


def _ntk(axis: Axes, spectrum: xr.Dataset, snapshot: Floats, span: Span) -> None:
    axis.set_ylabel("NTK λ$_{\\mathrm{max}}$")
    probes = recorded.settings_of(spectrum).get("ntk") or {}
    samples = f"first {probes.get('notebook_samples', '?')} samples (notebook)"
    for name, colour, label in (
        ("ntk_eigenvalue_notebook", style.CLASS_COLOURS[9], samples),
        ("ntk_eigenvalue", along_run.LINE_COLOUR, "full kernel"),
    ):
        if name in spectrum and np.isfinite(spectrum[name].values[:, 0]).any():
            along_run.line(
                axis,
                snapshot,
                along_run.positive(spectrum[name].values[:, 0]),
                span,
                color=colour,
                label=label,
            )
    if not axis.lines:
        along_run.say_empty(axis)
        return
    along_run.log_scale(axis)
    along_run.legend_above(axis, backwards=True)


def _mark_events(
    axis: Axes, span: Span, paper: Sequence[Event], second: Sequence[Event] | None, *, thin: bool
) -> None:
    """Draw dashed lines where instabilities start and finish, and shade steps at which the loss alternates.

    Args:
        axis: panel to draw in.
        span: first and last step shown.
        paper: instabilities by the paper's rule, drawn as lines.
        second: instabilities by the loss rule, shaded; None: no shading.
        thin: whether lines are thin.
    """
    width, opacity = (0.4, 0.75) if thin else (0.8, 0.9)
    for steps, colour, dashes, name in (
        ([event.start for event in paper], style.START_COLOUR, START_DASHES, "start"),
        ([event.finish for event in paper if event.finished], style.FINISH_COLOUR, FINISH_DASHES, "finish"),
    ):
        for step in (step for step in steps if span[0] <= step <= span[1]):
            axis.axvline(
                step, color=colour, linewidth=width, alpha=opacity, linestyle=dashes, zorder=1, gid=name
            )
    for event in second or ():
        if event.start < span[1] and event.finish > span[0]:
            left, right = max(event.start, span[0]), min(event.finish, span[1])
            axis.axvspan(left, right, color=LOSS_RULE_COLOUR, alpha=0.55, linewidth=0, zorder=0)


def _key(figure: Figure, paper: Sequence[Event], second: Sequence[Event], switched_off: bool) -> None:
    """Draw a legend above all panels that explains their lines and shades."""
    handles: list[Any] = []
    if paper:
        for colour, dashes, label in (
            (style.START_COLOUR, START_DASHES, "instability starts (paper's rule)"),
            (style.FINISH_COLOUR, FINISH_DASHES, "instability finishes"),
        ):
            handles.append(mlines.Line2D([], [], color=colour, linewidth=0.9, linestyle=dashes, label=label))
    if second:
        handles.append(
            mpatches.Patch(color=LOSS_RULE_COLOUR, alpha=0.55, label="g–l: loss alternates (loss rule)")
        )
    if switched_off:
        handles.append(mpatches.Patch(color=along_run.STATIC_COLOUR, label="a–f: oscillation off"))
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=4, handlelength=2.2)
