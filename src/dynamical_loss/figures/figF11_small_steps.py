# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F11: part of a run with a cascade of instabilities, and the same part with stable, small steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss.analysis import small_steps
from dynamical_loss.analysis.ritz import converged
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, style
from dynamical_loss.figures.along_run import Floats
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    study = config.figures.small_steps
    if study is None:
        return
    run = config.trajectories[study]
    if run.probes.small_steps is None:
        raise ValueError(
            f"trajectories.{study}.probes.small_steps: figures.small_steps shows this probe; set it"
        )
    if run.loss.weighting != "sample":
        raise ValueError(
            f"trajectories.{study}.loss.weighting: figures.small_steps shows mean losses over the "
            "samples of a class; set it to sample"
        )


DECLARATION = Declaration(
    part="flow",
    inputs={
        "runs": Role(
            "gather_runs",
            lambda config: (
                [] if config.figures.small_steps is None else [layout.runs(config.figures.small_steps)]
            ),
            ("again_class_loss",),
        )
    },
    settings={
        "small_steps": Setting(
            str | None,
            None,
            "Fig. F11: study with probes.small_steps; a key of `trajectories`; null: Fig. F11 is not made",
            names="trajectories",
        )
    },
    check=_check,
)

_COLOURS = {"own": along_run.EVEN_COLOUR, "small": along_run.ODD_COLOUR}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw part of a run, trained with the run's own steps and again with smaller steps.

    Panels: λ_max of the weighted loss, with 2/η (a); λ_max of the static loss (b); the static loss of the
    class with the largest Γ, averaged over its samples (c), and of all other classes (d). Each point is the
    mean of two records an odd number of steps apart, so that an alternation does not show. Thin lines are
    seeds, and thick lines are medians over seeds.

    Args:
        inputs: one file of the role ``runs``, with all seeds of the study.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    runs = inputs["runs"][0]
    settings = recorded.settings_of(runs)
    figure, axes = plt.subplots(2, 2, sharex=True, figsize=(style.PAGE, 4.2))
    losses = small_steps.by_class(runs)
    for axis, values, label in (
        (axes[0, 0], _known(runs, "again_sharpness"), "λ$_{\\mathrm{max}}$, weighted loss"),
        (axes[0, 1], _known(runs, "again_static_sharpness"), "λ$_{\\mathrm{max}}$, static loss"),
        (axes[1, 0], losses["emphasised"], "loss, class of largest Γ"),
        (axes[1, 1], losses["others"], "loss, other classes"),
    ):
        _lines(axis, values, settings["probes"]["small_steps"]["divide"])
        axis.set_ylabel(label)
    axes[0, 0].axhline(2 / settings["trajectory"]["learning_rate"], color="0.4", linewidth=0.7, linestyle=":")
    steps = runs["again_step"].values
    for axis in axes.ravel():
        along_run.log_scale(axis)
    for axis in axes[1]:
        along_run.step_axis(axis, (float(steps[0]), float(steps[-1])), 5)
    # The number of seeds stands to the right of the panel's letter.
    count = runs.sizes["seed"]
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes[0, 0].annotate(f"{count} seed{'s' if count > 1 else ''}", (0, 1), (20, 3), **place)
    along_run.legend_above(axes[0, 1])
    style.panel_letters(list(axes.ravel()))
    figure.align_ylabels()
    return figure


def _known(runs: xr.Dataset, name: str) -> xr.DataArray:
    return runs[name].copy(data=converged(runs[name], runs["again_residual"]))


def _median(pairs: Floats) -> Floats:
    """Compute the median over the seeds that have a finite value; NaN if none has."""
    known = np.isfinite(pairs).any(axis=0)
    found = np.full(pairs.shape[1], np.nan)
    found[known] = np.nanmedian(pairs[:, known], axis=0)
    return found


def _lines(axis: Axes, values: xr.DataArray, divide: int) -> None:
    steps = values["again_step"].values.astype(float)
    middles = (steps[1:] + steps[:-1]) / 2
    for name, colour in _COLOURS.items():
        each = values.sel(descent=name).transpose("seed", "again_step").values
        pairs = (each[:, 1:] + each[:, :-1]) / 2
        for run in pairs:
            axis.plot(middles, run, color=colour, linewidth=0.4, alpha=0.5)
        label = "the run's η" if name == "own" else f"η/{divide}"
        axis.plot(middles, _median(pairs), color=colour, linewidth=1.4, label=label)
