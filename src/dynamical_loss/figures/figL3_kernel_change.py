# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L3: change of the kernel and of the weights during training."""

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
    """Draw the relative change of the kernel (a), and √h times that of the weights (b), against √h·α.

    The panels correspond to Fig. 5a and Fig. 9 of arXiv 1906.08034. Dashed lines are the power laws of its
    section 6.

    Args:
        inputs: one grid of gradient flows as the role ``study``.
        options: not used; this figure has no options.

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
