# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S5: the claims about Fig. 3 to 5, measured under every protocol."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss.errors import UserError
from dynamical_loss.figures import style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mlines, mpatches, plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_VARIABLES = ("protocol", "id", "quantity", "verdict", "measured_value", "limit_lower")

DECLARATION = Declaration(
    part="protocols",
    inputs={
        "protocols": Role(
            "evaluate_protocols",
            lambda config: [layout.PROTOCOLS] if config.protocols else [],
            _VARIABLES,
        )
    },
)

# Verdicts as the file stores them. The module of claims is not imported, because this module is read whenever
# Snakemake starts.
REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "undecided"
_FILLS = {REPRODUCED: "full", CONTRADICTED: "none", UNDECIDED: "left"}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

_ROW = 0.3  # height of a claim's row in inches
_SPREAD = 0.7  # share of a row's height over which its protocols are spread
_HOLDS = "#e3ecd9"
_CHOICE = style.MEASURED_COLOUR

Row = dict[str, Any]


def rows_of(stored: xr.Dataset) -> list[Row]:
    """Return the rows that have a measured value and a verdict, in the order of the file.

    Args:
        stored: dataset that the stage evaluate-protocols wrote.
    """
    names = [str(name) for name, values in stored.data_vars.items() if values.dims == ("row",)]
    rows = [{name: stored[name].values[index] for name in names} for index in range(stored.sizes["row"])]
    return [row for row in rows if row["verdict"] in _FILLS and math.isfinite(row["measured_value"])]


def depends(rows: list[Row]) -> bool:
    """Return whether a claim is reproduced under one protocol and contradicted under another."""
    return {REPRODUCED, CONTRADICTED} <= {row["verdict"] for row in rows}


