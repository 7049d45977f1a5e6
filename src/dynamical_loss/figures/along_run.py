"""Panels and lines that show one run against its steps; Fig. 4, S1, S2 and others share them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.errors import UserError
from dynamical_loss.figures import style, ticks
from dynamical_loss.figures.deferred import mpl, ticker

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

EVEN_COLOUR, ODD_COLOUR = "#0b3c5d", "#e58606"
"""Colours of the two branches of an alternation: dark and light, so that they differ in greyscale too."""

LINE_COLOUR = EVEN_COLOUR
STATIC_COLOUR = "0.94"
_BINS = 1200  # bins of a decimated line: about two for each pixel of a column at 300 dpi
_FEW_SNAPSHOTS = 100  # up to this number, each snapshot has a dot
_MOST_PERIODS = 60  # largest number of periods whose triangles can be distinguished in a column
_MOST_LABELLED_PERIODS = 25  # largest number of periods whose peaks have numbers

Floats = npt.NDArray[np.float64]
Span = tuple[float, float]
"""First and last step shown."""


def envelope(x: npt.ArrayLike, y: npt.ArrayLike, bins: int = _BINS) -> tuple[Floats, Floats]:
    """Reduce a line to about 2·`bins` points that look like the whole line, including its spikes.

    The points are divided into bins of neighbours. The smallest and the largest value of each bin are kept at
    their own abscissas. Keeping every k-th point instead would miss short spikes and, for an even k, one
    branch of an alternation.

    Args:
        x: abscissas, shape (n,), increasing.
        y: ordinates, shape (n,). Values that are not finite are left out.
        bins: number of bins.

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
    # The first and last point need not be extremes of their bins, but the line must reach them.
    index = np.unique([0, *kept, values.size - 1])
    return places[index], values[index]


def inside(x: Floats, span: Span) -> npt.NDArray[np.bool_]:
    """Return which steps lie in the span, including its ends."""
    return np.asarray((x >= span[0]) & (x <= span[1]))


def positive(values: npt.ArrayLike) -> Floats:
    """Replace values that a logarithmic axis cannot show by NaN."""
    array = np.asarray(values, dtype=float)
    return np.where(array > 0, array, math.nan)


def line(axis: Axes, x: Floats, y: Floats, span: Span, **look: Any) -> None:
    """Draw one thin line through the points that lie in the span."""
    chosen = inside(x, span)
    # A line through a single point would be invisible.
    marker = "." if np.count_nonzero(chosen) <= 2 else "None"
    shown: dict[str, Any] = {"linewidth": 0.6, "color": LINE_COLOUR, "marker": marker, "markersize": 3} | look
    axis.plot(*envelope(x[chosen], y[chosen]), **shown)


def branches(
    axis: Axes,
    x: Floats,
    y: Floats,
    span: Span,
    colours: tuple[str, str] = (EVEN_COLOUR, ODD_COLOUR),
    labels: tuple[str, str] = ("even t", "odd t"),
) -> None:
    """Draw one line for each value of t mod 4; the lines coincide unless the quantity alternates.

    The two colours of even and odd steps show a first period doubling. A second period doubling separates the
    two lines of one colour; with one line for each parity, it would look like a band.
    """
    for remainder in (0, 2, 1, 3):
        chosen = x % 4 == remainder
        parity = remainder % 2
        label = labels[parity] if remainder < 2 else f"_t mod 4 = {remainder}"
        line(axis, x[chosen], y[chosen], span, color=colours[parity], label=label, linewidth=0.5)


def legend_above(axis: Axes, *, backwards: bool = False) -> None:
    """Draw a legend above the panel, on the line of the panel's letter, where it covers no data."""
    shown: list[Any] = axis.get_legend_handles_labels()[0]
    if backwards:  # the line that is drawn last lies on top and should be read first
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


def say_empty(axis: Axes, words: str = "not probed") -> None:
    """Write into an empty panel why it is empty; by default, that its quantity was not measured."""
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color="0.4")
    axis.set_yticks([])


