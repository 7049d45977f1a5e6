# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L7: feature and lazy training on other data and with more layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _files(config: Configuration) -> list[str]:
    study = config.figures.lazy_further
    return [] if study is None else [layout.lazy(study)]


_STUDY = Role("aggregate_lazy", _files)

DECLARATION = Declaration(
    part="lazy",
    inputs={"study": _STUDY},
    settings={
        "lazy_further": Setting(
            str | None,
            None,
            "Fig. L7: study with other data or more layers; a key of `lazy`; null: Fig. L7 is not made",
            names="lazy",
        )
    },
    evidence={"lazy_further": _STUDY},
    in_all=False,
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the test error (a), the relative change of the kernel (b) and t½/s (c) against s = √h·α.

    Args:
        inputs: one grid of gradient flows as the role ``study``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    grid = lazy_panels.study(inputs)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE, 2.5))
    lazy_panels.errors(axes[0], grid)
    lazy_panels.kernel_changes(axes[1], grid)
    lazy_panels.half_times(axes[2], grid)
    axes[0].legend()
    style.panel_letters(axes)
    lazy_panels.header(figure, grid)
    return figure
