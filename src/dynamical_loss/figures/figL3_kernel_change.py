# ruff: noqa: N999  (figures of feature and lazy training have letters of their own)
"""Fig. L3: how far kernel and weights move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Inputs, Options
from dynamical_loss.figures.deferred import plt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECLARATION = lazy_panels.declared()


def render(inputs: Inputs, options: Options) -> Figure:
    """Relative change of the kernel (a), and of the weights times √h (b), against √h·α.

    As arXiv 1906.08034, Fig. 5a and 9. Dashed: the power laws of its section 6.

    Args:
        inputs: role ``study``, one grid of gradient flows.
        options: none are known.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    _, weights = lazy_panels.exponents(grid)
    widest = float(grid["width"].values[-1])
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 2.6))
    lazy_panels.kernel_changes(axes[0], grid)
    lazy_panels.curves(axes[1], grid, "weight_change", factor=np.sqrt)
    lazy_panels.power_lines(axes[1], grid, "weight_change", -weights, np.sqrt(widest))
    lazy_panels.log_axes(axes[1], lazy_panels.SCALE, r"$\sqrt{h}\,\|\Delta w\|\,/\,\|w_0\|$")
    axes[0].legend()
    style.panel_letters(axes)
    lazy_panels.header(figure, grid)
    return figure