def log_scale(axis: Axes, shown: npt.ArrayLike | None = None) -> None:
    """Make the vertical axis logarithmic, with labels at decades, and also between them if these are too few.

    Args:
        axis: panel whose lines have been drawn.
        shown: values that must lie in the range of the axis; None: the values of all lines.
    """
    if shown is None:
        shown = np.concatenate([[math.nan], *(np.asarray(drawn.get_ydata(), float) for drawn in axis.lines)])
    values = np.asarray(shown, dtype=float)
    values = values[np.isfinite(values) & (values > 0)]
    if values.size == 0:
        return
    low, high = np.clip([values.min(), values.max()], ticks.SMALLEST, ticks.LARGEST).tolist()
    margin = 1.02 * 10 ** (0.07 * (math.log10(high) - math.log10(low)))
    span = low / margin, high * margin
    # The limits must be set first: matplotlib's own limits of a log axis could exceed double precision.
    axis.set_ylim(span)
    axis.set_yscale("log")
    ticks.logarithmic(axis.yaxis, span, 7, ticks.multiples_for(span))


def both_signs(axis: Axes, values: npt.ArrayLike) -> None:
    """Make the vertical axis symmetric-logarithmic, for values of both signs.

    The logarithmic part reaches at most three decades below the largest absolute value.

    Args:
        axis: panel in which the values are drawn.
        values: values of any shape; values that are not finite are left out.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    size = np.abs(known[known != 0])
    if not size.size:
        return
    linear = max(float(np.quantile(size, 0.05)), 1e-3 * float(size.max()))
    low, high = float(min(known.min(), 0.0)), float(max(known.max(), 0.0))
    ticks.symmetric_logarithmic(axis.yaxis, axis.set_yscale, linear, low, high, most=2, linear_size=0.5)


def step_axis(axis: Axes, span: Span, most: int) -> None:
    """Set limits, label and about `most` ticks of the axis of steps in the lowest panel of a column."""
    shown = span if span[1] > span[0] else (span[0] - 1, span[0] + 1)
    axis.set_xlim(shown)
    axis.set_xlabel("Minimisation step t")
    ticks.whole_numbers(axis.xaxis, shown, most)


def shade_static_end(axis: Axes, start: float, whole: Span) -> None:
    """Shade the steps from `start` on, where the oscillation is off."""
    if start < whole[1]:
        axis.axvspan(start, whole[1], color=STATIC_COLOUR, linewidth=0, zorder=0, label="_off")


def mark_zoom(axis: Axes, zoom: Span, panels: str) -> None:
    """Draw a bar over the steps that the right column shows, and label it with that column's `panels`."""
    axis.set_ylim(0, 1.16 * axis.get_ylim()[1])
    heights = axis.get_xaxis_transform()
    axis.plot(
        zoom, (0.93, 0.93), color="black", linewidth=2, solid_capstyle="butt", transform=heights, gid="zoom"
    )
    place: dict[str, Any] = {"xy": (zoom[1], 0.93), "xytext": (2, 0), "va": "center"}
    if zoom[1] > 0.95 * axis.dataLim.x1:  # no room to the right of the bar
        place = {"xy": (sum(zoom) / 2, 0.93), "xytext": (0, -3), "va": "top", "ha": "center"}
    axis.annotate(panels, **place, xycoords=heights, textcoords="offset points", fontsize=style.SMALL)


def second_period(whole: Span, period: float) -> Span:
    """Return the second period of a run; if the run is shorter than two periods, its last steps."""
    stop = min(2 * period, whole[1])
    return max(whole[0], stop - period), stop


