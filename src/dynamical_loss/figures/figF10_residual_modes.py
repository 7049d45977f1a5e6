# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F10: how the residual of the squared error evolves in each mode of its kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss.analysis import residual
from dynamical_loss.figures import along_run, edge_runs, style
from dynamical_loss.figures.along_run import Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import ticker
from dynamical_loss.figures.edge_runs import RESIDUALS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECLARATION = Declaration(
    part="flow",
    inputs=RESIDUALS.inputs,
    settings=RESIDUALS.settings,
    check=RESIDUALS.check,
    evidence={"residuals": RESIDUALS.gathered},
)

_MODES = 6  # number of modes that are drawn
_SAME = 1e-6  # relative difference below which two Ritz values count as equal
_LINE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": ":", "zorder": 0}
_KERNELS = {"fixed": along_run.EVEN_COLOUR, "moving": along_run.ODD_COLOUR}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw a column for the static (left) and one for the dynamical squared error (right).

    The rows are, from the top:

    - η/N times the largest eigenvalues of the kernel weighted by Γ, and the same for the largest eigenvalue
      of the kernel without Γ if the two differ;
    - the number of alternating and of unstable modes;
    - the change of the loss in each step, with red marks where the presence of an unstable mode wrongly
      predicts whether the loss rises;
    - the distance between the residual of the run and the residual that each kernel predicts.

    Args:
        inputs: files of the role ``spectrum``, one of a static and one of a dynamical run.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    figure, columns = edge_runs.columns(inputs, rows=4, along=3, height=6.6)
    for axes, run, span in columns:
        _multiples(axes[0], run, span)
        _counts(axes[1], run, span)
        edge_runs.changes(axes[2], run, run["residual_change"].values, span)
        edge_runs.mark_wrong(axes[2], run, run["residual_change"].values, ~residual.agrees(run), "x$_1$ > 2")
        axes[2].set_ylabel("ΔF of the step")
        _errors(axes[3], run)
    figure.align_ylabels()
    return figure


def _multiples(axis: Axes, run: xr.Dataset, span: Span) -> None:
    steps = run["snapshot_step"].values.astype(float)
    multiples = run["kernel_multiple"].transpose("snapshot_step", "mode").values[:, :_MODES]
    for rank in range(multiples.shape[1] - 1, 0, -1):
        along_run.line(axis, steps, multiples[:, rank], span, color="0.6", linewidth=0.4)
    along_run.branches(axis, steps, multiples[:, 0], span)
    unweighted = run["unweighted_multiple"].values
    if not np.allclose(multiples[:, 0], unweighted, rtol=_SAME, equal_nan=True):
        look: dict[str, Any] = {"color": style.FINISH_COLOUR, "linestyle": "--", "linewidth": 0.9}
        along_run.line(axis, steps, unweighted, span, label="without Γ", **look)
    for level in (1, 2):
        axis.axhline(level, **_LINE)
    axis.set_ylabel("x$_j$ = ηκ$_j$/N")
    along_run.legend_above(axis)


def _counts(axis: Axes, run: xr.Dataset, span: Span) -> None:
    steps = run["snapshot_step"].values.astype(float)
    alternating, unstable = residual.counts(run)
    for values, colour, label in (
        (alternating, "0.6", "alternating"),
        (unstable, style.FINISH_COLOUR, "unstable"),
    ):
        along_run.line(axis, steps, values, span, color=colour, label=label)
    axis.set_ylim(bottom=-0.2)
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axis.set_ylabel("modes")
    along_run.legend_above(axis)


def _errors(axis: Axes, run: xr.Dataset) -> None:
    ages, errors = residual.errors_by_age(run)
    for name, values in zip(run["kernel"].values.tolist(), errors.T, strict=True):
        look: dict[str, Any] = {"marker": ".", "markersize": 3, "linewidth": 0.8, "color": _KERNELS[name]}
        axis.plot(ages, values, label=f"{name} kernel", **look)
    along_run.log_scale(axis)
    axis.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    axis.set_xlabel("steps since the start of the prediction")
    axis.set_ylabel("distance from the run")
    along_run.legend_above(axis)
