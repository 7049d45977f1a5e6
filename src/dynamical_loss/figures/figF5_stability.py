# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F5: curvature, the gradient along its eigenvectors, and the change of the loss in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dynamical_loss.analysis.edge import foretold, rises
from dynamical_loss.figures import along_run, edge_runs, style
from dynamical_loss.figures.along_run import Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.edge_runs import STABILITY

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DECLARATION = Declaration(
    part="flow",
    inputs=STABILITY.inputs,
    settings=STABILITY.settings,
    check=STABILITY.check,
    evidence={"edge": STABILITY.gathered},
)

_LINE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": ":", "zorder": 0}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw measurements at consecutive steps of a static (left) and of a dynamical run (right).

    The rows are, from the top:

    - η times the largest eigenvalues of the Hessian, with lines at 1 and 2;
    - the share of the gradient along the first eigenvector, and along all measured eigenvectors;
    - the rate at which the principal flow changes the loss along the first eigenvector, multiplied by η;
    - the change of the loss in each step, with marks where λ_max > 2/η wrongly predicts whether the loss
      rises.

    Args:
        inputs: files of the role ``spectrum``, one of a static and one of a dynamical run.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    figure, columns = edge_runs.columns(inputs, rows=4, along=4, height=6.4)
    for axes, run, span in columns:
        _eigenvalues(axes[0], run, span)
        _shares(axes[1], run, span)
        rate = run["learning_rate"].values
        edge_runs.changes(axes[2], run, rate * run["principal_rate"].isel(mode=0).values, span)
        axes[2].set_ylabel("η r$_1$, principal flow")
        change = run["step_change"].sel(step_kind="own").values
        edge_runs.changes(axes[3], run, change, span)
        wrong = foretold(run, "sharpness") != rises(run)
        edge_runs.mark_wrong(axes[3], run, change, wrong, "λ$_{\\mathrm{max}}$ > 2/η")
        axes[3].set_ylabel("ΔF of the step")
    figure.align_ylabels()
    return figure


def _eigenvalues(axis: Axes, run: xr.Dataset, span: Span) -> None:
    steps = run["snapshot_step"].values.astype(float)
    multiples = (run["hessian_eigenvalue"] * run["learning_rate"]).transpose("snapshot_step", "mode").values
    for rank in range(multiples.shape[1] - 1, 0, -1):
        along_run.line(axis, steps, multiples[:, rank], span, color="0.6", linewidth=0.4)
    along_run.branches(axis, steps, multiples[:, 0], span)
    for level in (1, 2):
        axis.axhline(level, **_LINE)
    axis.set_ylabel("ηλ$_i$")
    along_run.legend_above(axis)


def _shares(axis: Axes, run: xr.Dataset, span: Span) -> None:
    steps = run["snapshot_step"].values.astype(float)
    share = run["gradient_share"]
    for values, colour, label in (
        (share.sum("mode"), "0.6", f"first {int(share.notnull().any('snapshot_step').sum())}"),
        (share.isel(mode=0), style.CLASS_COLOURS[3], "first"),
    ):
        along_run.line(axis, steps, values.values, span, color=colour, label=label)
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("share of gradient")
    along_run.legend_above(axis)
