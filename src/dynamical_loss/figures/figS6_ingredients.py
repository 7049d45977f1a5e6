# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S6: accuracy with variants of the dynamical loss, each of which leaves out one of its parts."""

from __future__ import annotations

from collections.abc import Mapping
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
from dynamical_loss.paper.variants import VARIANTS, variant_of
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_NAMES: Mapping[str, str] = {
    "static": "static loss",
    "whole": "dynamical loss",
    "random_order": "classes in random order",
    "unnormalised": "sum held over a cycle only",
    "one_cycle": "one cycle, then static",
    "random_groups": "random groups of samples",
    "in_phase": "all classes at once",
}
"""Labels of the rows, in their order: the static loss, the paper's dynamical loss, and its variants."""


def _check(config: Configuration) -> None:
    seen: dict[str, str] = {}
    alike: tuple[object, ...] | None = None
    for study in config.figures.ingredients:
        settings = config.phase[study]
        above = [amplitude for amplitude in settings.amplitudes if amplitude > 1]
        if len(settings.periods) != 1 or len(above) != 1:
            raise ValueError(
                f"phase.{study}.amplitudes: figures.ingredients compares one cell; give one period and "
                "one amplitude above 1"
            )
        which = variant_of(settings.loss.model_dump())
        if which is None:
            raise ValueError(
                f"phase.{study}.loss: figures.ingredients does not know this variant; take another"
            )
        if which in seen:
            raise ValueError(
                f"figures.ingredients: {seen[which]} and {study} have the same loss; leave one out"
            )
        seen[which] = study
        own = settings.periods[0], above[0], settings.model, settings.dataset
        if alike not in (None, own):
            raise ValueError(
                f"phase.{study}: differs from the other studies of figures.ingredients in more than its "
                "loss; give it the same period, amplitude, model and dataset"
            )
        alike = own
    if seen and 1.0 not in getattr(config.phase.get(seen.get("whole", "")), "amplitudes", ()):
        raise ValueError("figures.ingredients: no study has the paper's loss and A = 1; add such a study")


_STUDIES = requirements.phase_studies("ingredients")

DECLARATION = Declaration(
    part="protocols",
    inputs={"study": _STUDIES},
    settings={
        "ingredients": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S6: studies of variants of the dynamical loss, and one of the paper's loss that also has "
            "A = 1; keys of `phase`; an empty list: Fig. S6 is not made",
            names="phase",
        )
    },
    check=_check,
    evidence={"ingredients": _STUDIES},
)

_KINDS = (("train_accuracy", "training"), ("validation_accuracy", "validation"))


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the final training (a) and validation accuracy (b) of each variant.

    Each dot is a seed. Bars are means over seeds with 95 % bootstrap intervals. Dashed lines are the means of
    the static and of the dynamical loss.

    Args:
        inputs: phase files of the role ``study`` over (period, amplitude, seed), each with one cell with
            A > 1; one of them has the paper's loss and A = 1 too.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if no study has both the paper's loss and A = 1.
    """
    studies = {variant_of(recorded.settings_of(item)["loss"]): item for item in inputs["study"]}
    whole = studies.get("whole")
    if whole is None or 1.0 not in whole["amplitude"]:
        raise UserError(
            "Fig. S6 needs the paper's loss, static and dynamical; name a study with that loss and A = 1"
        )
    rows = [name for name in _NAMES if name == "static" or name in studies]
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 0.42 * len(rows) + 1.1), sharey=True)
    for axis, (variable, words) in zip(axes, _KINDS, strict=True):
        static = _accuracy(whole, variable, 1.0)
        for line, name in enumerate(rows):
            values = static if name == "static" else _accuracy(studies[name], variable)
            _row(axis, line, values, name in VARIANTS)
        for value, colour in zip(
            (static.mean(), _accuracy(whole, variable).mean()), style.CLASS_COLOURS, strict=False
        ):
            axis.axvline(value, color=colour, linewidth=0.7, linestyle="--", zorder=0)
        axis.set_xlabel(f"final {words} accuracy")
    axes[0].set_yticks(range(len(rows)), [_NAMES[name] for name in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    amplitude, period = float(whole["amplitude"].max()), int(whole["period"][0])
    titles = (
        label_of(recorded.settings_of(whole)["model"]),
        f"$T={period}$, $A={amplitude:g}$, $n={whole.sizes['seed']}$ seeds",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, loc="right")
    style.panel_letters(axes)
    return figure


def _accuracy(item: xr.Dataset, variable: str, amplitude: float | None = None) -> Floats:
    """Return the accuracy at an amplitude, by default the one above 1, shape (seed,)."""
    wanted = float(item["amplitude"].max()) if amplitude is None else amplitude
    return np.asarray(item[variable].sel(amplitude=wanted).isel(period=0).values, dtype=np.float64)


def _row(axis: Axes, line: int, values: Floats, is_variant: bool) -> None:
    colour = style.CLASS_COLOURS[2] if is_variant else style.CLASS_COLOURS[0 if line == 0 else 1]
    axis.plot(
        values,
        line + swarm(values),
        linestyle="none",
        marker="o",
        markersize=2.0,
        markeredgewidth=0,
        alpha=0.6,
        color=colour,
    )
    mean = float(values.mean())
    lower, upper = bootstrap_interval(values)
    axis.errorbar(
        [mean],
        [line + 0.32],
        xerr=np.nan_to_num([[mean - lower], [upper - mean]]),
        fmt="|",
        color="black",
        markersize=5,
        elinewidth=1.0,
        capsize=2.0,
        zorder=4,
    )
