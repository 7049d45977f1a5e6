# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S2: one run of a convolutional network with the dynamical loss, and its top Hessian eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss import grid
from dynamical_loss.analysis import stability
from dynamical_loss.analysis.ritz import converged
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, header_words, style
from dynamical_loss.figures.along_run import Floats, Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mlines, mpatches, patheffects, plt
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _first_run(config: Configuration) -> list[str]:
    study = config.figures.trajectory_images
    return [] if study is None else [grid.trajectory_run(study, 0)]


def _check(config: Configuration) -> None:
    study = config.figures.trajectory_images
    if study is None:
        return
    run = config.trajectories[study]
    if run.record_every % 2 == 0:
        raise ValueError(
            f"trajectories.{study}.record_every: {run.record_every} hides the alternation of the loss in "
            "Fig. S2; set 1 or another odd number"
        )
    if "weighted" not in run.probes.hessian.losses:
        raise ValueError(
            f"trajectories.{study}.probes.hessian.losses: Fig. S2 needs the weighted loss; add weighted"
        )


DECLARATION = Declaration(
    part="images",
    inputs={
        "trajectory": Role(
            "train_trajectory",
            lambda config: [layout.trajectory(run) for run in _first_run(config)],
            ("learning_rate",),
        ),
        "spectrum": Role(
            "probe_spectrum",
            lambda config: [layout.spectrum(run) for run in _first_run(config)],
            ("hessian_eigenvalue", "hessian_residual"),
        ),
    },
    further_options=("zoom",),
    settings={
        "trajectory_images": Setting(
            str | None,
            None,
            "Fig. S2: study of the run that is shown, with seed 0; a key of `trajectories`; null: Fig. S2 is "
            "not made",
            names="trajectories",
        )
    },
    check=_check,
    made_from=(("spectrum", "trajectory"),),
)

BOUND_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "black", "linestyle": ":"},
    {"color": style.CLASS_COLOURS[3], "linestyle": (0, (4, 1.5))},
    {"color": style.CLASS_COLOURS[2], "linestyle": (0, (1, 1))},
    {"color": style.CLASS_COLOURS[4], "linestyle": (0, (5, 1, 1, 1))},
)
"""Looks of the bounds: 2/η, the bound of the optimiser, and those for small and for large batches."""

_BATCH_LOOK: dict[str, Any] = {
    "color": style.CLASS_COLOURS[2],
    "marker": "o",
    "markersize": 2.2,
    "markeredgewidth": 0,
    "linestyle": "none",
}

_ROWS = 5


