"""Page of a phase study: accuracy over (T, A), and the runs behind each cell (Fig. 1, 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.crossed import half_widths
from dynamical_loss.analysis.draws import DRAW
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.config.training import PhaseSettings, TrainingSettings
from dynamical_loss.explorer.facts import described, facts
from dynamical_loss.explorer.index import LINK
from dynamical_loss.explorer.packed import UNIT, UNKNOWN, sixteen_bits
from dynamical_loss.figures import phase_plane
from dynamical_loss.grid import cell
from dynamical_loss.notation import exact
from dynamical_loss.pages.page import Choice, Page, Plot, Section
from dynamical_loss.results import layout, recorded
from dynamical_loss.results.roles import Wanted

if TYPE_CHECKING:
    import xarray as xr

MEASURES = {"validation_accuracy": "validation accuracy", "train_accuracy": "training accuracy"}
"""Variables that the page can show, with their words."""

ROLES = {"phase": Wanted(("aggregate_phase", "gather_draws"), (*MEASURES, "diverged"))}
"""What the files of each role must be."""

MADE_FROM: Sequence[tuple[str, str]] = ()
"""Pairs of roles: the file of the first was made from that of the second."""

_BINS = 25
_MOST_CURVE_BYTES = 8 * 2**20
_CURVE, _MEAN = "#2b83d3", "#d9730d"


def render(inputs: Mapping[str, Sequence[xr.Dataset]], name: str, options: Mapping[str, Any]) -> Page:
    """Build the page of a phase study.

    Args:
        inputs: files by role; `phase` is one phase diagram.
        name: key of the study under `phase`.
        options: `snakemake`, the command of Snakemake that selects the present configuration, with
            ``{targets}`` where its targets stand; `folder`, its
            folder of results; `study`, its settings of this study; `widths`, addresses of the pages of the
            same study at other widths, by width and name, e.g. ``1000 (spiral_w1000)``.
    """
    diagram, draws = _by_run(inputs["phase"][0])
    settings = recorded.settings_of(diagram)
    periods, amplitudes = diagram["period"].values, diagram["amplitude"].values
    n = diagram.sizes["seed"]
    table, values = _cells(diagram, draws), _runs(diagram)
    heat = _HeatMap(table, periods, amplitudes)
    curves, spread = _Curves(diagram), _Histogram()
    means = table["validation_accuracy_mean"]
    best = int(np.nanargmax(means)) if np.isfinite(means).any() else 0
    return Page(
        title=f"Phase diagram {name}",
        lead=[
            f"{described(settings, diagram.attrs)}. {_counted(settings, n, draws)}",
            "Point at a cell for its numbers. Tap a cell, or choose T and A, to see its runs.",
            *_divergences(diagram),
        ],
        controls=[
            *_widths(settings, options.get("widths", {})),
            Choice("measure", "Show", list(MEASURES.items())),
            Choice("period", "T", [(str(index), str(value)) for index, value in enumerate(periods)]),
            Choice("amplitude", "A", [(str(index), exact(value)) for index, value in enumerate(amplitudes)]),
        ],
        links=[LINK],
        sections=[
            Section(
                "All cells",
                plots=[Plot("heat-map", heat.plot, _description(table, periods, amplitudes, n))],
            ),
            Section(
                "The chosen cell",
                details=["cell"],
                plots=[
                    *curves.shown(),
                    Plot("histogram", spread.plot, "Histogram of the final accuracies of the chosen cell."),
                ],
            ),
        ],
        script=__name__,
        arguments={
            "plots": [heat.plot, *(plot.model for plot in curves.shown()), spread.plot],
            "cells": heat.source,
            "colours": heat.colours,
            "runs": values,
            "n": n,
            "steps": curves.steps,
            "record": curves.record,
            "lines": curves.lines,
            "mean": curves.mean,
            "bars": spread.bars,
            "measures": MEASURES,
            "targets": _targets(diagram, options.get("study"), name, options.get("folder", "results")),
            "snakemake": options.get("snakemake", "snakemake {targets}"),
            "without_curves": _without_curves(diagram),
            "unit": UNIT,
            "unknown": UNKNOWN,
            "chosen": best,
            "many": len(amplitudes),
        },
        facts=facts(inputs),
    )


def _widths(settings: Mapping[str, Any], addresses: Mapping[str, str]) -> list[Choice]:
    """Return the list of widths if the study was made at several widths."""
    if not addresses:
        return []
    own = str(recorded.setting(settings, "model.width"))
    items = [("#", own), *((address, words) for words, address in addresses.items())]
    items.sort(key=lambda item: int(item[1].partition(" ")[0]))
    return [Choice("width", "Width", items, chosen="#", opens=True)]


def _by_run(diagram: xr.Dataset) -> tuple[xr.Dataset, int]:
    """Return a diagram whose dimension ``seed`` holds the runs of a cell, and the number of draws of data.

    The runs of one draw stand together, one for each initial seed.
    """
    if DRAW not in diagram.dims:
        return diagram, 1
    of_runs = diagram[[name for name, variable in diagram.items() if DRAW in variable.dims]]
    stacked = of_runs.rename(seed="initial_seed").stack(seed=(DRAW, "initial_seed"))
    return stacked.transpose("period", "amplitude", "seed", ...), diagram.sizes[DRAW]


def _counted(settings: Mapping[str, Any], n: int, draws: int) -> str:
    if draws == 1:
        own = ", each on a draw of the data of its own" if recorded.setting(settings, "noise_seeds") else ""
        return f"Each cell has {n} run{'s' if n > 1 else ''}, one for each initial seed{own}."
    return (
        f"Each cell has {n} runs: {n // draws} initial seeds on each of {draws} draws of the data. Intervals "
        "hold for new draws and new initial seeds."
    )


def _interval(
    values: npt.NDArray[np.float64], draws: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean and the half width of its 95 % interval, over the last axis, which holds the runs."""
    mean, half_width = student_interval(values)
    if draws == 1:
        return mean, half_width
    return mean, half_widths(values.reshape(*mean.shape, draws, -1))


