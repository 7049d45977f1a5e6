"""Fig. 4: one run of the dynamical loss with its cascades of instabilities, whole and zoomed in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dynamical_loss import store
from dynamical_loss.figures import style

ROLES = {
    "trajectory": style.Role("train_trajectory"),
    "spectrum": style.Role("probe_spectrum", ("hessian_eigenvalue",)),
    "cascade": style.Role("analyse_cascade"),
}

EVEN_COLOUR, ODD_COLOUR = "#0b3c5d", "#e58606"
"""The two branches of an alternation: dark and light, so that they part in grey too."""

LINE_COLOUR = EVEN_COLOUR
LOSS_RULE_COLOUR = "#dcdcdc"
START_DASHES, FINISH_DASHES = (0, (5, 2)), (0, (1.6, 1.1))
"""Unlike dashes, because the paper's green and red look alike to a red-green blind reader."""

_BINS = 1200  # of a decimated line: about two to a pixel of a column at 300 dpi
_ROWS = 6

Floats = npt.NDArray[np.float64]
Span = tuple[float, float]


def envelope(x: npt.ArrayLike, y: npt.ArrayLike, bins: int = _BINS) -> tuple[Floats, Floats]:
    """A line of at most 2·`bins` points that looks like the whole one, spikes included.

    Of each run of neighbouring points the smallest and the largest are kept, where they are; taking
    every k-th point instead would miss short spikes and, for an even k, one branch of an alternation.

    Args:
        x: shape (n,), increasing.
        y: shape (n,). Values that are not finite are left out.
        bins: runs of neighbouring points.

    Returns:
        x and y of the points kept.
    """
    values = np.asarray(y, dtype=float)
    known = np.isfinite(values)
    places, values = np.asarray(x, dtype=float)[known], values[known]
    if values.size <= 2 * bins:
        return places, values
    edges = np.linspace(0, values.size, bins + 1).astype(int)
    kept = [
        first + extreme
        for first, last in itertools.pairwise(edges.tolist())
        for extreme in sorted({int(np.argmin(values[first:last])), int(np.argmax(values[first:last]))})
    ]
    # The ends of the record are no extremes of their bins, but the line must reach them.
    index = np.unique([0, *kept, values.size - 1])
    return places[index], values[index]


@dataclass(frozen=True)
class Events:
    """Where the instabilities of one rule start and finish.

    Attributes:
        starts: steps.
        finishes: steps, of those that finished.
        spans: (start, finish) of each; for one that did not finish, the end of the record.
        threshold: mean λ_max at starts and finishes, NaN without any.
    """

    starts: Floats
    finishes: Floats
    spans: tuple[Span, ...]
    threshold: float


def events_of(cascade: xr.Dataset, rule: str) -> Events:
    """The events of one rule in a file of `analyse-cascade`."""
    chosen = cascade["event_rule"].values.astype(str) == rule
    starts = cascade["event_start"].values[chosen].astype(float)
    finishes = cascade["event_finish"].values[chosen].astype(float)
    finished = cascade["event_finished"].values[chosen].astype(bool)
    threshold = math.nan
    if "threshold_all" in cascade and rule in cascade["rule"].values.astype(str):
        threshold = float(cascade["threshold_all"].sel(rule=rule))
    spans = tuple(zip(starts.tolist(), finishes.tolist(), strict=True))
    return Events(starts, finishes[finished], spans, threshold)


def _inside(x: Floats, span: Span) -> npt.NDArray[np.bool_]:
    return np.asarray((x >= span[0]) & (x <= span[1]))


def _positive(values: npt.ArrayLike) -> Floats:
    """Values that a logarithmic axis can show, NaN elsewhere."""
    array = np.asarray(values, dtype=float)
    return np.where(array > 0, array, math.nan)


def _line(axis: Axes, x: Floats, y: Floats, span: Span, **look: Any) -> None:
    """One thin line of what lies in the span."""
    inside = _inside(x, span)
    shown: dict[str, Any] = {"linewidth": 0.6, "color": LINE_COLOUR} | look
    axis.plot(*envelope(x[inside], y[inside]), **shown)