def zoom(wanted: Any, whole: Span) -> Span:
    """Return the requested zoom after checking it.

    Args:
        wanted: [start, stop] in steps, as a figure's option gives them.
        whole: first and last step of the run.

    Raises:
        UserError: if the option is not an interval of steps, or does not lie entirely in the run. Showing
            only the part inside the run would mislead the reader. The message is one line that names the
            option.
    """
    numbers = isinstance(wanted, Sequence) and all(
        isinstance(end, int | float) and not isinstance(end, bool) for end in wanted
    )
    if not numbers or len(wanted) != 2:
        raise UserError(f"--option zoom: {wanted!r} is not an interval of steps; give [START, STOP]")
    if problem := outside(wanted, whole):
        raise UserError(f"--option zoom: {problem}")
    return float(wanted[0]), float(wanted[1])


def outside(wanted: Sequence[float], whole: Span) -> str:
    """Return why a zoom cannot be shown and what to do about it; an empty string if it can be shown.

    Args:
        wanted: first and last step of the zoom.
        whole: first and last step of the run.
    """
    start, stop = wanted
    if whole[0] <= start < stop <= whole[1]:
        return ""
    first, last = (f"{end:.15g}" for end in whole)
    return (
        f"[{start:.15g}, {stop:.15g}] does not lie in the run, which spans steps {first} to {last}; "
        "give a start and a later stop within the run"
    )


def class_weights(axis: Axes, trajectory: xr.Dataset, span: Span, period: float) -> None:
    """Draw Γ_i(t) of each class, or the range over classes if there are too many periods to distinguish.

    With more than four classes, a number at each peak says which class is emphasised in that period.
    """
    step = trajectory["step"].values.astype(float)
    weights = trajectory["class_weight"].transpose("step", "class_index").values.astype(float)
    count = weights.shape[1]
    axis.set_ylabel("Class weight Γ$_i$")
    spacing = float(np.max(np.diff(step), initial=1.0))
    if span[1] - span[0] > _MOST_PERIODS * period or spacing > period / 4:
        _class_weight_range(axis, step, weights, span)
        return
    for index in range(count):
        # There are ten colours; with more classes they repeat.
        colour = style.CLASS_COLOURS[index % len(style.CLASS_COLOURS)]
        label = f"class {index + 1}" if count <= 4 else f"_class {index + 1}"
        # Classes that are not emphasised have equal weights: lines of unequal width keep all of them visible.
        width = 0.6 + 0.7 * (count - 1 - index) / max(count - 1, 1)
        line(axis, step, weights[:, index], span, color=colour, label=label, linewidth=width)
    axis.set_ylim(bottom=0)
    if count <= 4:
        legend_above(axis)
    elif span[1] - span[0] <= _MOST_LABELLED_PERIODS * period:
        _number_peaks(axis, step, weights, span, period)


def _class_weight_range(axis: Axes, step: Floats, weights: Floats, span: Span) -> None:
    """Shade the range from the smallest to the largest weight, over classes and over the steps of a pixel."""
    axis.set_ylabel("Class weights Γ$_i$,\nleast to greatest")
    chosen = np.flatnonzero(inside(step, span))
    if chosen.size == 0:
        return
    pieces = np.array_split(chosen, min(_BINS, chosen.size))
    places = [float(step[piece].mean()) for piece in pieces]
    low = [float(weights[piece].min()) for piece in pieces]
    high = [float(weights[piece].max()) for piece in pieces]
    axis.fill_between(places, low, high, color=LINE_COLOUR, alpha=0.35, linewidth=0)
    for edge in (low, high):
        line(axis, np.array(places), np.array(edge), span, linewidth=0.25)
    axis.set_ylim(0, 1.05 * max(high))


def _number_peaks(axis: Axes, step: Floats, weights: Floats, span: Span, period: float) -> None:
    for turn in range(math.floor(span[0] / period), math.ceil(span[1] / period)):
        own = np.flatnonzero(inside(step, span) & (step > turn * period) & (step < (turn + 1) * period))
        if own.size == 0 or not span[0] < (turn + 0.5) * period < span[1]:
            continue
        row, index = np.unravel_index(int(weights[own].argmax()), weights[own].shape)
        peak = float(weights[own[row], index])
        if peak > 1:
            place = (float(step[own[row]]), peak)
            axis.annotate(
                f"{index + 1}",
                place,
                (0, 1),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=style.SMALL,
            )
    axis.set_ylim(top=1.12 * axis.get_ylim()[1])