def _cells(diagram: xr.Dataset, draws: int) -> dict[str, npt.NDArray[Any]]:
    """Return the numbers of each cell, (period · amplitude,) each; the amplitude runs fastest.

    `…_difference` is the mean of the paired differences from the static loss: of runs with equal initial
    seeds on the same draw.  It is NaN without the amplitude 1 in the grid.
    """
    table: dict[str, npt.NDArray[Any]] = {
        "diverged": diagram["diverged"].values.astype(bool).sum(axis=-1).ravel(),
    }
    static = diagram["amplitude"].values == 1.0
    for name in MEASURES:
        values = diagram[name].values.astype(float)
        mean, half_width = _interval(values, draws)
        known = np.isfinite(values)
        table[f"{name}_n"] = known.sum(axis=-1).ravel()
        table[f"{name}_mean"], table[f"{name}_half_width"] = mean.ravel(), half_width.ravel()
        squares = np.where(known, values - mean[..., None], 0.0) ** 2
        freedom = known.sum(axis=-1) - 1
        spread = np.sqrt(squares.sum(axis=-1) / np.where(freedom > 0, freedom, math.nan))
        table[f"{name}_spread"] = spread.ravel()
        without = np.full(mean.size, math.nan)
        table[f"{name}_difference"], table[f"{name}_difference_half_width"] = without, without.copy()
        if static.any():
            difference, width = _interval(values - values[:, static], draws)
            table[f"{name}_difference"] = difference.ravel()
            table[f"{name}_difference_half_width"] = width.ravel()
    return table


def _runs(diagram: xr.Dataset) -> Any:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource({name: diagram[name].values.astype(np.float32).ravel() for name in MEASURES})


