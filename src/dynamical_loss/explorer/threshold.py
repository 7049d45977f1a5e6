"""Page of a threshold study: λ_th against the learning rate; each point opens its run (Fig. 5a)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss import grid
from dynamical_loss.analysis.threshold_study import DEFINITIONS
from dynamical_loss.config.analysis import InstabilitySettings
from dynamical_loss.explorer.facts import facts
from dynamical_loss.explorer.index import LINK
from dynamical_loss.notation import exact
from dynamical_loss.pages.page import Choice, Link, Page, Plot, Section, Table
from dynamical_loss.results import recorded
from dynamical_loss.results.roles import Wanted

if TYPE_CHECKING:
    import xarray as xr

ROLES = {
    "threshold": Wanted(
        "fit_threshold",
        (
            "threshold_by_definition",
            "threshold",
            "tested",
            "unstable_periods",
            "exponent",
            "exponent_interval",
            "prefactor",
            "fit_n",
        ),
    )
}
"""What the files of each role must be."""

MADE_FROM: Sequence[tuple[str, str]] = ()
"""Pairs of roles: the file of the first was made from that of the second."""

_COLOURS = ("#2b83d3", "#d9730d", "#0f9d75", "#d6455d", "#b565b0")
_MARKS = ("circle", "square", "triangle", "diamond", "inverted_triangle")


def render(inputs: Mapping[str, Sequence[xr.Dataset]], name: str, options: Mapping[str, Any]) -> Page:
    """Build the page of a threshold study.

    Args:
        inputs: files by role; `threshold` is one file of thresholds.
        name: key of the study under `threshold`.
        options: `study`, the key of the study whose runs these are (by default `name`); `runs`, addresses of
            the pages of runs, by name of the run.
    """
    study = inputs["threshold"][0]
    title, name, runs = name, options.get("study", name), options.get("runs", {})
    drawing = _Drawing(study, name, runs)
    definitions = [str(value) for value in study["definition"].values]
    return Page(
        title=f"Threshold of instability: {title}",
        lead=[
            f"{len(_tested(study))} runs; widths {_listed(study['width'])}; learning rates "
            f"{_listed(study['learning_rate'])}.",
            "λ_th is the largest Hessian eigenvalue at which a run becomes unstable. The list tells how it "
            "is read from the instabilities of a run.",
            "Each point is one run; tap it, or follow its link in the table, to open the run. A run without "
            "a link has no page yet. Points of different seeds are moved apart a little along the axis of η. "
            "The dotted line is 2/η. A solid line is the fitted power law λ_th = c η^p of one width.",
            *_reading(study),
        ],
        controls=[Choice("definition", "λ_th by", _definitions(definitions))],
        links=[LINK],
        sections=[
            Section(
                "λ_th against the learning rate η",
                plots=[Plot("threshold", drawing.plot, _description(study))],
            ),
            Section("Power laws", tables=[_fits(study, definitions)]),
            Section("Runs", tables=[_runs(study, name, runs)], wide=True),
        ],
        script=__name__,
        arguments={
            "plots": [drawing.plot],
            "points": drawing.points,
            "fits": drawing.fits,
            "known": {one: drawing.known(one) for one in definitions},
        },
        facts=facts(inputs),
    )


def _reading(study: xr.Dataset) -> list[str]:
    """Return how instabilities were found, if not by the default settings."""
    usual = InstabilitySettings()
    found = InstabilitySettings.stated(recorded.settings_of(study).get("reading", {}))
    changed = [
        f"{name} = {value}" for name, value in found.model_dump().items() if value != getattr(usual, name)
    ]
    if not changed:
        return []
    return [
        f"The instabilities of these runs were found with {', '.join(changed)}. Where the list says 0.1/η or "
        "outside, these settings hold instead. The pages of the runs show the instabilities that are found "
        "with the default settings."
    ]


def _definitions(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, DEFINITIONS.get(name, name)) for name in names]


def _listed(values: xr.DataArray) -> str:
    return ", ".join(exact(float(value)) for value in values.values)


def _tested(study: xr.Dataset) -> list[tuple[int, int, int]]:
    """Return the indices (learning rate, width, seed) of all runs of the study."""
    return [tuple(map(int, place)) for place in np.argwhere(study["tested"].values)]  # type: ignore[misc]


class _Drawing:
    """The plot of thresholds with its sources."""

    def __init__(self, study: xr.Dataset, name: str, runs: Mapping[str, str]) -> None:
        from bokeh.models import ColumnDataSource, HoverTool
        from bokeh.plotting import figure

        self._study = study
        rates, widths, seeds = (study[key].values for key in ("learning_rate", "width", "seed"))
        first = str(study["definition"].values[0])
        places = _tested(study)
        self.plot: Any = figure(
            height=460,
            sizing_mode="stretch_width",
            x_axis_type="log",
            y_axis_type="log",
            x_axis_label="learning rate η",
            y_axis_label="threshold λ_th",
            tools="tap",
            toolbar_location=None,
        )
        ends = np.array([rates.min() / 1.3, rates.max() * 1.3])
        self.plot.line(
            ends, 2 / ends, line_dash="dotted", line_color="#7d8590", line_width=2, legend_label="2/η"
        )
        self.points, self.fits, marks = [], [], []
        for index, width in enumerate(widths):
            colour = _COLOURS[index % len(_COLOURS)]
            chosen = [place for place in places if place[1] == index]
            # Runs of the same learning rate would cover each other.
            apart = min(0.02, 0.1 / len(seeds))
            shift = [1 + apart * (place[2] - (len(seeds) - 1) / 2) for place in chosen]
            source = ColumnDataSource(
                {
                    "x": [float(rates[place[0]]) * by for place, by in zip(chosen, shift, strict=True)],
                    "y": self._values(first, index),
                    "rate": [exact(float(rates[place[0]])) for place in chosen],
                    "width": [int(width)] * len(chosen),
                    "seed": [int(seeds[place[2]]) for place in chosen],
                    "page": [runs.get(_run(study, name, place), "") for place in chosen],
                }
            )
            self.points.append(source)
            marks.append(
                self.plot.scatter(
                    "x", "y", source=source, size=11, marker=_MARKS[index % len(_MARKS)], color=colour,
                    fill_alpha=0.6, legend_label=f"width {int(width)}", nonselection_fill_alpha=0.6,
                )
            )  # fmt: skip
            fit = ColumnDataSource({"x": ends, "y": self._law(first, index, ends)})
            self.fits.append(fit)
            self.plot.line("x", "y", source=fit, line_color=colour)
        hover = [("η", "@rate"), ("width", "@width"), ("seed", "@seed"), ("λ_th", "@y{0.000}")]
        self.plot.add_tools(HoverTool(renderers=marks, tooltips=hover))
        self.plot.legend.background_fill_alpha, self.plot.legend.border_line_alpha = 0.0, 0.0
        self._ends = ends

    def known(self, definition: str) -> dict[str, list[list[float]]]:
        """Return the ordinates of points and of fitted lines by one definition of λ_th, for each width."""
        widths = range(self._study.sizes["width"])
        return {
            "points": [self._values(definition, index) for index in widths],
            "fits": [self._law(definition, index, self._ends) for index in widths],
        }

    def _values(self, definition: str, width: int) -> list[float]:
        table = self._study["threshold_by_definition"].sel(definition=definition).values
        return [float(table[place]) for place in _tested(self._study) if place[1] == width]

    def _law(self, definition: str, width: int, rates: Any) -> list[float]:
        chosen = self._study.sel(definition=definition).isel(width=width)
        return [float(chosen["prefactor"]) * float(rate) ** float(chosen["exponent"]) for rate in rates]


def _run(study: xr.Dataset, name: str, place: tuple[int, int, int]) -> str:
    rate, width, seed = place
    return grid.threshold_run(
        name,
        int(study["width"].values[width]),
        float(study["learning_rate"].values[rate]),
        int(study["seed"].values[seed]),
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "not known"


def _runs(study: xr.Dataset, name: str, runs: Mapping[str, str]) -> Table:
    rows: list[list[str | Link]] = []
    for place in _tested(study):
        run = _run(study, name, place)
        values = study["threshold_by_definition"].values[(slice(None), *place)]
        unstable = int(study["unstable_periods"].values[(0, *place)])
        rows.append(
            [Link(run, runs[run]) if run in runs else run, *map(_number, map(float, values)), str(unstable)]
        )
    names = [str(value) for value in study["definition"].values]
    words = [f"λ_th: {text}" for _, text in _definitions(names)]
    columns = ["Run", *words, "Periods with an instability, by the paper's rule"]
    return Table("Each run of the study.", columns, rows)


def _fits(study: xr.Dataset, definitions: Sequence[str]) -> Table:
    rows: list[list[str | Link]] = []
    for definition, text in _definitions(definitions):
        for width in study["width"].values:
            chosen = study.sel(definition=definition, width=width)
            low, high = (float(value) for value in chosen["exponent_interval"].values)
            exponent = float(chosen["exponent"])
            known = f"{exponent:.3f} [{low:.3f}, {high:.3f}]" if math.isfinite(exponent) else "too few runs"
            rows.append([text, str(int(width)), known, str(int(chosen["fit_n"]))])
    return Table("Exponents p with 95 % intervals.", ["λ_th by", "Width", "p", "n"], rows)


def _description(study: xr.Dataset) -> str:
    values = study["threshold"].values
    known = values[np.isfinite(values)]
    if not known.size:
        return "Threshold against learning rate; no run has an instability."
    return (
        f"Threshold against learning rate, both axes logarithmic: {known.size} runs at "
        f"{study.sizes['learning_rate']} learning rates, λ_th between {known.min():.3g} and "
        f"{known.max():.3g}."
    )
