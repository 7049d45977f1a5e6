# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L5: training with the frozen kernel of the start or end of training, compared with the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _files(config: Configuration) -> list[str]:
    study = config.figures.lazy
    return [layout.lazy(study)] if study is not None and config.lazy[study].frozen else []


DECLARATION = lazy_panels.declared(
    Role("aggregate_lazy", _files, ("frozen_start_error", "frozen_end_error", "frozen_start_distance"))
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the test error of the network and of both frozen kernels (a), and a distance of predictions (b).

    Panel (a) shows the widest network. Panel (b) shows the relative distance between the predictions of the
    network and of the frozen kernel of the start. The panels correspond to Fig. 8c, d and appendix A of
    arXiv 1906.08034.

    Args:
        inputs: one grid of gradient flows with frozen kernels, as the role ``study``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 2.6))
    widest = grid.isel(width=-1)
    scales = grid["scale"].values
    for colour, name, words, line in (
        (style.CLASS_COLOURS[0], "test_error", "network", "-"),
        (style.CLASS_COLOURS[1], "frozen_start_error", "kernel of the start, frozen", "--"),
        (style.CLASS_COLOURS[2], "frozen_end_error", "kernel of the end, frozen", "-"),
    ):
        mean, half = lazy_panels.over_runs(widest[name])
        lazy_panels.band(axes[0], scales, mean, half, colour, words, linestyle=line)
    lazy_panels.log_axes(axes[0], lazy_panels.SCALE, "test error", logarithmic_y=False)
    axes[0].set_title(f"$h={int(widest['width'])}$", loc="right")
    axes[0].legend()
    lazy_panels.curves(axes[1], grid, "frozen_start_distance")
    words = r"$\|F-F_{\rm frozen}\|\,/\,\|F_{\rm frozen}\|$"
    lazy_panels.log_axes(axes[1], lazy_panels.SCALE, words)
    axes[1].legend()
    style.panel_letters(axes)
    lazy_panels.header(figure, grid)
    return figure
