# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L2: variance over initial seeds, and the gain from averaging networks over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _files(config: Configuration) -> list[str]:
    study = config.figures.lazy
    return [layout.lazy(study)] if study is not None and config.lazy[study].seeds > 1 else []


DECLARATION = lazy_panels.declared(Role("aggregate_lazy", _files))

_REGIMES = (lazy_panels.FEATURE, lazy_panels.LAZY)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the variance of F and the test errors of single networks and of their mean.

    Panels: Var F against h (a), with a dashed line ~ 1/h; h·Var F against √h·α (b); test error against h of
    one network and of the mean over networks, in the feature (c) and in the lazy regime (d). The figure
    corresponds to Fig. 4 of arXiv 1906.08034.

    Args:
        inputs: one grid of gradient flows with at least two initial seeds, as the role ``study``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    figure, axes = plt.subplots(1, 4, figsize=(style.PAGE, 2.3))
    ends = lazy_panels.ends(grid)
    _against_width(axes[0], grid, ends)
    lazy_panels.curves(axes[1], grid, "output_variance", factor=float)
    lazy_panels.log_axes(axes[1], lazy_panels.SCALE, r"$h\,\mathrm{Var}\,F$")
    axes[1].legend(loc="lower right", labelspacing=0.2)
    for axis, scale, regime in zip(axes[2:], ends, _REGIMES, strict=True):
        widths = grid["width"].values.astype(float)
        for colour, name, words in (
            (style.CLASS_COLOURS[0], "test_error", "one network"),
            (style.CLASS_COLOURS[1], "ensemble_error", "mean of networks"),
        ):
            mean, half = lazy_panels.over_runs(grid[name].sel(scale=scale))
            lazy_panels.band(axis, widths, mean, half, colour, words)
        lazy_panels.log_axes(axis, "width $h$", "test error", logarithmic_y=False)
        _widths(axis, widths)
        axis.set_title(f"{regime}, $s={scale:g}$", loc="right")
    axes[2].sharey(axes[3])
    axes[2].legend()
    style.panel_letters(axes)
    lazy_panels.header(figure, grid)
    return figure


def _against_width(axis: Axes, grid: xr.Dataset, ends: tuple[float, float]) -> None:
    widths = grid["width"].values.astype(float)
    for colour, scale, regime in zip(style.CLASS_COLOURS, ends, _REGIMES, strict=False):
        mean, half = lazy_panels.over_runs(grid["output_variance"].sel(scale=scale))
        lazy_panels.band(axis, widths, mean, half, colour, f"{regime}, $s={scale:g}$")
        line = mean[0] * widths[0] / widths
        axis.plot(widths, line, linestyle="--", color=style.THEORY_COLOUR, linewidth=0.8, zorder=1)
    lazy_panels.log_axes(axis, "width $h$", r"$\mathrm{Var}\,F$")
    _widths(axis, widths)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    axis.legend()


def _widths(axis: Axes, widths: np.ndarray) -> None:
    axis.set_xticks(widths, [f"{width:.0f}" for width in widths])
    axis.minorticks_off()
