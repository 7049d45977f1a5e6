# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S0: accuracy of the narrow network with several initialisations.

It shows whether the failure with the static loss and the success with the dynamical loss depend on them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dynamical_loss.analysis.intervals import bootstrap_interval
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import requirements, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import plt
from dynamical_loss.figures.networks import label_of
from dynamical_loss.figures.swarm import swarm
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    for study in config.figures.initialisations:
        requirements.require_setting(config, "initialisations", "phase", study, "initialisation")
        if 1.0 not in config.phase[study].amplitudes:
            raise ValueError(f"phase.{study}.amplitudes: Fig. S0 needs the static loss; add the amplitude 1")


_STUDIES = requirements.phase_studies("initialisations")

DECLARATION = Declaration(
    part="spiral",
    inputs={"study": _STUDIES},
    settings={
        "initialisations": Setting(
            Annotated[list[str], Field(min_length=1)],
            ["initialisation_lecun", "initialisation_glorot", "initialisation_no_bias"],
            "Fig. S0: studies that differ in the initialisation of the network; keys of `phase`",
            names="phase",
        )
    },
    check=_check,
    evidence={"initialisation": _STUDIES},
)

Floats = npt.NDArray[np.float64]

PAPER_STATIC = 0.65
"""Training and validation accuracy that the paper reports at A = 1 and width 100."""

_NAMES = {"lecun": "LeCun", "glorot": "Glorot", "no_bias": "no bias"}
_KINDS = (("train_accuracy", "training"), ("validation_accuracy", "validation"))
_LOSSES = (("static", style.CLASS_COLOURS[0], "o"), ("dynamical", style.CLASS_COLOURS[1], "s"))
_OFFSET = 0.24  # distance of the dots from the tick of their initialisation, in categories
_BAR = 0.2  # distance of the mean from its dots, so that neither hides the other


_MOST_ON_A_LINE = 52  # number of characters on a line of a panel's title


def _samples(study: xr.Dataset, variable: str, loss: str) -> xr.DataArray:
    """Return accuracies over seeds of the static loss, or of the largest A at the first period."""
    amplitude = 1.0 if loss == "static" else float(study["amplitude"].max())
    return study[variable].sel(amplitude=amplitude).isel(period=0)


def _classes(studies: Sequence[xr.Dataset]) -> list[int]:
    """Return the distinct numbers of classes in the studies' data.

    Data whose number of classes is not recorded are left out.
    """
    found = (json.loads(study.attrs.get(recorded.DATASET_SETTINGS, "{}")).get("classes") for study in studies)
    return sorted({int(classes) for classes in found if classes is not None})


def _draw(axis: Axes, centre: float, values: Floats, colour: str, marker: str, label: str) -> None:
    axis.plot(
        centre + swarm(values),
        values,
        linestyle="none",
        marker=marker,
        markersize=2.2,
        markeredgewidth=0,
        alpha=0.7,
        color=colour,
        label=f"{label}, one seed each",
    )
    mean = float(values.mean())
    lower, upper = bootstrap_interval(values)
    axis.errorbar(
        [centre + _BAR],
        [mean],
        yerr=np.nan_to_num([[mean - lower], [upper - mean]]),
        fmt="_",
        color="black",
        markersize=5,
        markeredgewidth=1.0,
        elinewidth=1.0,
        capsize=2.0,
        zorder=4,
        label="mean and 95 % interval",
    )


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the training (a) and validation accuracy (b) with the static and the dynamical loss.

    Each dot is a seed. Bars are the mean over seeds and its 95 % bootstrap interval. The dynamical loss has
    the largest A and the first T of each study.

    Args:
        inputs: phase files of the role ``study``, one for each initialisation, with ``train_accuracy`` and
            ``validation_accuracy`` over (period, amplitude, seed), fractions of 1. The grid contains A = 1.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if a study does not contain A = 1.
    """
    studies = inputs["study"]
    if not all(1.0 in study["amplitude"] for study in studies):
        raise UserError("Fig. S0 needs the static loss; add 1 to the amplitudes of each study")
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 2.5), sharey=True)
    names = []
    models = [recorded.settings_of(study)["model"] for study in studies]
    for study, model in zip(studies, models, strict=True):
        initialisation = model["initialisation"]
        names.append(f"{_NAMES.get(initialisation, initialisation)}\n$n={study.sizes['seed']}$")
    cells = {(float(item["amplitude"].max()), int(item["period"][0])) for item in studies}
    protocol = ", ".join(f"$A={amplitude:g}$, $T={period}$" for amplitude, period in sorted(cells))
    networks = dict.fromkeys(map(label_of, models))
    shown = [_samples(study, kind, loss) for study in studies for kind, _ in _KINDS for loss, *_ in _LOSSES]
    lowest = float(np.nanmin([values.min() for values in shown]))
    labels = {"static": "static, $A=1$", "dynamical": f"dynamical, {protocol}"}
    for axis, (variable, words) in zip(axes, _KINDS, strict=True):
        for position, study in enumerate(studies):
            for side, (loss, colour, marker) in zip((-_OFFSET, _OFFSET), _LOSSES, strict=True):
                values = _samples(study, variable, loss).values.astype(float)
                _draw(axis, position + side - _BAR / 2, values, colour, marker, labels[loss])
        levels = [(PAPER_STATIC, "--", "paper, static (~0.65)")]
        levels += [(1 / classes, ":", "chance") for classes in _classes(studies)]
        for level, dashes, name in levels:
            axis.axhline(level, color=style.THEORY_COLOUR, linestyle=dashes, zorder=0, label=name)
        axis.set_xticks(range(len(studies)), names)
        axis.set(xlim=(-0.6, len(studies) - 0.4), ylim=(min(0.25, lowest - 0.03), 1.03))
        axis.set_title(style.in_lines([f"{words} accuracy", *networks], _MOST_ON_A_LINE))
        axis.tick_params(axis="y", labelleft=True)
    axes[0].set_ylabel("final accuracy")
    axes[0].set_xlabel("initialisation")
    axes[1].set_xlabel("initialisation")
    style.panel_letters(axes)
    # Each kind of mark is drawn once for each study, but the legend must name it only once.
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3)
    return figure
