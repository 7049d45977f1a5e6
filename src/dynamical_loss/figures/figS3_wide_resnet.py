# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S3: wide residual networks, which gain nothing from the dynamical loss in the paper's supplement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import header_words, learning_curves, phase_plane, requirements, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mlines, mpatches, plt
from dynamical_loss.figures.networks import label_of
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _files(config: Configuration) -> Sequence[str]:
    return [layout.phase(study) for study in config.figures.wide_resnet]


def _check(config: Configuration) -> None:
    for study in config.figures.wide_resnet:
        requirements.require_learning_curves(config, "wide_resnet", study)


DECLARATION = Declaration(
    part="images",
    inputs={"phase": Role(requirements.ANY_DIAGRAM, _files, ("validation_accuracy_curve",))},
    settings={
        "wide_resnet": Setting(
            list[str],
            [],
            "Fig. S3: studies of Wide ResNets with learning_curves: true; keys of `phase`; an empty list: "
            "Fig. S3 is not made",
            names="phase",
        )
    },
    check=_check,
    evidence={"wide_resnet": Role(requirements.ANY_DIAGRAM, _files)},
)

CELL_COLOURS = tuple(style.CLASS_COLOURS[index] for index in (1, 2, 3, 4, 5, 7))
"""Colours of the cells in their order; if there are more cells than colours, all have the first colour."""

CELL_MARKERS = ("o", "s", "^", "D", "v", "P")
"""Markers of the cells, as `CELL_COLOURS`."""

_WIDTH = 0.8  # width of the group of cells of a network, relative to the distance between networks


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the validation accuracy along the runs of each network, and the gain from the dynamical loss.

    The last panel shows the differences dynamical − static of the final accuracies, paired by seed. Each
    seed is a dot, and each cell has its mean with a 95 % interval. A gain is not significant if the interval
    contains 0.

    Args:
        inputs: files of the role ``phase``, one for each network, with ``validation_accuracy_curve`` over
            (period, amplitude, seed, step) and ``validation_accuracy`` over (period, amplitude, seed),
            fractions of 1.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if a study has no static runs.
    """
    del options
    studies = inputs["phase"]
    figure, axes = plt.subplots(
        1, len(studies) + 1, figsize=(style.PAGE, 3.2), width_ratios=[*(1.0 for _ in studies), 0.9]
    )
    cells = sorted({cell for study in studies for cell in learning_curves.dynamical_cells(study)})
    looks = {cell: _look(cells, rank) for rank, cell in enumerate(cells)}
    for axis, study in zip(axes, studies, strict=False):
        _curves(axis, study, looks)
        if axis is not axes[0]:
            axis.sharey(axes[0])
    axes[0].set_ylabel("Validation accuracy")
    _gains(axes[-1], studies, looks)
    style.panel_letters(axes)
    style.header(figure, header_words.remarks(*studies))
    _key(figure, axes, studies, looks)
    return figure


def _look(cells: Sequence[tuple[int, float]], rank: int) -> dict[str, Any]:
    rank = rank if len(cells) <= len(CELL_COLOURS) else 0
    return {"color": CELL_COLOURS[rank], "marker": CELL_MARKERS[rank]}


def _name(study: xr.Dataset) -> str:
    """Return the name of a study's network."""
    return label_of(recorded.settings_of(study)["model"])


def _cell_name(cell: tuple[int, float]) -> str:
    return f"$T={cell[0]}$, $A={cell[1]:g}$"