def _branches(
    axis: Axes,
    x: Floats,
    y: Floats,
    span: Span,
    colours: tuple[str, str] = (EVEN_COLOUR, ODD_COLOUR),
    labels: tuple[str, str] = ("even t", "odd t"),
) -> None:
    """Steps of each t mod 4 as a line; they coincide unless the quantity alternates.

    Two colours for the parities show a first period doubling; that the lines of one colour part
    shows a second one, which a single line a parity would smear into a band.
    """
    for remainder in (0, 2, 1, 3):
        chosen = x % 4 == remainder
        parity = remainder % 2
        label = labels[parity] if remainder < 2 else f"_t mod 4 = {remainder}"
        _line(axis, x[chosen], y[chosen], span, color=colours[parity], label=label, linewidth=0.5)


def _legend_above(axis: Axes, *, backwards: bool = False) -> None:
    """A legend in the line of the panel's letter, where it covers no data."""
    shown: list[Any] = axis.get_legend_handles_labels()[0]
    if backwards:  # what is drawn last lies on top and should be read first
        shown = shown[::-1]
    if shown:
        axis.legend(
            handles=shown,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.1,
            ncols=len(shown),
            handlelength=1.4,
            handletextpad=0.4,
            columnspacing=1.0,
            borderpad=0.1,
        )


def _not_probed(axis: Axes) -> None:
    axis.text(0.5, 0.5, "not probed", transform=axis.transAxes, ha="center", va="center", color="0.4")
    axis.set_yticks([])


def _log_scale(axis: Axes) -> None:
    """Logarithmic axis with labels at decades, or also between them where it spans too few."""
    values = np.concatenate([[math.nan], *(np.asarray(line.get_ydata(), float) for line in axis.lines)])
    values = values[np.isfinite(values) & (values > 0)]
    if values.size == 0:
        return
    axis.set_yscale("log")
    low, high = float(values.min()), float(values.max())
    low, high = low / (high / low) ** 0.07 / 1.02, high * (high / low) ** 0.07 * 1.02
    axis.set_ylim(low, high)
    decades = math.log10(high / low)
    labelled = (1.0,) if decades > 2.2 else (1.0, 2.0, 5.0) if decades > 0.5 else (1.0, 1.5, 2, 3, 4, 5, 7)
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=labelled, numticks=7))
    if low > 9e-4 and high < 2e4:
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(style.plain_number))
    else:
        axis.yaxis.set_major_formatter(ticker.LogFormatterSciNotation(labelOnlyBase=False))
    axis.yaxis.set_minor_locator(ticker.LogLocator(subs=tuple(range(2, 10)), numticks=12))
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())


