# ruff: noqa: N999  (figures of the study of flows have letters of their own)
"""Fig. F4: how far flows are from gradient descent on networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, flow_looks, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.flows.names import KINDS
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _files(config: Configuration) -> list[str]:
    return [
        layout.flow(study, seed)
        for study in config.figures.flows
        for seed in range(config.trajectories[config.flows[study].trajectory].seeds)
    ]


_TRACES = Role("trace_flow", _files)

DECLARATION = Declaration(
    part="flow",
    inputs={"flow": _TRACES},
    settings={
        "flows": Setting(
            Annotated[list[str], Field()], [], "Fig. F4: keys of `flows`; none: no such figure", names="flows"
        )
    },
    evidence={"flow": _TRACES},
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Distance from gradient descent after each step, one panel a study, one thin line a seed and start.

    Thick lines are medians of those that are not stuck. A short line at the upper edge marks each seed and
    start from which a flow is stuck at that step.

    Args:
        inputs: role ``flow``: files of one study or more, one a seed.
        options: none are known.

    Returns:
        A figure as wide as the page.
    """
    studies: dict[str, list[xr.Dataset]] = {}
    for item in inputs["flow"]:
        settings = recorded.settings_of(item)
        settings["trajectory"].pop("seed")
        studies.setdefault(str(settings), []).append(item)
    figure, axes = plt.subplots(1, len(studies), squeeze=False, figsize=(style.PAGE, 2.9))
    for axis, runs in zip(axes[0], studies.values(), strict=True):
        _panel(axis, runs)
    axes[0, 0].set_ylabel("distance from gradient descent")
    style.panel_letters(list(axes[0]))
    handles, labels = max(
        (axis.get_legend_handles_labels() for axis in axes[0]), key=lambda pair: len(pair[1])
    )
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _panel(axis: Axes, runs: list[xr.Dataset]) -> None:
    training = recorded.settings_of(runs[0])["trajectory"]
    kinds = [kind for kind in KINDS if kind in runs[0]["flow"].values]
    steps = np.arange(1, runs[0].sizes["step"])
    for rank, kind in enumerate(kinds):
        look = flow_looks.LOOKS[kind]
        errors = np.concatenate([run["error"].sel(flow=kind).values[:, 1:] for run in runs])
        stuck = np.concatenate([run["stuck"].sel(flow=kind).values[:, 1:] for run in runs]).astype(bool)
        for line in errors:
            axis.plot(steps, line, color=look["color"], linewidth=0.4, alpha=0.5)
        known = ~np.isnan(errors).all(axis=0)
        median = np.full(len(steps), np.nan)
        median[known] = np.nanmedian(errors[:, known], axis=0)
        axis.plot(steps, median, markersize=3, linewidth=1.2, label=KINDS[kind], **look)
        for step in steps[stuck.any(axis=0)]:
            axis.axvline(step + 0.06 * (rank - 2), ymin=0.94, color=look["color"], linewidth=1.2)
    multiples = np.concatenate([run["multiple"].values for run in runs])
    named = str(runs[0].attrs.get("dataset", "data"))
    axis.set_title(f"{named}, η = {training['learning_rate']:g}\n{_range(multiples)}", fontsize="medium")
    along_run.log_scale(axis)
    axis.set_xticks(steps)
    axis.set_xlabel("steps")


def _range(multiples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    low, high = f"{multiples.min():.2f}", f"{multiples.max():.2f}"
    return f"ηλ$_{{\\mathrm{{max}}}}$ = {low}" + (f" to {high}" if high != low else "")
