# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F4: distance between flows and gradient descent in the training of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from dynamical_loss.config.figures import Setting
from dynamical_loss.figures import along_run, flow_looks, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.flows.names import KINDS
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_TRACES = Role("trace_flow", lambda config: [layout.flows(study) for study in config.figures.flows])

DECLARATION = Declaration(
    part="flow",
    inputs={"flows": _TRACES},
    settings={
        "flows": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. F4: studies of flows that approximate gradient descent; keys of `flows`; an empty list: "
            "Fig. F4 is not made",
            names="flows",
        )
    },
    evidence={"flows": _TRACES},
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the distance of each flow from gradient descent after each step, with one panel for each study.

    A thin line shows one seed and one starting point. Thick lines are medians over all seeds and starting
    points whose flow is not stuck. A short line at the upper edge marks a step at which a flow is stuck, i.e.
    could not be integrated, for some seed or starting point.

    Args:
        inputs: files of the role ``flows``, one for each study.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    studies = inputs["flows"]
    figure, axes = plt.subplots(1, len(studies), squeeze=False, figsize=(style.PAGE, 2.9))
    for axis, runs in zip(axes[0], studies, strict=True):
        _panel(axis, runs)
    axes[0, 0].set_ylabel("distance from gradient descent")
    style.panel_letters(list(axes[0]))
    handles, labels = max(
        (axis.get_legend_handles_labels() for axis in axes[0]), key=lambda pair: len(pair[1])
    )
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _panel(axis: Axes, runs: xr.Dataset) -> None:
    training = recorded.settings_of(runs)["trajectory"]
    later = runs.isel(step=slice(1, None)).stack(line=("seed", "start")).transpose("flow", "line", "step")
    steps = np.arange(1, runs.sizes["step"])
    for rank, kind in enumerate(kind for kind in KINDS if kind in runs["flow"].values):
        look = flow_looks.LOOKS[kind]
        errors = later["error"].sel(flow=kind).values
        stuck = later["stuck"].sel(flow=kind).values.astype(bool)
        for line in errors:
            axis.plot(steps, line, color=look["color"], linewidth=0.4, alpha=0.5)
        known = ~np.isnan(errors).all(axis=0)
        median = np.full(len(steps), np.nan)
        median[known] = np.nanmedian(errors[:, known], axis=0)
        axis.plot(steps, median, markersize=3, linewidth=1.2, label=KINDS[kind], **look)
        for step in steps[stuck.any(axis=0)]:
            axis.axvline(step + 0.06 * (rank - 2), ymin=0.94, color=look["color"], linewidth=1.2)
    named = str(runs.attrs.get("dataset", "data"))
    count = runs.sizes["seed"]
    who = f"{named}, η = {training['learning_rate']:g}, {count} seed{'s' if count > 1 else ''}"
    axis.set_title(f"{who}\n{_range(runs['multiple'].values)}", fontsize="medium")
    along_run.log_scale(axis)
    axis.set_xticks(steps)
    axis.set_xlabel("steps")


def _range(multiples: along_run.Floats) -> str:
    low, high = f"{multiples.min():.2f}", f"{multiples.max():.2f}"
    return f"ηλ$_{{\\mathrm{{max}}}}$ = {low}" + (f" to {high}" if high != low else "")
