# ruff: noqa: N999  (figures of feature and lazy training have letters of their own)
"""Fig. L4: the loss in time, and how long its first half takes."""

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

_LOWEST = 1e-3  # of the loss: below it there is only the end of the last pattern


def render(inputs: Inputs, options: Options) -> Figure:
    """Loss of the widest network against t (a) and t/s (b), s = √h·α, and t½/s against s (c).

    As arXiv 1906.08034, Fig. 5b and c; one seed and split in (a) and (b).

    Args:
        inputs: role ``study``, one grid of gradient flows.
        options: none are known.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.5))
    widest = grid.isel(width=-1)
    for axis, rescaled in zip(axes[:2], (False, True), strict=True):
        _losses(axis, widest, rescaled)
    axes[1].sharey(axes[0])
    axes[0].legend(title="$s$", loc="center left", fontsize=5, borderpad=0)
    lazy_panels.half_times(axes[2], grid)
    scales = grid["scale"].values
    if (scales >= 10).sum() > 1:
        mean, _ = lazy_panels.over_runs(grid["half_time"].isel(width=-1))
        last = float(scales[-1]), 2 * float(mean[-1]) / float(scales[-1])
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
