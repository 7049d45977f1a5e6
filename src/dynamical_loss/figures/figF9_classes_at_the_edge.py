# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F9: contribution of each class to the instability of a step, and the step's effect on each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss.figures import along_run, edge_runs, style
from dynamical_loss.figures.along_run import Floats, Span
from dynamical_loss.figures.declaration import Declaration, Inputs, Options
from dynamical_loss.figures.deferred import mlines, mpatches, mpl
from dynamical_loss.figures.edge_runs import STABILITY

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECLARATION = Declaration(
    part="flow", inputs=STABILITY.inputs, settings=STABILITY.settings, check=STABILITY.check
)

_STEPS = {
    "own": ("gradient descent", 1.0),
    "without_top": ("without its part along v$_1$", 0.55),
    "turned": ("that part in a random direction", 0.25),
}
"""Description in the legend, and opacity, of each kind of step."""

_PROFILES = 3  # number of steps at which the loss along a direction is drawn


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw measurements of each class in a static (left) and in a dynamical run (right).

    The rows are, from the top:

    - the share of λ_max that each class contributes, with the class's share of Γ as a dotted line;
    - the share of each class's gradient along the first eigenvector v₁, with the share along a random
      direction as a dashed line;
    - the overlap of v₁ with the first eigenvector one step before;
    - the number of hidden units over which v₁ is spread;
    - the mean change of each class's part of the static loss in one step, for three kinds of steps;
    - the loss along v₁ and along a random direction, at the first, the middle and the last step shown.

    Args:
        inputs: files of the role ``spectrum``, one of a static and one of a dynamical run.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    figure, columns = edge_runs.columns(inputs, rows=6, along=4, height=8.8)
    for axes, run, span in columns:
        _curvature(axes[0], run, span)
        _alignment(axes[1], run, span)
        steps = run["snapshot_step"].values
        one_apart = np.append(False, np.diff(steps) == 1)
        overlap = np.where(one_apart, run["eigenvector_overlap"].values, np.nan)
        _lines(axes[2], run, overlap, span, along_run.LINE_COLOUR)
        axes[2].set_ylim(-0.03, 1.03)
        axes[2].set_ylabel("overlap of v$_1$ with\nthe step before")
        if "effective_units" in run:
            _lines(axes[3], run, run["effective_units"].values, span, along_run.LINE_COLOUR)
            axes[3].set_ylim(bottom=0)
        else:
            along_run.say_empty(axes[3])
        axes[3].set_ylabel("units of v$_1$")
        _steps(axes[4], run)
        _profiles(axes[5], run)
    figure.align_ylabels()
    classes = max(run.sizes["class_index"] for _, run, _ in columns)
    handles = [
        *(mlines.Line2D([], [], color=_colour(k), label=f"class {k + 1}") for k in range(classes)),
        *(mpatches.Patch(color="0.3", alpha=opacity, label=words) for words, opacity in _STEPS.values()),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=classes + len(_STEPS), columnspacing=1.2)
    return figure


def _colour(index: int) -> str:
    return style.CLASS_COLOURS[index % len(style.CLASS_COLOURS)]


def _lines(axis: Axes, run: xr.Dataset, values: Floats, span: Span, colour: str) -> None:
    """Draw even and odd steps as two lines of one colour, which separate if the quantity alternates."""
    steps = run["snapshot_step"].values.astype(float)
    along_run.branches(axis, steps, values, span, (colour, colour), ("_even", "_odd"))


def _curvature(axis: Axes, run: xr.Dataset, span: Span) -> None:
    added, weight = (
        run[name].transpose("snapshot_step", "class_index").values
        for name in ("class_sharpness", "class_weight")
    )
    steps = run["snapshot_step"].values.astype(float)
    for index in range(added.shape[1]):
        _lines(axis, run, added[:, index] / added.sum(axis=1), span, _colour(index))
        share = weight[:, index] / weight.sum(axis=1)
        along_run.line(axis, steps, share, span, color=_colour(index), linestyle=":")
    axis.set_ylabel("share of λ$_{\\mathrm{max}}$\n(dotted: of Γ)")


def _alignment(axis: Axes, run: xr.Dataset, span: Span) -> None:
    shares = run["class_gradient_share"].isel(mode=0).transpose("snapshot_step", "class_index").values
    for index in range(shares.shape[1]):
        _lines(axis, run, shares[:, index], span, _colour(index))
    # The share scatters around 1 / number of parameters from step to step, so its mean is drawn.
    axis.axhline(float(run["class_random_share"].mean()), color="black", linewidth=0.7, linestyle="--")
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("share of a class's\ngradient along v$_1$")


def _steps(axis: Axes, run: xr.Dataset) -> None:
    """Draw means over the steps shown, because the changes alternate from step to step."""
    classes = run.sizes["class_index"]
    for rank, (kind, (_, opacity)) in enumerate(_STEPS.items()):
        change = run["class_change"].sel(step_kind=kind).mean("snapshot_step").values
        colours = [_colour(index) for index in range(classes)]
        axis.bar(np.arange(classes) + 0.27 * (rank - 1), change, 0.25, color=colours, alpha=opacity)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xticks(range(classes), [f"class {index + 1}" for index in range(classes)])
    axis.set_ylabel("change of its loss\nby one step, mean")


def _profiles(axis: Axes, run: xr.Dataset) -> None:
    places = run["place"].values
    chosen = np.linspace(0, run.sizes["snapshot_step"] - 1, _PROFILES).astype(int)
    colours = [mpl.colormaps["viridis"](0.85 * rank / (_PROFILES - 1)) for rank in range(_PROFILES)]
    heights = []
    for index, colour in zip(chosen, colours, strict=True):
        here = run.isel(snapshot_step=int(index))
        start = float(here["loss_along_top"].sel(place=0.0))
        look: dict[str, Any] = {"color": colour, "linewidth": 0.8}
        more: dict[str, Any]
        for name, more in (
            (
                "loss_along_top",
                {"marker": "o", "markersize": 2, "label": f"t = {int(here['snapshot_step'])}"},
            ),
            ("loss_along_random", {"linestyle": "--"}),
        ):
            heights.append(here[name].values - start)
            axis.plot(places, heights[-1], **look, **more)
    along_run.both_signs(axis, np.array(heights))
    axis.set_xlabel("place along v$_1$, in steps (dashed: random)")
    axis.set_ylabel("F less F at 0")
    along_run.legend_above(axis)
