# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S1: largest and smallest Hessian eigenvalues along the run of Fig. 4, and the spectral density."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.event_table import events_of
from dynamical_loss.analysis.events import SHARPNESS_RULE, Event
from dynamical_loss.figures import along_run, followed_run, style, ticks
from dynamical_loss.figures.along_run import Floats, Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import cm, mcolors, mlines, mpatches, patheffects, plt, ticker
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECLARATION = Declaration(
    part="spiral",
    inputs=followed_run.INPUTS,
    settings=followed_run.SETTINGS,
    check=followed_run.check,
    made_from=followed_run.MADE_FROM,
)

SMALLEST_COLOUR = style.CLASS_COLOURS[3]
UNSTABLE_COLOUR = "#dcdcdc"

_LINEAR_PART = 0.01  # |λ|η/2 below which axes are linear; most of the spectrum lies there
_SMOOTHING = 0.12  # standard deviation of the Gaussians in asinh λ; 12 % of λ outside the linear part
_MOST_DENSITIES = 6  # largest number of densities that are drawn


def smoothed_density(
    node: npt.ArrayLike,
    weight: npt.ArrayLike,
    grid: npt.ArrayLike,
    *,
    scale: float,
    width: float = _SMOOTHING,
) -> Floats:
    """Compute a smoothed spectral density for a symmetric-log axis, averaged over probe vectors.

    Each node becomes a Gaussian in asinh(λ/scale), because eigenvalues span decades on both sides of zero.
    All Gaussians have the same width. The factor d asinh(λ/scale)/dλ turns the sum into a density in λ, which
    integrates to 1.

    Args:
        node: quadrature nodes, shape (probe, node).
        weight: weights of the nodes, same shape; they sum to 1 for each probe.
        grid: eigenvalues λ at which the density is evaluated, shape (n,).
        scale: |λ| below which the axis is approximately linear.
        width: standard deviation of the Gaussians, in asinh(λ/scale).

    Returns:
        Density, shape (n,), in inverse units of λ.
    """
    nodes, weights = np.asarray(node, dtype=float), np.asarray(weight, dtype=float)
    points = np.asarray(grid, dtype=float)
    places, centres = np.arcsinh(points / scale), np.arcsinh(nodes.ravel() / scale)
    bells = np.exp(-0.5 * ((places[:, None] - centres) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    density = bells @ weights.ravel() / nodes.shape[0]
    return np.asarray(density / np.hypot(points, scale))


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the largest eigenvalues and the smallest eigenvalue of the Hessian, and its spectral density.

    The first row shows the weighted loss: the whole run on the left, and the steps around the largest
    instability on the right. A second row shows the static loss, and a last row the densities, if they were
    measured.

    Args:
        inputs: one file each of the roles `trajectory`, `spectrum` and `instabilities`, of the run of Fig. 4.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    del options
    trajectory, spectrum, instabilities = (inputs[role][0] for role in DECLARATION.inputs)
    settings = recorded.settings_of(trajectory)
    rate, period = float(settings["learning_rate"]), float(recorded.cycle_of(settings))
    kinds = [
        (f"hessian_eigenvalue{suffix}", f"hessian_min_eigenvalue{suffix}", words)
        for suffix, words in (("", "weighted loss"), ("_static", "static loss"))
        if f"hessian_eigenvalue{suffix}" in spectrum
    ]
    densities = _densities(spectrum)
    heights = [2.1 * len(kinds)] + [1.6] * bool(densities)
    figure = plt.figure(figsize=(style.PAGE, 0.5 + sum(heights)))
    blocks = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    above = blocks[0].subgridspec(len(kinds), 3, width_ratios=(1.35, 1, 0.03))

    snapshot = spectrum["snapshot_step"].values.astype(float)
    whole = (float(snapshot[0]), float(snapshot[-1]))
    events = events_of(instabilities, SHARPNESS_RULE)
    zoom = _largest(events, spectrum, whole, period)
    shades = along_run.shades(spectrum.sizes["mode"])
    axes: list[Axes] = []
    for row, (top, smallest, words) in enumerate(kinds):
        left = figure.add_subplot(above[row, 0])
        right = figure.add_subplot(above[row, 1], sharey=left)
        for axis, span, zoomed in ((left, whole, False), (right, zoom, True)):
            along_run.modes(axis, snapshot, spectrum[top].values, span, shades, branches=zoomed)
            if smallest in spectrum:
                _smallest(axis, snapshot, spectrum[smallest].values, span)
            # The dotted line crosses dark lines; a white rim keeps it visible there.
            rim = [patheffects.withStroke(linewidth=1.7, foreground="white")]
            axis.axhline(
                2 / rate, color="black", linestyle=":", linewidth=1, zorder=4, gid="2/η", path_effects=rim
            )
            for event in events:
                if event.start < span[1] and event.finish > span[0]:
                    ends = max(event.start, span[0]), min(event.finish, span[1])
                    axis.axvspan(*ends, color=UNSTABLE_COLOUR, linewidth=0, zorder=0, gid="unstable")
            shown = span if span[1] > span[0] else (span[0] - 1, span[0] + 1)
            axis.set_xlim(shown)
            ticks.whole_numbers(axis.xaxis, shown, 7 if axis is left else 4, steps=None)
            axis.set_xlabel("Minimisation step t")
        limits = _reach([spectrum[name].values for name in (top, smallest) if name in spectrum], 2 / rate)
        ticks.symmetric_logarithmic(left.yaxis, left.set_yscale, _LINEAR_PART * 2 / rate, *limits)
        left.set_ylim(*limits)
        right.tick_params(labelleft=False)
        left.set_ylabel(f"Hessian eigenvalue,\n{words}")
        axes += [left, right]
    if densities:
        panels = blocks[1].subgridspec(1, len(densities)).subplots(sharex=True, sharey=True, squeeze=False)[0]
        _density_row(panels, densities, rate)
        axes += list(panels)
    style.panel_letters(axes)
    figure.align_ylabels([axis for axis in axes if axis.get_ylabel()])
    if len(shades) > 1:
        _mode_bar(figure.add_subplot(above[:, 2]), shades)
    _key(figure, rate, bool(events))
    return figure


def _largest(events: Sequence[Event], spectrum: xr.Dataset, whole: Span, period: float) -> Span:
    """Return the steps around the instability with the highest λ_max.

    Without any instability, these are the steps around the highest λ_max.
    """
    known = [event for event in events if math.isfinite(event.peak_sharpness)]
    if known:
        largest = max(known, key=lambda event: event.peak_sharpness)
        start, finish = float(largest.start), float(largest.finish)
        margin = max(0.4 * (finish - start), 0.06 * period)
    else:
        sharpness = spectrum["hessian_eigenvalue"].isel(mode=0).values
        peak = int(np.argmax(np.where(np.isfinite(sharpness), sharpness, -math.inf)))
        start = finish = float(spectrum["snapshot_step"].values[peak])
        margin = 0.25 * period
    return max(whole[0], start - margin), min(whole[1], finish + margin)


def _reach(values: Sequence[Floats], at_least: float) -> Span:
    """Return limits with room around all values; part of the axis lies on each side of zero."""
    known = np.concatenate([array.ravel() for array in values])
    known = known[np.isfinite(known)]
    return 1.6 * min(-0.01 * at_least, *known.tolist()), 1.6 * max(at_least, *known.tolist())


def _smallest(axis: Axes, snapshot: Floats, values: Floats, span: Span) -> None:
    inside = (snapshot >= span[0]) & (snapshot <= span[1])
    axis.plot(
        snapshot[inside],
        values[inside],
        color=SMALLEST_COLOUR,
        linewidth=0.6,
        rasterized=True,
        label="_smallest",
    )


def _densities(spectrum: xr.Dataset) -> list[tuple[int, Floats, Floats]]:
    """Return (step, nodes, weights) of the finite densities, `_MOST_DENSITIES` at most."""
    if "density_node" not in spectrum or "density_weight" not in spectrum:
        return []
    dimensions = ("density_step", "probe", "node")
    nodes, weights = (
        spectrum[f"density_{name}"].transpose(*dimensions).values for name in ("node", "weight")
    )
    found = [
        (int(step), nodes[index], weights[index])
        for index, step in enumerate(spectrum["density_step"].values)
        if np.isfinite(nodes[index]).all() and np.isfinite(weights[index]).all()
    ]
    if len(found) <= _MOST_DENSITIES:
        return found
    chosen = np.linspace(0.0, len(found) - 1.0, _MOST_DENSITIES).round().astype(int)
    return [found[index] for index in chosen.tolist()]


def _density_row(
    panels: Sequence[Axes], densities: Sequence[tuple[int, Floats, Floats]], rate: float
) -> None:
    scale = _LINEAR_PART * 2 / rate
    lowest = min(float(node.min()) for _, node, _ in densities)
    highest = max(2 / rate, *(float(node.max()) for _, node, _ in densities))
    ends = np.arcsinh(np.array([min(lowest, 0.0), highest]) / scale) + np.array([-0.6, 0.6])
    grid = scale * np.sinh(np.linspace(float(ends[0]), float(ends[1]), 800))
    curves = [smoothed_density(node, weight, grid, scale=scale) for _, node, weight in densities]
    peak = max(float(curve.max()) for curve in curves)
    for axis, curve, (step, _, _) in zip(panels, curves, densities, strict=True):
        axis.fill_between(grid, curve, color=style.CLASS_COLOURS[0], alpha=0.25, linewidth=0)
        axis.plot(grid, curve, color=style.CLASS_COLOURS[0], linewidth=0.7)
        axis.axvline(2 / rate, color="black", linestyle=":", linewidth=0.8)
        axis.set_title(f"t = {ticks.plain_number(step)}", loc="right", fontsize=style.SMALL, pad=3)
    ticks.symmetric_logarithmic(panels[0].xaxis, panels[0].set_xscale, scale, float(grid[0]), float(grid[-1]))
    panels[0].set_xlim(grid[0], grid[-1])
    panels[0].set_yscale("log")
    panels[0].set_ylim(peak * 1e-7, peak * 3)
    panels[0].set_ylabel("Spectral density ρ(λ),\nweighted loss")
    panels[0].yaxis.set_major_locator(ticker.LogLocator(numticks=6))
    panels[0].yaxis.set_minor_locator(ticker.NullLocator())
    panels[len(panels) // 2].set_xlabel("Hessian eigenvalue λ")


def _mode_bar(axis: Axes, shades: Sequence[Any]) -> None:
    """Draw a colour bar that shows the colour of each mode."""
    count = len(shades)
    norm = mcolors.BoundaryNorm(np.arange(0.5, count + 1), count)
    ranks = cm.ScalarMappable(norm, mcolors.ListedColormap(list(shades)))
    bar = plt.colorbar(ranks, cax=axis)
    bar.set_label("Mode (1 = largest)")
    bar.set_ticks(list(range(1, count + 1, math.ceil(count / 10))))
    bar.minorticks_off()
    bar.ax.invert_yaxis()


def _key(figure: Figure, rate: float, unstable: bool) -> None:
    handles: list[Any] = [
        mlines.Line2D([], [], color=SMALLEST_COLOUR, linewidth=0.9, label="smallest eigenvalue"),
        mlines.Line2D([], [], color="black", linestyle=":", linewidth=0.9, label=f"2/η = {2 / rate:.3g}"),
    ]
    if unstable:
        handles.append(mpatches.Patch(color=UNSTABLE_COLOUR, label="unstable (paper's rule)"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
