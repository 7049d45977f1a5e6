# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L4: the loss against time, and the time in which the loss halves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Inputs, Options
from dynamical_loss.figures.deferred import plt, sns

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECLARATION = lazy_panels.declared()

_LOWEST = 1e-3  # smallest loss that is drawn; smaller losses come from the last training sample alone


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the loss of the widest network against t (a) and t/s (b), and t½/s against s (c), s = √h·α.

    The panels correspond to Fig. 5b and c of arXiv 1906.08034. Panels (a) and (b) show one seed and one split
    of the data.

    Args:
        inputs: one grid of gradient flows as the role ``study``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.8))
    widest = grid.isel(width=-1)
    for axis, rescaled in zip(axes[:2], (False, True), strict=True):
        _losses(axis, widest, rescaled)
    axes[1].sharey(axes[0])
    lines, scales = axes[0].get_legend_handles_labels()
    figure.legend(
        lines,
        scales,
        title="(a, b): scale $s$",
        loc="outside lower center",
        ncols=len(lines),
        handlelength=1.2,
        columnspacing=1.2,
    )
    lazy_panels.half_times(axes[2], grid)
    scale = grid["scale"].values
    if (scale >= 10).sum() > 1:
        mean, _ = lazy_panels.over_runs(grid["half_time"].isel(width=-1))
        last = float(scale[-1]), 2 * float(mean[-1]) / float(scale[-1])
        lazy_panels.power_line(axes[2], (10.0, last[0]), last, -1.0)
    axes[2].legend()
    style.panel_letters(axes)
    lazy_panels.header(figure, grid)
    return figure


def _losses(axis: Axes, grid: xr.Dataset, rescaled: bool) -> None:
    scales = grid["scale"].values
    for colour, scale in zip(sns.color_palette("rocket", len(scales)), scales, strict=True):
        run = grid.sel(scale=scale)
        time = run["record_time"].values / (scale if rescaled else 1.0)
        known = np.isfinite(time) & (run["record_loss"].values > _LOWEST)
        axis.plot(time[known], run["record_loss"].values[known], color=colour, label=f"{scale:g}")
    words = r"$t\,/\,(\sqrt{h}\,\alpha)$" if rescaled else "time $t$"
    lazy_panels.log_axes(axis, words, r"loss $\alpha^2\mathcal{L}$")
    width = int(grid["width"])
    axis.set_title(f"$h={width}$", loc="right")
