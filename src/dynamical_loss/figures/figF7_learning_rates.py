# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F7: accuracy with each rule for the learning rate, with the static and the dynamical loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import header_words, requirements, style, swarm
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import plt
from dynamical_loss.paper.learning_rates import CELLS, LearningRate, runs_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    for study in config.figures.learning_rates:
        requirements.require_setting(config, "learning_rates", "phase", study, "width")


_STUDIES = requirements.phase_studies("learning_rates")

DECLARATION = Declaration(
    part="flow",
    inputs={"study": _STUDIES},
    settings={
        "learning_rates": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. F7 and F8: studies that differ in their learning rates; keys of `phase`; an empty list: "
            "these figures are not made",
            names="phase",
        )
    },
    check=_check,
    evidence={"learning_rates": _STUDIES},
)

_LOWEST = 0.28  # start of the axis, below the accuracy of guessing; a run that diverged has 0


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the final validation accuracy for each learning rate, with one panel for each loss.

    Dots are seeds, and bars are means with 95 % Student intervals. Powers other than 1 are shown in Fig. F8.

    Args:
        inputs: phase files of the role ``study`` that differ in their learning rates.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    panels = {}
    for cell in CELLS:
        found = {
            rate: values
            for rate, values in runs_of(inputs["study"], cell).items()
            if rate.power in (None, 1.0)
        }
        if found:
            panels[cell] = found
    rates = sorted({rate for found in panels.values() for rate in found}, key=_order)
    figure, axes = plt.subplots(
        1, max(len(panels), 1), sharey=True, squeeze=False, figsize=(style.PAGE, 1.2 + 0.24 * len(rates))
    )
    for axis, (cell, found) in zip(axes[0], panels.items(), strict=False):
        for line, rate in enumerate(rates):
            if rate in found:
                swarm.row(axis, line, np.asarray(found[rate].values, dtype=np.float64))
        axis.set_title(CELLS[cell], fontsize="medium")
        lowest = min(float(values.min()) for values in found.values())
        axis.set_xlim(min(_LOWEST, lowest - 0.02), 1.02)
    figure.supxlabel("final validation accuracy", fontsize="medium")
    axes[0, 0].set_yticks(range(len(rates)), [rate.words() for rate in rates])
    axes[0, 0].set_ylim(len(rates) - 0.4, -0.6)
    style.panel_letters(list(axes[0]))
    style.header(figure, header_words.of_learning_rates(inputs["study"]))
    return figure


def _order(rate: LearningRate) -> tuple[bool, bool, bool, str, float, float]:
    given = rate.power is None
    return not given, rate.decays, not given and not rate.follows, rate.steps_of, rate.cap or 0.0, rate.rate
