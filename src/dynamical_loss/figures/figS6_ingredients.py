# ruff: noqa: N999  (supplementary figures are named as in the text)
"""Fig. S6: which part of the dynamical loss carries its gain."""

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
"""In the order of the rows; those between are variants of the whole dynamical loss."""


def _check(config: Configuration) -> None:
    seen: dict[str, str] = {}
    alike: tuple[object, ...] | None = None
    for study in config.figures.ingredients:
        settings = config.phase[study]
        above = [amplitude for amplitude in settings.amplitudes if amplitude > 1]
        if len(settings.periods) != 1 or len(above) != 1:
            raise ValueError(
                f"phase.{study}.amplitudes: figures.ingredients compares one cell; take one T and one A "
                "above 1"
            )
        which = variant_of(settings.loss.model_dump())
        if which is None:
            raise ValueError(f"phase.{study}.loss: figures.ingredients knows no such variant; take another")
        if which in seen:
            raise ValueError(f"figures.ingredients: {seen[which]} and {study} are alike; leave one out")
        seen[which] = study
        own = settings.periods[0], above[0], settings.model, settings.dataset
        if alike not in (None, own):
            raise ValueError(
                f"phase.{study}: differs from the others of figures.ingredients in more than its loss"
            )
        alike = own
    if seen and 1.0 not in getattr(config.phase.get(seen.get("whole", "")), "amplitudes", ()):
        raise ValueError("figures.ingredients: no study has the paper's loss and A = 1; add one")


_STUDIES = requirements.phase_studies("ingredients")

DECLARATION = Declaration(
    part="protocols",
    inputs={"study": _STUDIES},
    settings={
        "ingredients": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S6: keys of `phase`, one of them with A = 1; none: no such figure",
            names="phase",
        )
    },
    check=_check,
    evidence={"ingredients": _STUDIES},
)

_KINDS = (("train_accuracy", "training"), ("validation_accuracy", "validation"))


def render(inputs: Inputs, options: Options) -> Figure:
    """Final training (a) and validation accuracy (b) of each variant, every seed a dot, with the mean.

    Args:
        inputs: role ``study``: phase files over (period, amplitude, seed) with one cell of A above 1 each;
            one of them is of the paper's loss and has A = 1 too.
        options: none are known.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if no study is of the paper's loss, with A = 1 and one cell above it.
    """
    studies = {variant_of(recorded.settings_of(item)["loss"]): item for item in inputs["study"]}
    whole = studies.get("whole")
    if whole is None or 1.0 not in whole["amplitude"]:
        raise UserError("Fig. S6 needs the paper's loss, static and dynamical; name a study of it with A = 1")
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
    """Accuracy at one A, or at the only one above 1, shape (seed,)."""
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
