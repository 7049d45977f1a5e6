# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S9: the main claim about Fig. 1 for a network that a CPU can train, with control experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field

from dynamical_loss.analysis.cells import runs_of_cell
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import header_words, learning_curves, requirements, style, swarm
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import plt
from dynamical_loss.notation import exact
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    studies = config.figures.regime
    for study in studies:
        if not config.phase[study].learning_curves:
            raise ValueError(
                f"phase.{study}.learning_curves: figures.regime shows learning curves; set this key to true"
            )
    if studies:
        requirements.require_both_losses(config, "regime", studies[0])
        if len(config.phase[studies[0]].periods) * len(config.phase[studies[0]].amplitudes) != 2:
            raise ValueError(
                f"phase.{studies[0]}: the first study of figures.regime must have one cell; give it one "
                "period, and two amplitudes, 1 and one above 1"
            )


_STUDIES = requirements.phase_studies("regime", "validation_accuracy_curve")

DECLARATION = Declaration(
    part="images",
    inputs={"study": _STUDIES},
    settings={
        "regime": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S9: first a study of one cell (T, A) that also has A = 1, then studies of other cells and "
            "controls, all with learning_curves: true; keys of `phase`; an empty list: Fig. S9 is not made",
            names="phase",
        )
    },
    check=_check,
    evidence={"regime": _STUDIES},
)

_KINDS = (("train_accuracy", "training"), ("validation_accuracy", "validation"))


class _Row(NamedTuple):
    """Runs of one cell (T, A) of a study.

    Attributes:
        words: label, which names the cell, and the settings in which the study differs from the first study.
        steps: length of the runs.
        is_static: whether A = 1.
        accuracy: final validation accuracy, (seed,).
    """

    words: str
    steps: int
    is_static: bool
    accuracy: xr.DataArray


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw accuracies along the runs of the first study (a, b), and final accuracies of all studies (c, d).

    Panels (c) and (d) have a row for each study and cell (T, A).  Panel (d) shows the final accuracy minus
    that of the first row with A = 1 and the same number of steps, paired by seed, if there is one.  Bands and
    bars are 95 % Student intervals over seeds, and dots are single runs.

    Args:
        inputs: phase files of the role ``study`` with learning curves; the first has A = 1 and one cell with
            A > 1.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if the first study lacks the static or the dynamical loss.
    """
    studies = inputs["study"]
    first = studies[0]
    cells = learning_curves.dynamical_cells(first)
    if 1.0 not in first["amplitude"] or len(cells) != 1:
        raise UserError(
            "Fig. S9 needs A = 1 and one cell with A above 1 in its first study; name such a study first"
        )
    rows = [row for item in studies for row in _rows(item, first)]
    below = 0.55 + 0.24 * len(rows)
    figure = plt.figure(figsize=(style.PAGE, 2.6 + below))
    grid = figure.add_gridspec(2, 2, height_ratios=[1.6, below])
    training = figure.add_subplot(grid[0, 0])
    validation = figure.add_subplot(grid[0, 1], sharey=training)
    _curves(first, cells[0], (training, validation))
    final = figure.add_subplot(grid[1, 0])
    gains = figure.add_subplot(grid[1, 1], sharey=final)
    for line, row in enumerate(rows):
        swarm.row(final, line, row.accuracy.values)
        static = (each for each in rows if each.is_static and each.steps == row.steps)
        reference = next(static, row)
        if row is not reference:
            # xarray subtracts the runs of equal seeds, and leaves out seeds that one of the two lacks.
            swarm.row(gains, line, (row.accuracy - reference.accuracy).values)
    gains.axvline(0.0, color=style.THEORY_COLOUR, linewidth=0.6, zorder=0)
    final.set_yticks(range(len(rows)), [f"{row.words}, n = {row.accuracy.size}" for row in rows])
    final.set_ylim(len(rows) - 0.4, -0.5)
    gains.tick_params(labelleft=False)
    final.set_xlabel("final validation accuracy")
    gains.set_xlabel("the same minus that at A = 1, same seed")
    style.panel_letters([training, validation, final, gains])
    style.header(figure, header_words.remarks(first))
    figure.legend(*validation.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _curves(first: xr.Dataset, cell: tuple[int, float], axes: Sequence[Axes]) -> None:
    x, axis_words = learning_curves.times(first)
    period, amplitude = cell
    for axis, (variable, words) in zip(axes, _KINDS, strict=True):
        curve = f"{variable}_curve"
        static = learning_curves.static(first, curve)
        dynamical = learning_curves.cell(first, curve, period, amplitude)
        learning_curves.mark_static_end(axis, first)
        learning_curves.draw(axis, x, static, learning_curves.STATIC_LOOK, "A = 1", singles=False)
        learning_curves.draw(
            axis, x, dynamical, learning_curves.DYNAMICAL_LOOK, f"T = {period}, A = {exact(amplitude)}",
            singles=False,
        )  # fmt: skip
        axis.set(xlabel=axis_words, ylabel=f"{words} accuracy")


def _rows(item: xr.Dataset, first: xr.Dataset) -> list[_Row]:
    """Return the rows of a study, those of A = 1 first."""
    settings, usual = recorded.settings_of(item), recorded.settings_of(first)
    differs = [
        words.format(value)
        for key, words in (
            ("learning_rate", "η = {:g}"),
            ("steps", "{} steps"),
            ("optimiser.weight_decay", "weight decay {:g}"),
        )
        if (value := recorded.setting(settings, key, 0)) != recorded.setting(usual, key, 0)
    ]
    cells: list[tuple[int | None, float]] = list(learning_curves.dynamical_cells(item))
    if 1.0 in item["amplitude"]:
        cells.insert(0, (None, 1.0))
    found = []
    for period, amplitude in cells:
        accuracy = runs_of_cell(item, "validation_accuracy", period, amplitude)
        name = "A = 1" if period is None else f"T = {period}, A = {exact(amplitude)}"
        if accuracy is not None:
            words = ", ".join([name, *differs])
            found.append(_Row(words, int(settings["steps"]), period is None, accuracy.astype(np.float64)))
    return found