def loss(axis: Axes, trajectory: xr.Dataset, span: Span, zoomed: bool) -> None:
    """Draw F(t) on a logarithmic axis; if zoomed in, even and odd steps are separate lines."""
    step = trajectory["step"].values.astype(float)
    apart = zoomed and _sees_both_branches(step)
    values = positive(trajectory["weighted_loss"].values)
    (branches if apart else line)(axis, step, values, span)
    log_scale(axis)
    axis.set_ylabel("Loss F")
    if apart:
        legend_above(axis)


def increments(axis: Axes, trajectory: xr.Dataset, span: Span, zoomed: bool) -> None:
    """Draw F(t) minus F at the previous record; if zoomed in, even and odd steps are separate lines.

    Snapshots add records between the regular ones. Only differences over the most frequent distance between
    records are shown.
    """
    step = trajectory["step"].values.astype(float)
    change = np.diff(trajectory["weighted_loss"].values.astype(float))
    distances, counts = np.unique(np.diff(step), return_counts=True)
    spacing = distances[counts.argmax()] if distances.size else 1.0
    regular = np.diff(step) == spacing
    apart = zoomed and spacing % 2 == 1
    (branches if apart else line)(axis, step[1:][regular], change[regular], span)
    axis.set_ylabel(f"F(t) − F(t − {spacing:g})")
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    if apart:
        legend_above(axis)


def accuracies(axis: Axes, trajectory: xr.Dataset, span: Span, zoomed: bool) -> None:
    """Draw training and validation accuracy; if zoomed in, even and odd steps are separate lines."""
    step = trajectory["step"].values.astype(float)
    for name, colour, label in (
        ("validation_accuracy", style.VALIDATION_COLOUR, "validation"),
        ("train_accuracy", style.TRAIN_COLOUR, "training"),
    ):
        values = trajectory[name].values.astype(float)
        if zoomed and _sees_both_branches(step):
            branches(axis, step, values, span, (colour, colour), (label, f"_{label}, odd t"))
        else:
            line(axis, step, values, span, color=colour, label=label)
    axis.set_ylabel("Accuracy")
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    legend_above(axis, backwards=True)


def shades(modes: int) -> list[Any]:
    """Return one colour for each mode, dark for the largest.

    The light end of the colour map is left out, because it is hard to see on white.
    """
    return [mpl.colormaps["viridis"](0.88 * rank / max(modes - 1, 1)) for rank in range(modes)]


def modes(
    axis: Axes, snapshot: Floats, values: Floats, span: Span, colours: Sequence[Any], *, branches: bool
) -> None:
    """Draw lines of the top modes, the largest on top; `branches` separates even and odd steps."""
    shown = inside(snapshot, span)
    parities = [snapshot % 2 == parity for parity in (0, 1)] if branches else [np.full(snapshot.shape, True)]
    # With few snapshots, each has a dot, so that the straight lines between them do not look like data.
    marker = "." if branches and np.count_nonzero(shown) <= _FEW_SNAPSHOTS else "None"
    for rank in reversed(range(values.shape[1])):
        for parity in parities:
            chosen = shown & parity
            # Tens of lines with thousands of points each are drawn as pixels, to keep the PDF small.
            axis.plot(
                snapshot[chosen],
                values[chosen, rank],
                color=colours[rank],
                linewidth=0.6,
                marker=marker,
                markersize=1.8,
                rasterized=True,
                label=f"_mode {rank + 1}",
            )


def _sees_both_branches(step: Floats) -> bool:
    """Return whether some records lie an odd number of steps apart, so that an alternation is visible."""
    return bool(np.any(np.diff(step) % 2 == 1))
