# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S7: dynamical losses with other base losses and waveforms, for networks of several widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dynamical_loss.analysis.cells import best_cell
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import requirements, style, ticks
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import plt
from dynamical_loss.paper.losses import KINDS, PAPER_WAVEFORM, kind_of, waveform_of, width_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def _check(config: Configuration) -> None:
    seen: dict[tuple[str, str, str, int], str] = {}
    for study in config.figures.losses:
        requirements.require_setting(config, "losses", "phase", study, "width")
        requirements.require_both_losses(config, "losses", study)
        if config.phase[study].seeds < 2:
            raise ValueError(
                f"phase.{study}.seeds: figures.losses chooses a cell by some seeds and evaluates it on "
                "others; set at least 2"
            )
        loss, model = config.phase[study].loss, config.phase[study].model
        key = loss.kind, loss.weighting, loss.waveform, model.width
        if key in seen:
            raise ValueError(
                f"figures.losses: {seen[key]} and {study} have the same loss, waveform and width; "
                "leave one out"
            )
        seen[key] = study


_STUDIES = requirements.phase_studies("losses")

DECLARATION = Declaration(
    part="protocols",
    inputs={"study": _STUDIES},
    settings={
        "losses": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S7: studies of several losses, waveforms and widths; keys of `phase`; an empty list: "
            "Fig. S7 is not made",
            names="phase",
        )
    },
    check=_check,
    evidence={"losses": _STUDIES},
)

_LOOKS = tuple(zip((style.CLASS_COLOURS[index] for index in (0, 1, 2)), ("o", "s", "^"), strict=True))
_DODGE = 0.22  # shift between losses at the same waveform


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the validation accuracy against width (a) and the gain with each waveform (b), for each loss.

    The cell (T, A) of the dynamical loss is chosen on the even seeds, and accuracies are those of the odd
    seeds. The gain is the accuracy with the dynamical loss minus that with the static loss. Bars are 95 %
    Student intervals over seeds.

    Args:
        inputs: phase files of perceptrons as the role ``study``, of several losses, waveforms and widths,
            with A = 1 and amplitudes above 1.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if two studies have the same loss, waveform and width.
    """
    studies: dict[tuple[tuple[str, str], str, int], xr.Dataset] = {}
    for item in inputs["study"]:
        key = kind_of(item), waveform_of(item), width_of(item)
        if key in studies:
            raise UserError(
                "Fig. S7 was given two studies with the same loss, waveform and width; leave one out"
            )
        studies[key] = item
    figure, (sizes, waves) = plt.subplots(1, 2, figsize=(style.PAGE, 2.7), width_ratios=[1.25, 1.0])
    kinds = [kind for kind in KINDS if any(key[0] == kind for key in studies)]
    widths = sorted({width for _, waveform, width in studies if waveform == PAPER_WAVEFORM})
    for kind, (colour, marker) in zip(kinds, _LOOKS, strict=False):
        present = [width for width in widths if (kind, PAPER_WAVEFORM, width) in studies]
        pairs = [best_cell(_accuracy(studies[kind, PAPER_WAVEFORM, width])) for width in present]
        for values, dashes, fill, words in (
            ([static for _, static in pairs], (0, (4, 1.5)), "none", "static"),
            ([dynamical for dynamical, _ in pairs], "-", "full", "dynamical"),
        ):
            look = {"color": colour, "marker": marker, "linestyle": dashes, "fillstyle": fill}
            _curve(sizes, present, values, label=f"{KINDS[kind]}, {words}", markersize=3.2, **look)
    sizes.set_xscale("log")
    if widths:
        ticks.put(sizes.xaxis, np.array(widths, dtype=float))
    sizes.set(xlabel="hidden units", ylabel="final validation accuracy")
    shared = {width for _, waveform, width in studies if waveform != PAPER_WAVEFORM} or set(widths[:1])
    _waveforms(waves, studies, kinds, shared)
    style.panel_letters([sizes, waves])
    figure.legend(*sizes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _accuracy(item: xr.Dataset) -> xr.DataArray:
    return item["validation_accuracy"]


def _curve(axis: Axes, widths: list[int], values: list[Floats], **look: Any) -> None:
    # Intervals are computed one by one, because studies may differ in their number of seeds.
    mean, half = np.array([student_interval(each) for each in values]).reshape(-1, 2).T
    axis.errorbar(widths, mean, yerr=np.nan_to_num(half), elinewidth=0.7, capsize=1.8, linewidth=0.9, **look)


def _waveforms(
    axis: Axes,
    studies: dict[tuple[tuple[str, str], str, int], xr.Dataset],
    kinds: list[tuple[str, str]],
    widths: set[int],
) -> None:
    """Draw the gain against the waveform, at the widths that have several waveforms."""
    names = list(dict.fromkeys(waveform for _, waveform, _ in studies))
    for index, (kind, (colour, marker)) in enumerate(zip(kinds, _LOOKS, strict=False)):
        for width in sorted(widths):
            present = [name for name in names if (kind, name, width) in studies]
            pairs = [best_cell(_accuracy(studies[kind, name, width])) for name in present]
            if not pairs:
                continue
            mean, half = np.array([student_interval(dynamical - static) for dynamical, static in pairs]).T
            places = [names.index(name) + _DODGE * (index - (len(kinds) - 1) / 2) for name in present]
            axis.errorbar(
                places,
                mean,
                yerr=np.nan_to_num(half),
                linestyle="none",
                color=colour,
                marker=marker,
                markersize=3.2,
                elinewidth=0.7,
                capsize=1.8,
            )
    axis.axhline(0.0, color=style.THEORY_COLOUR, linewidth=0.6, zorder=0)
    axis.set_xticks(range(len(names)), names)
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.set_ylabel("gain in validation accuracy")
    axis.set_title(" and ".join(f"width {width}" for width in sorted(widths)), loc="right")