class _HeatMap:
    """The heat map: its plot, the source of its cells, and its colour mapper."""

    def __init__(
        self,
        table: Mapping[str, npt.NDArray[Any]],
        periods: npt.NDArray[Any],
        amplitudes: npt.NDArray[Any],
    ) -> None:
        from bokeh.models import ColorBar, ColumnDataSource, FactorRange, HoverTool, LinearColorMapper
        from bokeh.plotting import figure

        rows, columns = [exact(value) for value in amplitudes], [str(value) for value in periods]
        places = [(column, row) for column in columns for row in rows]
        shown = next(iter(MEASURES))
        self.source = ColumnDataSource(
            {
                "T": [column for column, _ in places],
                "A": [row for _, row in places],
                **{name: np.asarray(values, dtype=np.float64) for name, values in table.items()},
                **{key: table[f"{shown}_{key}"].astype(float) for key in _SHOWN},
                "interval": [""] * len(places),
                "gain": [""] * len(places),
                "command": [""] * len(places),
            }
        )
        mean = table[f"{shown}_mean"]
        low, high = (
            (float(np.nanmin(mean)), float(np.nanmax(mean))) if np.isfinite(mean).any() else (0.0, 1.0)
        )
        self.colours = LinearColorMapper(
            palette="Cividis256", low=low, high=max(high, low + 1e-6), nan_color="#8a8f98"
        )
        self.plot: Any = figure(
            height=520,
            sizing_mode="stretch_width",
            x_range=FactorRange(factors=columns),
            y_range=FactorRange(factors=rows),
            x_axis_label="period T, steps",
            y_axis_label="amplitude A",
            tools="tap",
            toolbar_location=None,
        )
        cells = self.plot.rect(
            "T", "A", width=1, height=1, source=self.source, line_color=None,
            fill_color={"field": "mean", "transform": self.colours},
            # All cells keep their colours when one of them is chosen.
            nonselection_fill_alpha=1.0, nonselection_line_color=None,
            selection_line_color="#d6455d", selection_line_width=3,
        )  # fmt: skip
        self.plot.add_tools(
            HoverTool(
                renderers=[cells],
                tooltips=[
                    ("T", "@T"), ("A", "@A"), ("n", "@n"), ("mean", "@interval"),
                    ("standard deviation", "@spread{0.0000}"),
                    ("difference from A = 1, paired by seed", "@gain"),
                    ("diverged runs", "@diverged"), ("command", "@command"),
                ],
            )
        )  # fmt: skip
        self.plot.add_layout(ColorBar(color_mapper=self.colours, width=12, padding=8), "right")
        self.plot.xaxis.major_label_orientation = math.pi / 4
        self.plot.grid.visible = False


_SHOWN = ("n", "mean", "half_width", "spread", "difference", "difference_half_width")
"""Columns of the heat map that the page's script takes from the chosen measure."""


class _Curves:
    """Learning curves of the chosen cell: plot, sources, and the record of all cells."""

    def __init__(self, diagram: xr.Dataset) -> None:
        from bokeh.models import ColumnDataSource, Range1d
        from bokeh.plotting import figure

        self.steps: list[int] = []
        self.record = ColumnDataSource({})
        names = [name for name in MEASURES if f"{name}_curve" in diagram]
        if names:
            count = diagram[f"{names[0]}_curve"].size * 2 * len(names)
            stride = math.ceil(count / _MOST_CURVE_BYTES)
            steps = diagram["step"].values
            kept = np.unique([*range(0, steps.size, stride), steps.size - 1])
            self.steps = [int(step) for step in steps[kept]]
            for name in names:
                curve = diagram[f"{name}_curve"].values[..., kept]
                self.record.data[name] = sixteen_bits(curve).ravel()
        self.lines = ColumnDataSource({"xs": [], "ys": []})
        self.mean = ColumnDataSource({"x": [], "y": []})
        last = float(self.steps[-1]) if self.steps else 1.0
        self.plot: Any = figure(
            height=260,
            sizing_mode="stretch_width",
            x_range=Range1d(start=0, end=max(last, 1.0)),
            y_range=Range1d(start=0, end=1.02),
            x_axis_label="step t",
            y_axis_label="accuracy",
            tools="",
            toolbar_location=None,
        )
        self.plot.multi_line("xs", "ys", source=self.lines, line_color=_CURVE, line_alpha=0.45)
        self.plot.line("x", "y", source=self.mean, line_color=_MEAN, line_width=2.5, legend_label="mean")
        self.plot.legend.location = "bottom_right"
        self.plot.legend.background_fill_alpha = 0.0
        self.plot.legend.border_line_alpha = 0.0
        self.plot.xaxis.ticker.desired_num_ticks = 5

    def shown(self) -> list[Plot]:
        """Return the plot; none if the file keeps no learning curves."""
        words = "Accuracy along each run of the chosen cell, and the mean."
        return [Plot("curves", self.plot, words)] if self.steps else []