def _curves(axis: Axes, study: xr.Dataset, looks: dict[tuple[int, float], dict[str, Any]]) -> None:
    x, words = learning_curves.times(study)
    variable = "validation_accuracy_curve"
    few = len(looks) <= len(CELL_COLOURS)
    for period, amplitude in learning_curves.dynamical_cells(study):
        runs = learning_curves.cell(study, variable, period, amplitude)
        look = {"color": looks[period, amplitude]["color"], "linestyle": "-"}
        if few:
            name = _cell_name((period, amplitude))
            learning_curves.draw(axis, x, runs, look, name, singles=False)
        else:
            means = student_interval(runs.transpose("step", "seed").values)[0]
            axis.plot(x, means, **look, linewidth=0.3, alpha=0.6, label="dynamical, a cell each")
    static = learning_curves.static(study, variable)
    learning_curves.draw(axis, x, static, learning_curves.STATIC_LOOK, "static, $A=1$", singles=False)
    learning_curves.mark_static_end(axis, study)
    axis.set_xlim(0, learning_curves.length(study))
    axis.set_xlabel(words)
    broken = learning_curves.divergence(*phase_plane.diverged(study))
    axis.set_title(f"{_name(study)}{broken}".replace(" with", "\nwith"), fontsize=style.SMALL)


def _gains(axis: Axes, studies: Sequence[xr.Dataset], looks: dict[tuple[int, float], dict[str, Any]]) -> None:
    spacing = _WIDTH / len(looks)
    few = len(looks) <= len(CELL_COLOURS)
    axis.axhline(0, color=style.THEORY_COLOUR, linestyle=":", linewidth=0.8, gid="zero")
    for group, study in enumerate(studies):
        before = learning_curves.static(study, "validation_accuracy")
        for rank, (cell, look) in enumerate(looks.items()):
            if cell not in learning_curves.dynamical_cells(study):
                continue
            after = learning_curves.cell(study, "validation_accuracy", *cell)
            gains = (after - before).transpose("seed").values.astype(float)
            mean, reach = map(float, student_interval(gains))
            place = group + (rank - (len(looks) - 1) / 2) * spacing
            if few and gains.size > 1:
                axis.plot(
                    place + spacing * np.linspace(-0.12, 0.12, gains.size),
                    gains,
                    color=look["color"],
                    marker=look["marker"],
                    markersize=1.8,
                    markeredgewidth=0,
                    linestyle="none",
                    alpha=0.6,
                    label="_one seed each",
                )
            known = np.isfinite(gains).sum() >= learning_curves.FEWEST_SEEDS
            axis.errorbar(
                [place],
                [mean],
                yerr=[reach] if known else None,
                color=look["color"],
                marker=look["marker"],
                markersize=3.2 if few else 1.8,
                markeredgecolor="black" if few else look["color"],
                markeredgewidth=0.5 if few else 0.0,
                elinewidth=1.0 if few else 0.25,
                capsize=1.5 if few else 0.0,
                label=f"_T={cell[0]}, A={cell[1]:g}",
            )
    axis.set_xlim(-0.5, len(studies) - 0.5)
    names = [_name(study).replace(" with", "\nwith") for study in studies]
    axis.set_xticks(range(len(studies)), names, fontsize=style.SMALL)
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel("Final validation accuracy,\ndynamical − static, paired by seed")


def _key(
    figure: Figure,
    axes: Sequence[Axes],
    studies: Sequence[xr.Dataset],
    looks: dict[tuple[int, float], dict[str, Any]],
) -> None:
    shown: dict[str, Any] = {}
    for axis in axes[:-1]:
        shown = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)) | shown
    # The legend shows the markers of the last panel too, so that cells differ without colours.
    marked = {_cell_name(cell): mlines.Line2D([], [], **look, markersize=3.2) for cell, look in looks.items()}
    shown = {name: marked.get(name, handle) for name, handle in shown.items()}
    handles, labels = list(shown.values()), list(shown)
    if max(study.sizes["seed"] for study in studies) >= learning_curves.FEWEST_SEEDS:
        handles.append(mpatches.Patch(color="0.8"))
        labels.append("95 % interval of the mean (Student)")
    if any(learning_curves.oscillation_stop(study) is not None for study in studies):
        handles.append(mpatches.Patch(color=learning_curves.OFF_COLOUR))
        labels.append("oscillation off")
    figure.legend(handles, labels, loc="outside lower center", ncols=5, handlelength=2.2, borderpad=0)