def bounds(
    settings: dict[str, Any], learning_rate: npt.ArrayLike, *, of_batches: bool = False
) -> dict[str, Floats]:
    """Return bounds of stability by name: 2/η and, for gradient descent with momentum, its own bound.

    Args:
        settings: recorded settings of the run, with the key ``optimiser``.
        learning_rate: η, any shape; the bounds are infinite where η is 0.
        of_batches: whether to include the levels that the literature reports for descent with momentum in
            small and in large batches.

    Returns:
        Bounds by name, each of the shape of `learning_rate`.
    """
    found = {"2/η": stability.stability_bound(learning_rate)}
    optimiser = settings["optimiser"]
    momentum = float(optimiser["arguments"].get("momentum") or 0.0)
    if optimiser["kind"] == "sgd" and momentum > 0:
        nesterov = bool(optimiser["arguments"].get("nesterov", False))
        formula = "(2 + 2β)/(η(1 + 2β))" if nesterov else "(2 + 2β)/η"
        name = f"{'Nesterov' if nesterov else 'heavy ball'}, β = {momentum:g}: {formula}"
        found[name] = stability.stability_bound(learning_rate, momentum, nesterov=nesterov)
        if of_batches:
            small, large = stability.batch_bounds(learning_rate, momentum)
            found |= {"small batches: 2(1 − β)/η": small, "large batches: 2(1 + β)/η": large}
    return found


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw class weights, loss, its increments, accuracies and top Hessian eigenvalues along one run.

    Ritz values that may differ from an eigenvalue by more than 1 % are left out. The bounds of stability are
    those of full-batch descent on a quadratic, and follow the scheduled learning rate. The axis on top shows
    epochs.

    Args:
        inputs: one file each of the roles `trajectory` and `spectrum`, of the same run.
        options: `zoom`, [start, stop] in steps, which adds a second column; by default there is no second
            column.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if the zoom does not lie entirely in the run.
    """
    trajectory, spectrum = (inputs[role][0] for role in DECLARATION.inputs)
    settings = recorded.settings_of(trajectory)
    period = float(recorded.cycle_of(settings))
    step = trajectory["step"].values.astype(float)
    whole = (float(step[0]), float(step[-1]))
    spans = [whole]
    if options.get("zoom") is not None:
        spans.append(along_run.zoom(options["zoom"], whole))
    off = float(trajectory["oscillation_end"]) if "oscillation_end" in trajectory else math.inf
    rates = trajectory["learning_rate"]
    limits = bounds(settings, rates.values, of_batches="batch_sharpness" in spectrum)
    shades = along_run.shades(spectrum.sizes["mode"])

    figure = plt.figure(figsize=(style.PAGE, 7.8))
    axes: npt.NDArray[Any] = figure.subplots(_ROWS, len(spans), sharex="col", squeeze=False)
    rows: tuple[Callable[[Axes, Span, bool], None], ...] = (
        lambda axis, span, zoomed: along_run.class_weights(axis, trajectory, span, period),
        lambda axis, span, zoomed: along_run.loss(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: along_run.increments(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: along_run.accuracies(axis, trajectory, span, zoomed),
        lambda axis, span, zoomed: _hessian(axis, spectrum, step, limits, span, shades, zoomed),
    )
    for column, span in enumerate(spans):
        for row, draw in enumerate(rows):
            axis = axes[row, column]
            draw(axis, span, column == 1)
            if column == 0:
                along_run.shade_static_end(axis, off, whole)
        along_run.step_axis(axes[-1, column], span, 7 if column == 0 else 6)
        _epochs_above(axes[0, column], trajectory)
        figure.align_ylabels(axes[:, column])
    if len(spans) > 1:
        along_run.mark_zoom(axes[0, 0], spans[1], "f–j")
    style.panel_letters(axes.T.ravel())
    style.header(figure, _remarks(trajectory))
    _key(figure, limits, shades, off < whole[1], _of_batches(spectrum, rates, settings, off))
    return figure


def _remarks(trajectory: xr.Dataset) -> str:
    samples = recorded.settings_of(trajectory).get("evaluation_samples")
    fixed = f"; loss, accuracies and Hessian of {samples} fixed images" if samples else ""
    return header_words.remarks(trajectory) + fixed


def _hessian(
    axis: Axes,
    spectrum: xr.Dataset,
    step: Floats,
    limits: dict[str, Floats],
    span: Span,
    shades: Sequence[Any],
    zoomed: bool,
) -> None:
    snapshot = spectrum["snapshot_step"].values.astype(float)
    found, residuals = (
        spectrum[name].transpose("snapshot_step", "mode").values
        for name in ("hessian_eigenvalue", "hessian_residual")
    )
    values = converged(along_run.positive(found), residuals)
    along_run.modes(axis, snapshot, values, span, shades, branches=zoomed)
    shown = [values[along_run.inside(snapshot, span)].ravel()]
    for (name, bound), look in zip(limits.items(), BOUND_LOOKS, strict=False):
        # Lines of eigenvalues cross the bound; a white rim keeps it visible there.
        rim = [patheffects.withStroke(linewidth=2, foreground="white")]
        along_run.line(axis, step, bound, span, **look, linewidth=1.0, zorder=4, path_effects=rim, gid=name)
        # At a learning rate near 0 the bound is huge; only its smallest value may extend the axis.
        known = bound[along_run.inside(step, span) & np.isfinite(bound)]
        shown.append(known[known == known.min(initial=math.inf)])
    if "batch_sharpness" in spectrum:
        chosen = along_run.inside(snapshot, span)
        sharpness = along_run.positive(spectrum["batch_sharpness"].values)[chosen]
        axis.plot(snapshot[chosen], sharpness, **_BATCH_LOOK, gid="batch sharpness")
        shown.append(sharpness)
    axis.set_ylabel("Hessian eigenvalues")
    along_run.log_scale(axis, np.concatenate(shown))


def _epochs_above(axis: Axes, trajectory: xr.Dataset) -> None:
    each = trajectory.attrs.get("steps_per_epoch")
    if each is None:
        return
    above = axis.secondary_xaxis(
        "top", functions=(lambda t: np.divide(t, each), lambda epoch: np.multiply(epoch, each))
    )
    above.set_xlabel("Epoch", labelpad=2)


def _of_batches(spectrum: xr.Dataset, rates: xr.DataArray, settings: dict[str, Any], off: float) -> str:
    """Return a sentence on the batch sharpness while the loss oscillates; empty if it was not measured."""
    if "batch_sharpness" not in spectrum:
        return ""
    snapshot = spectrum["snapshot_step"].values
    optimiser = settings["optimiser"]
    momentum = float(optimiser["arguments"].get("momentum") or 0.0)
    if optimiser["kind"] != "sgd" or momentum == 0.0:
        return ""
    small, large = stability.batch_bounds(rates.sel(step=snapshot).values, momentum)
    sharpness = spectrum["batch_sharpness"].values
    known = np.isfinite(small) & np.isfinite(sharpness) & (snapshot < off)
    if not known.any():
        return ""
    of_small, of_large = (np.median(sharpness[known] / bound[known]) for bound in (small, large))
    return (
        f"\nBatch sharpness while Γ oscillates, median over snapshots: {of_small:.2g} of 2(1 − β)/η, "
        f"{of_large:.2g} of 2(1 + β)/η."
    )


def _key(
    figure: Figure, limits: dict[str, Floats], shades: Sequence[Any], switched_off: bool, of_batches: str
) -> None:
    """Draw a legend below the lowest panels that explains their lines."""
    handles: list[Any] = [
        mlines.Line2D([], [], color=shades[rank], label=f"λ$_{{{rank + 1}}}$")
        for rank in sorted({0, len(shades) - 1})
    ]
    for name, look in zip(limits, BOUND_LOOKS, strict=False):
        handles.append(mlines.Line2D([], [], **look, label=name))
    if of_batches:
        handles.append(mlines.Line2D([], [], **_BATCH_LOOK, label="batch sharpness"))
    if switched_off:
        handles.append(mpatches.Patch(color=along_run.STATIC_COLOUR, label="oscillation off"))
    figure.legend(
        handles=handles,
        title="Eigenvalues known to 1 %. Bounds: where full-batch descent on a quadratic loses stability, at "
        "the scheduled η(t)." + of_batches,
        title_fontsize=style.SMALL,
        loc="outside lower center",
        ncols=4 if of_batches else 6,
        handlelength=2.2,
        borderpad=0,
    )