class _Histogram:
    """Histogram of the final accuracies of the chosen cell."""

    def __init__(self) -> None:
        from bokeh.models import ColumnDataSource, Range1d
        from bokeh.plotting import figure

        edges = np.linspace(0, 1, _BINS + 1)
        self.bars = ColumnDataSource({"left": edges[:-1], "right": edges[1:], "count": np.zeros(_BINS)})
        self.plot: Any = figure(
            height=200,
            sizing_mode="stretch_width",
            x_range=Range1d(start=0, end=1),
            x_axis_label="accuracy at the end",
            y_axis_label="runs",
            tools="",
            toolbar_location=None,
        )
        self.plot.quad(
            left="left",
            right="right",
            bottom=0,
            top="count",
            source=self.bars,
            fill_color=_CURVE,
            line_color=None,
        )
        self.plot.y_range.start = 0


def _targets(diagram: xr.Dataset, study: Mapping[str, Any] | None, name: str, folder: str) -> list[list[str]]:
    """Return the files that hold the runs of each cell, in the order of the cells.

    The files are targets of Snakemake.  A cell has no files if the present configuration does not have it, or
    trains it with other settings than the diagram shows.
    """
    held: dict[tuple[int | None, float], list[str]] = {}
    present = None if study is None else PhaseSettings.model_validate(study)
    if present is not None and present.training == _training(diagram):
        if present.noise_seeds:
            # Each draw has blocks of its own; the file of all draws makes them all.
            return [[f"{folder}/{layout.phase(name)}"]] * (
                diagram.sizes["period"] * diagram.sizes["amplitude"]
            )
        for block in present.blocks:
            for amplitude in block.amplitudes:
                path = f"{folder}/{layout.phase_block(name, block.name)}"
                held.setdefault((block.period, amplitude), []).append(path)
    return [
        held.get(cell(int(period), float(amplitude)), [])
        for period in diagram["period"].values
        for amplitude in diagram["amplitude"].values
    ]


def _training(diagram: xr.Dataset) -> TrainingSettings | None:
    """Return the settings by which a diagram was trained; None if its network or its keys exist no more."""
    try:
        return PhaseSettings.model_validate(recorded.settings_of(diagram)).training
    except ValueError:
        return None


def _without_curves(diagram: xr.Dataset) -> str:
    """Return why the page shows no learning curves, if the file keeps none."""
    if recorded.PUBLISHED in diagram.attrs:
        return "the published copy keeps none; they come with a study that is computed here"
    return "this file keeps none; set learning_curves: true in the study"


def _divergences(diagram: xr.Dataset) -> list[str]:
    count, total = phase_plane.diverged(diagram)
    if not count:
        return []
    return [
        f"{count} of {total} runs diverged: their loss stopped being a finite number. A run counts with the "
        "accuracy that was recorded at its end, if that is a number."
    ]


def _description(
    table: Mapping[str, npt.NDArray[Any]], periods: npt.NDArray[Any], amplitudes: npt.NDArray[Any], n: int
) -> str:
    mean = table["validation_accuracy_mean"]
    if not np.isfinite(mean).any():
        return "Heat map of accuracies; no run has a finite accuracy."
    best = int(np.nanargmax(mean))
    period, amplitude = periods[best // len(amplitudes)], amplitudes[best % len(amplitudes)]
    return (
        f"Heat map of the mean accuracy of {n} runs over {len(periods)} periods and {len(amplitudes)} "
        f"amplitudes. Validation accuracy lies between {np.nanmin(mean):.3f} and {np.nanmax(mean):.3f}; the "
        f"largest is at T = {period}, A = {exact(amplitude)}."
    )
