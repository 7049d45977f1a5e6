# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S4: accuracy against epochs with the static and the dynamical loss ("slower but better")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import header_words, learning_curves, requirements, style, ticks
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mpatches, plt
from dynamical_loss.notation import exact
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch


def _files(config: Configuration) -> Sequence[str]:
    study = config.figures.learning_curves
    return [] if study is None else [layout.phase(study)]


def _check(config: Configuration) -> None:
    study = config.figures.learning_curves
    if study is None:
        return
    requirements.require_learning_curves(config, "learning_curves", study)
    if config.phase[study].learning_rate_rule.adjusts:
        raise ValueError(
            f"phase.{study}.learning_rate_rule: figures.learning_curves draws η(t) from the settings; set "
            "kind: constant, or name another study"
        )
    period, amplitude = config.figures.learning_curves_cell
    if period not in config.phase[study].periods or amplitude not in config.phase[study].amplitudes:
        raise ValueError(
            f"figures.learning_curves_cell: T = {period}, A = {exact(amplitude)} is not a cell of "
            f"phase.{study}; name a period and an amplitude of that study"
        )
    if amplitude == 1.0:
        raise ValueError("figures.learning_curves_cell: A = 1 is the static loss itself; name an A above 1")


DECLARATION = Declaration(
    part="images",
    inputs={
        "phase": Role(requirements.ANY_DIAGRAM, _files, ("train_accuracy_curve", "validation_accuracy_curve"))
    },
    options={"cell": lambda config: list(config.figures.learning_curves_cell)},
    settings={
        "learning_curves": Setting(
            str | None,
            None,
            "Fig. S4: study with learning_curves: true; a key of `phase`; null: Fig. S4 is not made",
            names="phase",
        ),
        "learning_curves_cell": Setting(
            tuple[int, float],
            (100, 50.0),
            "Fig. S4: period T and amplitude A of the dynamical loss that is compared with the static loss",
        ),
    },
    check=_check,
    evidence={"learning_curves": Role(requirements.ANY_DIAGRAM, _files)},
)

_KINDS = (("train_accuracy_curve", "training"), ("validation_accuracy_curve", "validation"))
_DIFFERENCE = {"color": "black", "linestyle": "-"}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw training (a) and validation accuracy (b) along the runs, and differences from the static loss.

    Panels c and d show the differences dynamical − static, paired by seed, with mean and 95 % interval. The
    strips below show the learning rate. The end of the runs, where the oscillation is off, is grey.

    Args:
        inputs: one file of the role ``phase``, with ``train_accuracy_curve`` and
            ``validation_accuracy_curve`` over (period, amplitude, seed, step), fractions of 1.
        options: ``cell``, [T, A] of the dynamical runs; by default the smallest period and the largest A.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if the study has no such cell or no static runs, or if the cell has A = 1.
    """
    dataset = inputs["phase"][0]
    period, amplitude = _cell(dataset, options)
    x, words = learning_curves.times(dataset)
    figure, axes = plt.subplots(3, 2, figsize=(style.PAGE, 4.6), sharex=True, height_ratios=(2.0, 1.4, 0.4))
    axes[1, 1].sharey(axes[1, 0])
    broken = [
        learning_curves.divergence(int(runs.sum()), runs.size)
        for runs in (
            learning_curves.static(dataset, "diverged"),
            learning_curves.cell(dataset, "diverged", period, amplitude),
        )
    ]
    names = (f"static, $A=1${broken[0]}", f"dynamical, $T={period}$, $A={amplitude:g}${broken[1]}")
    for column, (variable, kind) in enumerate(_KINDS):
        accuracy, difference, rate = axes[:, column]
        before = learning_curves.static(dataset, variable)
        after = learning_curves.cell(dataset, variable, period, amplitude)
        learning_curves.draw(accuracy, x, before, learning_curves.STATIC_LOOK, names[0])
        learning_curves.draw(accuracy, x, after, learning_curves.DYNAMICAL_LOOK, names[1])
        accuracy.set_title(f"{kind} accuracy")
        difference.axhline(0, color=style.THEORY_COLOUR, linestyle=":", linewidth=0.8, gid="zero")
        learning_curves.draw(difference, x, after - before, _DIFFERENCE, "dynamical − static")
        _learning_rate(rate, dataset)
        for axis in (accuracy, difference, rate):
            learning_curves.mark_static_end(axis, dataset)
        rate.set_xlabel(words)
        rate.set_xlim(0, learning_curves.length(dataset))
    axes[0, 0].set_ylabel("Accuracy")
    axes[1, 0].set_ylabel("Dynamical − static,\npaired by seed")
    axes[2, 0].set_ylabel("η")
    style.panel_letters(axes[:2].flat)
    figure.align_ylabels(axes[:, 0])
    style.header(figure, header_words.remarks(dataset))
    _key(figure, axes[0, 0], dataset)
    return figure


def _cell(dataset: xr.Dataset, options: Options) -> tuple[int, float]:
    wanted = options.get("cell")
    if wanted is None:
        return int(dataset["period"].min()), float(dataset["amplitude"].max())
    numbers = isinstance(wanted, Sequence) and all(
        isinstance(part, int | float) and not isinstance(part, bool) for part in wanted
    )
    if not numbers or len(wanted) != 2 or not float(wanted[0]).is_integer():
        raise UserError(f"--option cell: {wanted!r} is not a period and an amplitude; give [T, A]")
    if wanted[1] == 1:
        raise UserError("--option cell: A = 1 is the static loss itself; name an A above 1")
    return int(wanted[0]), float(wanted[1])


def _learning_rate(axis: Axes, dataset: xr.Dataset) -> None:
    settings = recorded.settings_of(dataset)
    points = np.array(settings.get("learning_rate_schedule") or [(0.0, 1.0), (1.0, 1.0)])
    places, values = learning_curves.length(dataset) * points[:, 0], settings["learning_rate"] * points[:, 1]
    axis.fill_between(places, values, color="0.75", linewidth=0)
    axis.plot(places, values, color="0.35", linewidth=0.8, label="learning rate")
    axis.set_ylim(0, 1.15 * values.max())
    axis.set_yticks([0, values.max()], ["0", ticks.plain_number(values.max())])


def _key(figure: Figure, axis: Axes, dataset: xr.Dataset) -> None:
    handles: list[Line2D | Patch] = [*axis.get_legend_handles_labels()[0]]  # type: ignore[list-item]
    seeds = dataset.sizes["seed"]
    if seeds >= learning_curves.FEWEST_SEEDS:
        handles.append(mpatches.Patch(color="0.8", label="95 % interval of the mean (Student)"))
    if any(patch.get_gid() == "off" for patch in axis.patches):
        handles.append(mpatches.Patch(color=learning_curves.OFF_COLOUR, label="oscillation off"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.2, borderpad=0)