def render(inputs: style.Inputs, options: style.Options) -> Figure:
    """Fig. 4: class weights, loss, its increments, accuracy, Hessian and NTK λ_max along one run.

    Args:
        inputs: `trajectory`, `spectrum` and `cascade` of the run.
        options: `zoom`, [start, stop] in steps for panels g–l; without it, or where the run does
            not reach it, the second period.
    """
    trajectory, spectrum, cascade = (inputs[role][0] for role in ROLES)
    settings = store.settings_of(trajectory)
    rate, period = float(settings["learning_rate"]), float(settings["period"])
    step = trajectory["step"].values.astype(float)
    snapshot = spectrum["snapshot_step"].values.astype(float)
    whole = (float(step[0]), float(step[-1]))
    zoom = _zoom(options.get("zoom"), whole, period)
    paper, second = events_of(cascade, "sharpness"), events_of(cascade, "loss")
    off = float(trajectory["oscillation_end"]) if "oscillation_end" in trajectory else math.inf

    figure = plt.figure(figsize=(style.PAGE, 8.6))
    axes: npt.NDArray[Any] = figure.subplots(_ROWS, 2, sharex="col", width_ratios=(1.12, 1))
    rows: tuple[Callable[[Axes, Span, bool], None], ...] = (
        lambda axis, span, zoomed: _class_weights(axis, trajectory, span),
        lambda axis, span, zoomed: _loss(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: _increments(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: _accuracies(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: _hessian(axis, spectrum, span, zoomed, rate, paper.threshold),
        lambda axis, span, zoomed: _ntk(axis, spectrum, snapshot, span),
    )
    for column, (span, zoomed) in enumerate(((whole, False), (zoom, True))):
        for row, draw in enumerate(rows):
            axis = axes[row, column]
            draw(axis, span, zoomed)
            if axis.has_data():
                _mark_events(axis, span, paper, second if zoomed else None, thin=not zoomed)
            if not zoomed and off < whole[1]:
                axis.axvspan(off, whole[1], color="0.94", linewidth=0, zorder=0, label="_off")
            if not zoomed and row == 0:
                _mark_zoom(axis, zoom)
        axes[0, column].set_xlim(span if span[1] > span[0] else (span[0] - 1, span[0] + 1))
        bottom = axes[-1, column]
        bottom.set_xlabel("Minimisation step t")
        bottom.xaxis.set_major_locator(
            ticker.MaxNLocator(6 if zoomed else 7, integer=True, steps=[1, 2, 5, 10])
        )
        bottom.xaxis.set_major_formatter(ticker.FuncFormatter(style.plain_number))
    style.panel_letters(axes.T.ravel())
    figure.align_ylabels(axes[:, 0])
    figure.align_ylabels(axes[:, 1])
    _key(figure, paper, second, off < whole[1])
    return figure


def _mark_zoom(axis: Axes, zoom: Span) -> None:
    """A bar below the upper edge over the steps that the right column shows."""
    axis.set_ylim(0, 1.16 * axis.get_ylim()[1])
    heights = axis.get_xaxis_transform()
    axis.plot(
        zoom, (0.93, 0.93), color="black", linewidth=2, solid_capstyle="butt", transform=heights, gid="zoom"
    )
    axis.annotate(
        "g–l", (zoom[1], 0.93), (2, 0), heights, textcoords="offset points", va="center", fontsize=6
    )


def _zoom(wanted: Any, whole: Span, period: float) -> Span:
    """The zoom asked for, cut to the run."""
    if wanted is not None:
        start, stop = max(float(wanted[0]), whole[0]), min(float(wanted[1]), whole[1])
        if stop > start:
            return start, stop
    stop = min(2 * period, whole[1])
    return max(whole[0], stop - period), stop


def _class_weights(axis: Axes, trajectory: xr.Dataset, span: Span) -> None:
    step = trajectory["step"].values.astype(float)
    weights = trajectory["class_weight"].transpose("step", "class_index").values
    count = weights.shape[1]
    for index in range(count):
        # With ten classes and more the colours come round again.
        colour = style.CLASS_COLOURS[index % len(style.CLASS_COLOURS)]
        label = f"class {index + 1}" if count <= 4 else f"_class {index + 1}"
        # Classes that are not in turn share one weight: the wider line shows beside the thinner.
        width = 0.6 + 0.7 * (count - 1 - index) / max(count - 1, 1)
        _line(axis, step, weights[:, index], span, color=colour, label=label, linewidth=width)
    axis.set_ylabel("Class weight Γ$_i$")
    axis.set_ylim(bottom=0)
    _legend_above(axis)


def _loss(axis: Axes, trajectory: xr.Dataset, span: Span, zoomed: bool) -> None:
    step = trajectory["step"].values.astype(float)
    loss = _positive(trajectory["weighted_loss"].values)
    (_branches if zoomed else _line)(axis, step, loss, span)
    _log_scale(axis)
    axis.set_ylabel("Loss F")
    if zoomed:
        _legend_above(axis)


def _increments(axis: Axes, trajectory: xr.Dataset, span: Span, zoomed: bool) -> None:
    step = trajectory["step"].values.astype(float)
    change = np.diff(trajectory["weighted_loss"].values.astype(float))
    spacing = int(np.max(np.diff(step))) if step.size > 1 else 1
    (_branches if zoomed else _line)(axis, step[1:], change, span)
    axis.set_ylabel(f"F(t) − F(t − {spacing})")
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    if zoomed:
        _legend_above(axis)


def _accuracies(axis: Axes, trajectory: xr.Dataset, span: Span, zoomed: bool) -> None:
    step = trajectory["step"].values.astype(float)
    for name, colour, label in (
        ("validation_accuracy", style.VALIDATION_COLOUR, "validation"),
        ("train_accuracy", style.TRAIN_COLOUR, "training"),
    ):
        values = trajectory[name].values.astype(float)
        if zoomed:
            _branches(axis, step, values, span, (colour, colour), (label, f"_{label}, odd t"))
        else:
            _line(axis, step, values, span, color=colour, label=label)
    axis.set_ylabel("Accuracy")
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    _legend_above(axis, backwards=True)


def _hessian(
    axis: Axes, spectrum: xr.Dataset, span: Span, zoomed: bool, rate: float, threshold: float
) -> None:
    snapshot = spectrum["snapshot_step"].values.astype(float)
    sharpness = _positive(spectrum["hessian_eigenvalue"].isel(mode=0).values)
    (_branches if zoomed else _line)(axis, snapshot, sharpness, span)
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
    _log_scale(axis)
    _legend_above(axis)


def _ntk(axis: Axes, spectrum: xr.Dataset, snapshot: Floats, span: Span) -> None:
    axis.set_ylabel("NTK λ$_{\\mathrm{max}}$")
    probes = store.settings_of(spectrum).get("ntk") or {}
    samples = f"first {probes.get('notebook_samples', '?')} samples (notebook)"
    for name, colour, label in (
        ("ntk_eigenvalue_notebook", style.CLASS_COLOURS[9], samples),
        ("ntk_eigenvalue", LINE_COLOUR, "full kernel"),
    ):
        if name in spectrum and np.isfinite(spectrum[name].values[:, 0]).any():
            _line(axis, snapshot, _positive(spectrum[name].values[:, 0]), span, color=colour, label=label)
    if not axis.lines:
        _not_probed(axis)
        return
    _log_scale(axis)
    _legend_above(axis, backwards=True)


def _mark_events(axis: Axes, span: Span, paper: Events, second: Events | None, *, thin: bool) -> None:
    """Dashed lines at the paper's starts and finishes; grey where the loss itself alternates."""
    width, opacity = (0.4, 0.75) if thin else (0.8, 0.9)
    for steps, colour, dashes, name in (
        (paper.starts, style.START_COLOUR, START_DASHES, "start"),
        (paper.finishes, style.FINISH_COLOUR, FINISH_DASHES, "finish"),
    ):
        for step in steps[_inside(steps, span)]:
            axis.axvline(
                step, color=colour, linewidth=width, alpha=opacity, linestyle=dashes, zorder=1, gid=name
            )
    for start, finish in second.spans if second else ():
        if start < span[1] and finish > span[0]:
            left, right = max(start, span[0]), min(finish, span[1])
            axis.axvspan(left, right, color=LOSS_RULE_COLOUR, alpha=0.55, linewidth=0, zorder=0)


def _key(figure: Figure, paper: Events, second: Events, switched_off: bool) -> None:
    """What the lines and shades of all panels mean, above them."""
    handles: list[Any] = []
    if paper.starts.size:
        for colour, dashes, label in (
            (style.START_COLOUR, START_DASHES, "instability starts (paper's rule)"),
            (style.FINISH_COLOUR, FINISH_DASHES, "instability finishes"),
        ):
            handles.append(Line2D([], [], color=colour, linewidth=0.9, linestyle=dashes, label=label))
    if second.spans:
        handles.append(Patch(color=LOSS_RULE_COLOUR, alpha=0.55, label="g–l: loss alternates (loss rule)"))
    if switched_off:
        handles.append(Patch(color="0.94", label="a–f: oscillation off"))
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=4, handlelength=2.2)
