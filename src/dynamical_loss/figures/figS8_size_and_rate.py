# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S8: loss and λ_max, averaged over runs, for several widths and learning rates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from dynamical_loss.analysis.ritz import sharpness
from dynamical_loss.analysis.stability import stability_bound
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import along_run, learning_curves, requirements, style, ticks
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mlines, plt
from dynamical_loss.figures.networks import optimiser_of
from dynamical_loss.notation import exact
from dynamical_loss.paper.losses import Cell, cell_of
from dynamical_loss.results import layout

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_STUDIES = Role("gather_runs", lambda config: [layout.runs(study) for study in config.figures.averages])


def _check(config: Configuration) -> None:
    seen: dict[Cell, str] = {}
    for study in config.figures.averages:
        requirements.require_setting(config, "averages", "trajectories", study, "width")
        run = config.trajectories[study]
        requirements.require_one_rate(config, "averages", study)
        plain = not optimiser_of(run.model_dump())
        if not plain or "weighted" not in run.probes.hessian.losses:
            raise ValueError(
                f"trajectories.{study}: figures.averages compares λ_max of the weighted loss with 2/η; "
                "add weighted to probes.hessian.losses, and take sgd without momentum"
            )
        key = run.model.width, run.learning_rate, run.amplitude == 1
        if key in seen:
            raise ValueError(
                f"figures.averages: {seen[key]} and {study} have the same width, learning rate and kind of "
                "loss; leave one out"
            )
        seen[key] = study


DECLARATION = Declaration(
    part="protocols",
    inputs={"runs": _STUDIES},
    settings={
        "averages": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S8: studies of several widths and learning rates, with the static or the dynamical loss; "
            "keys of `trajectories`; an empty list: Fig. S8 is not made",
            names="trajectories",
        )
    },
    check=_check,
    evidence={"runs": _STUDIES},
)

_STATIC: dict[str, Any] = {"linestyle": (0, (4, 1.5))}
_BOUND: dict[str, Any] = {"linewidth": 0.7, "linestyle": ":"}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the static loss (upper row) and λ_max of the weighted loss (lower row) along the runs.

    Each column is a width, and each colour a learning rate. Lines are means over seeds, and bands their 95 %
    Student intervals. Dotted lines show 2/η.

    Args:
        inputs: files of the role ``runs``, each with all seeds of a study of perceptrons.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if two files have the same width, learning rate and kind of loss.
    """
    studies: dict[Cell, xr.Dataset] = {}
    for item in inputs["runs"]:
        key = cell_of(item)
        if key in studies:
            raise UserError(
                "Fig. S8 was given two studies with the same width, learning rate and kind of loss; "
                "leave one out"
            )
        studies[key] = item
    widths = sorted({width for width, _, _ in studies})
    rates = sorted({rate for _, rate, _ in studies})
    colours = dict(zip(rates, itertools.cycle(style.CLASS_COLOURS), strict=False))
    figure, axes = plt.subplots(
        2,
        len(widths),
        figsize=(style.PAGE, 3.6),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for (width, rate, static), item in sorted(studies.items()):
        column = axes[:, widths.index(width)]
        steps = item["snapshot_step"].values.astype(float)
        look = {"color": colours[rate], **(_STATIC if static else {"linestyle": "-"})}
        label = f"η = {exact(rate)}, {'static' if static else 'dynamical'} loss"
        for axis, runs in zip(column, (item["loss"], sharpness(item)), strict=True):
            learning_curves.draw(axis, steps, runs.rename(snapshot_step="step"), look, label, singles=False)
        bound = float(stability_bound(rate))
        column[1].axhline(bound, **_BOUND, color=colours[rate], gid=f"2/η, {exact(rate)}")
    for width, (above, below) in zip(widths, axes.T, strict=True):
        above.set_title(f"width {width}", loc="right")
        below.set_xlabel("minimisation step t")
    axes[0, 0].set_ylabel("static loss")
    axes[1, 0].set_ylabel("λ$_{\\mathrm{max}}$ of the weighted loss")
    for row in axes:
        values = np.concatenate([np.asarray(line.get_ydata(), float) for axis in row for line in axis.lines])
        # The panels of a row share limits, but each needs its own ticks.
        for axis in row:
            along_run.log_scale(axis, values)
    ticks.whole_numbers(axes[1, 0].xaxis, axes[1, 0].get_xlim(), 5)
    style.panel_letters(list(axes.ravel()))
    shown: dict[str, Any] = {}
    for axis in axes[0]:
        shown |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    shown["2/η"] = mlines.Line2D([], [], **_BOUND, color=style.THEORY_COLOUR)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4)
    return figure
