# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F8: accuracy over the power and the cap of the drift-adjusted learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures import header_words, requirements, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.notation import exact
from dynamical_loss.paper.learning_rates import CELLS, LearningRate, runs_of
from dynamical_loss.results import layout

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


def _studies(config: Configuration) -> list[str]:
    """Return the files of studies that adjust the learning rate to the curvature of their own runs.

    With fewer than two such studies the list is empty, and the figure is not made.
    """
    rules = {study: config.phase[study].learning_rate_rule for study in config.figures.learning_rates}
    studies = [study for study, rule in rules.items() if rule.adjusts and not rule.replays]
    return [layout.phase(study) for study in studies] if len(studies) > 1 else []


DECLARATION = Declaration(part="flow", inputs={"study": Role(requirements.ANY_DIAGRAM, _studies)})


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the mean final validation accuracy over (power, cap), with one panel for each loss.

    Args:
        inputs: phase files of the role ``study``, with the drift-adjusted learning rate.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    panels = {}
    for cell in CELLS:
        found = {rate: runs for rate, runs in runs_of(inputs["study"], cell).items() if rate.follows}
        if found:
            panels[cell] = found
    figure, axes = plt.subplots(1, max(len(panels), 1), squeeze=False, figsize=(style.PAGE, 2.6))
    image = None
    for axis, (cell, found) in zip(axes[0], panels.items(), strict=False):
        image = _plane(axis, found)
        axis.set_title(CELLS[cell], fontsize="medium")
    axes[0, 0].set_ylabel("power p")
    if image is not None:
        figure.colorbar(image, ax=list(axes[0]), label="mean final\nvalidation accuracy")
    style.panel_letters(list(axes[0]))
    style.header(figure, header_words.of_learning_rates(inputs["study"]))
    return figure


def _plane(axis: Axes, found: dict[LearningRate, xr.DataArray]) -> AxesImage:
    powers, caps = (sorted({getattr(rate, name) for rate in found}) for name in ("power", "cap"))
    means = np.full((len(powers), len(caps)), np.nan)
    for rate, runs in found.items():
        place = powers.index(rate.power), caps.index(rate.cap)
        means[place] = float(runs.mean())
        axis.annotate(
            f"{means[place]:.2f}",
            (place[1], place[0]),
            ha="center",
            va="center",
            color="white" if means[place] < _PALE else "black",
        )
    axis.set_xticks(range(len(caps)), list(map(exact, caps)))
    axis.set_yticks(range(len(powers)), list(map(exact, powers)))
    axis.set_xlabel("cap")
    return axis.imshow(means, origin="lower", aspect="auto", vmin=1 / 3, vmax=1.0, cmap="viridis")


_PALE = 0.75  # accuracy above which the colour is light and the text black
