# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. F1: how well flows approximate gradient descent on losses with a closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.figures import flow_looks, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.flows.names import KINDS
from dynamical_loss.results import layout

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KNOWN = Role("trace_known_losses", lambda config: [layout.KNOWN_LOSSES], ("path_error",))

DECLARATION = Declaration(
    part="flow",
    inputs={"known": _KNOWN},
    evidence={"known": _KNOWN},
)

_SMALLEST = 1e-8  # smallest error that is drawn; smaller ones are errors of the integrator


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw coefficients (a), paths on a quadratic (b to d), and errors of single steps (e, f).

    The losses of (e) and (f) are not quadratic. In these panels a short line at the upper edge marks a step
    in which a flow was stuck, i.e. could not be integrated.

    Args:
        inputs: one file of the role ``known``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    stored = inputs["known"][0]
    figure, axes = plt.subplots(2, 3, figsize=(style.PAGE, 4.6))
    _coefficients(axes[0, 0], stored)
    for index, axis in zip(range(stored.sizes["path"]), (axes[0, 1], axes[0, 2], axes[1, 0]), strict=True):
        _path(axis, stored.isel(path=index))
    for name, axis in zip(stored["loss"].values, axes[1, 1:], strict=True):
        _errors(axis, stored.sel(loss=name), str(name))
    style.panel_letters(list(axes.ravel()))
    named = [axis.get_legend_handles_labels() for axis in (axes[1, 0], axes[1, 1])]
    handles, labels = ([*first, *second] for first, second in zip(*named, strict=True))
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _coefficients(axis: Axes, stored: xr.Dataset) -> None:
    x = stored["curvature"].values
    # A line must not be drawn across the pole.
    gap = np.searchsorted(x, 1.0)
    for kind in KINDS:
        if kind == "principal_and_next":
            continue  # this flow has the same coefficient as the principal flow
        for part, look in (("real", "-"), ("imaginary", ":")):
            values = stored[f"coefficient_{part}"].sel(flow=kind).values
            shown = values if part == "real" else np.where(values == 0, np.nan, values)
            for piece in (slice(gap), slice(gap, None)):
                axis.plot(x[piece], shown[piece], look, color=flow_looks.LOOKS[kind]["color"], linewidth=1.1)
    axis.axhline(0.0, color="0.85", linewidth=0.6, zorder=0)
    for place in (1, 2):
        axis.axvline(place, color="0.85", linewidth=0.6, zorder=0)
    axis.set_xlim(-1, 5)
    axis.set_ylim(-4, 3.3)
    axis.set_xlabel(r"$h\lambda$")
    axis.set_ylabel("coefficient α (dotted: Im)")


def _path(axis: Axes, stored: xr.Dataset) -> None:
    steps = np.arange(stored.sizes["step"])
    for kind in ("gradient", "regularised", "principal"):
        values = stored["path_real"].sel(flow=kind).isel(coordinate=0)
        axis.plot(steps, values, color=flow_looks.LOOKS[kind]["color"], linewidth=1.1)
    descent = stored["path_descent"].isel(coordinate=0)
    axis.plot(
        steps,
        descent,
        linestyle="none",
        marker="o",
        markersize=4,
        markerfacecolor="none",
        color="black",
        label="gradient descent",
    )
    axis.set_title(rf"$h\lambda_{{\max}}$ = {float(stored['path_sharpness']):g}", fontsize="medium")
    axis.set_xlabel("step")
    axis.set_ylabel("sharp coordinate")


def _errors(axis: Axes, stored: xr.Dataset, name: str) -> None:
    for rank, (kind, words) in enumerate(KINDS.items()):
        values = stored["error"].sel(flow=kind)
        shown = values.where(values > _SMALLEST)
        look = flow_looks.LOOKS[kind]
        axis.plot(
            stored["sharpness"],
            shown,
            markersize=2.5,
            linewidth=0.9,
            label=words,
            color=look["color"],
            marker=look["marker"],
        )
        stuck = stored["sharpness"].values[stored["stuck"].sel(flow=kind).values.astype(bool)]
        for place in stuck:
            # A stuck flow has no error that could be drawn.
            axis.axvline(place + 0.012 * (rank - 3), ymin=0.93, color=look["color"], linewidth=1.2)
    axis.set_yscale("log")
    axis.axvline(2.0, color="0.85", linewidth=0.6, zorder=0)
    axis.set_title(name, fontsize="medium")
    axis.set_xlabel(r"$h\lambda_{\max}$ at the start")
    axis.set_ylabel("error of one step")
