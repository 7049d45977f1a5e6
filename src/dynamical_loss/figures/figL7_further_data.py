# ruff: noqa: N999  (figures of feature and lazy training have letters of their own)
"""Fig. L7: the same on other data and with more layers."""

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
            "Fig. L7: a key of `lazy`, of other data or more layers; null: no such figure",
            names="lazy",
        )
    },
    evidence={"lazy_further": _STUDY},
    in_all=False,
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Test error (a), change of the kernel (b) and t½/s (c) against s = √h·α.

    Args:
        inputs: role ``study``, one grid of gradient flows.
        options: none are known.

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