def looks(rows: list[Row]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each protocol: the colour shows the initialisation, the marker all else."""
    starts = list(dict.fromkeys(row["initialisation"] for row in rows))
    found: dict[str, tuple[str, str]] = {}
    seen: dict[str, int] = {}
    for row in rows:
        name = row["protocol"]
        if name in found:
            continue
        start = row["initialisation"]
        found[name] = (
            style.CLASS_COLOURS[starts.index(start) % len(style.CLASS_COLOURS)],
            _MARKERS[seen.get(start, 0) % len(_MARKERS)],
        )
        seen[start] = seen.get(start, 0) + 1
    return found


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw one panel for each quantity, with one row for each claim and one mark for each protocol.

    Args:
        inputs: one file of the role ``protocols``, with the variables of evaluate-protocols over (row).
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page. In each row the claim holds in the shaded range, the black stroke is the
        paper's value, and a filled mark is a protocol that reproduces the claim.

    Raises:
        UserError: if the file has no rows.
    """
    stored = inputs["protocols"][0]
    if stored.sizes["row"] == 0:
        raise UserError(
            "Fig. S5 needs a claim that is tested under a protocol; add a protocol under `protocols`"
        )
    rows = rows_of(stored)
    panels: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        panels.setdefault(row["quantity"], {}).setdefault(row["id"], []).append(row)
    if not panels:
        return _empty(stored)
    appearance = looks(rows)
    columns = _columns({name: len(claims) for name, claims in panels.items()})
    heights = [[len(panels[name]) for name in column] for column in columns]
    tallest = max(sum(height) + 1.6 * len(height) for height in heights)
    figure = plt.figure(figsize=(style.PAGE, _ROW * tallest + 1.0))
    axes = []
    for side, part in zip(columns, figure.subfigures(1, len(columns), squeeze=False)[0], strict=True):
        drawn = part.subplots(len(side), 1, squeeze=False, height_ratios=[len(panels[n]) + 0.6 for n in side])
        for axis, name in zip(drawn[:, 0], side, strict=True):
            _panel(axis, name, panels[name], appearance)
            axes.append(axis)
    style.panel_letters(axes)
    _key(figure, appearance)
    return figure


def _filled(fill: str) -> dict[str, Any]:
    """Return the style of a mark's filling. Empty parts are white, so that the bar behind is hidden."""
    if fill == "none":
        return {"markerfacecolor": "white"}
    return {"fillstyle": fill, "markerfacecoloralt": "white"}


def _columns(sizes: dict[str, int]) -> list[list[str]]:
    """Divide the quantities into two columns of about equal height, in their order."""
    if len(sizes) == 1:
        return [list(sizes)]
    names, total = list(sizes), sum(sizes.values()) + 1.6 * len(sizes)
    cut = min(
        range(1, len(names)),
        key=lambda count: abs(2 * sum(sizes[name] + 1.6 for name in names[:count]) - total),
    )
    return [names[:cut], names[cut:]]


def _panel(
    axis: Axes, quantity: str, claims: dict[str, list[Row]], appearance: dict[str, tuple[str, str]]
) -> None:
    low, high = _span([row for rows in claims.values() for row in rows])
    order = list(appearance)
    for line, rows in enumerate(claims.values()):
        lower, upper = max(rows[0]["limit_lower"], low), min(rows[0]["limit_upper"], high)
        if lower < upper:
            axis.fill_betweenx([line - 0.46, line + 0.46], lower, upper, color=_HOLDS, linewidth=0, zorder=0)
        if math.isfinite(rows[0]["paper_value"]):
            value = rows[0]["paper_value"]
            axis.plot([value] * 2, [line - 0.46, line + 0.46], color="black", linewidth=1.2, zorder=1)
        present = sorted(rows, key=lambda row: order.index(row["protocol"]))
        for index, row in enumerate(present):
            place = line + _SPREAD * ((index + 0.5) / len(present) - 0.5)
            colour, marker = appearance[row["protocol"]]
            value = row["measured_value"]
            ends = np.array([[value - row["interval_lower"]], [row["interval_upper"] - value]])
            axis.errorbar(
                [value],
                [place],
                xerr=np.nan_to_num(np.maximum(ends, 0.0)),
                color=colour,
                marker=marker,
                markersize=3.4,
                markeredgewidth=0.7,
                **_filled(_FILLS[row["verdict"]]),
                elinewidth=0.7,
                zorder=3,
            )
    axis.set_ylim(len(claims) - 0.4, -0.6)
    axis.set_xlim(low, high)
    axis.set_yticks(range(len(claims)), [name.replace("_", " ") for name in claims])
    for label, rows in zip(axis.get_yticklabels(), claims.values(), strict=True):
        label.set_color(_CHOICE if depends(rows) else "black")
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(quantity)


def _span(rows: list[Row]) -> tuple[float, float]:
    """Return the range of all values that are drawn, with a margin."""
    values = [
        row[name]
        for row in rows
        for name in (
            "measured_value",
            "interval_lower",
            "interval_upper",
            "paper_value",
            "limit_lower",
            "limit_upper",
        )
        if math.isfinite(row[name])
    ]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


def _key(figure: Figure, appearance: dict[str, tuple[str, str]]) -> None:
    def mark(label: str, colour: str, marker: str, fill: Any = "full") -> Line2D:
        return mlines.Line2D(
            [],
            [],
            linestyle="none",
            color=colour,
            marker=marker,
            markersize=3.4,
            **_filled(fill),
            label=label,
        )

    handles: list[Any] = [
        mark(name.replace("_", " "), colour, marker) for name, (colour, marker) in appearance.items()
    ]
    handles += [mark(verdict, "0.3", "o", fill) for verdict, fill in _FILLS.items()]
    handles += [
        mpatches.Patch(color=_HOLDS, label="the claim holds"),
        mlines.Line2D([], [], color="black", linewidth=1.2, label="paper's or theory's value"),
        mlines.Line2D([], [], linestyle="none", label="purple name: a choice decides"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, columnspacing=1.0)


def _empty(stored: xr.Dataset) -> Figure:
    """Draw a figure that says that no claim could be tested."""
    figure = plt.figure(figsize=(style.PAGE, 1.2))
    count = len(set(map(str, stored["id"].values)))
    figure.text(0.5, 0.5, f"none of {count} claims could be tested at this scale", ha="center", va="center")
    return figure
