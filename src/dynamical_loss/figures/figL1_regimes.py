# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L1: test error between feature and lazy training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.analysis.lazy import crossing
from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Inputs, Options
from dynamical_loss.figures.deferred import plt

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECLARATION = lazy_panels.declared(evidence={"lazy": lazy_panels.STUDY})


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the test error over (α, h) (a), against α (b) and against √h·α (c).

    The figure corresponds to Fig. 3 of arXiv 1906.08034. Dots in (a) show α*, at which the relative change of
    the kernel is 1 (geometric mean over runs). The dashed line is α* ~ h^(−1/2), through the α* of the widest
    network.

    Args:
        inputs: one grid of gradient flows as the role ``study``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.5))
    _plane(figure, axes[0], grid)
    lazy_panels.curves(axes[1], grid, "test_error", against="alpha")
    lazy_panels.log_axes(axes[1], r"$\alpha$", "test error", logarithmic_y=False)
    lazy_panels.errors(axes[2], grid)
    low, high = axes[2].get_ylim()
    for axis in axes[1:]:
        axis.set_ylim(low, high + 0.2 * (high - low))  # room for the legend
    axes[2].legend(ncols=2)
    style.panel_letters(axes)
    lazy_panels.header(figure, grid)
    return figure


def _plane(figure: Figure, axis: Axes, grid: xr.Dataset) -> None:
    widths, scales = grid["width"].values.astype(float), grid["scale"].values
    error = grid["test_error"].mean(("data_seed", "seed")).transpose("width", "scale").values
    edges = _edges(widths)
    images = [
        axis.pcolormesh(
            _edges(scales) / np.sqrt(width),
            edges[row : row + 2],
            error[row : row + 1],
            vmin=error.min(),
            vmax=error.max(),
            cmap="viridis",
        )
        for row, width in enumerate(widths)
    ]
    stars = crossing(scales, grid["kernel_change"].transpose("width", "data_seed", "seed", "scale").values)
    found = np.exp(np.nanmean(np.log(stars / np.sqrt(widths)[:, None, None]), axis=(1, 2)))
    axis.scatter(found, widths, s=9, color="white", edgecolor="black", linewidth=0.6, zorder=3)
    heights = np.array([edges[0], edges[-1]])
    axis.plot(found[-1] * np.sqrt(widths[-1] / heights), heights, "--", color="white", linewidth=1.0)
    lazy_panels.log_axes(axis, r"$\alpha$", "width $h$")
    axis.set_yticks(widths, [f"{width:.0f}" for width in widths])
    axis.minorticks_off()
    figure.colorbar(images[0], ax=axis, label="test error")


def _edges(values: np.ndarray) -> np.ndarray:
    """Compute the edges of cells around values: half way between neighbours on a logarithmic axis."""
    logarithms = np.log(values)
    if len(values) == 1:
        return np.exp([logarithms[0] - 0.5, logarithms[0] + 0.5])
    middles = 0.5 * (logarithms[1:] + logarithms[:-1])
    return np.exp([2 * logarithms[0] - middles[0], *middles, 2 * logarithms[-1] - middles[-1]])
