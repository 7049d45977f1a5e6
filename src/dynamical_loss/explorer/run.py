"""Page of one run: weights, loss, accuracy and curvature on one time axis, down to single steps (Fig. 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.event_table import events_of
from dynamical_loss.analysis.events import LOSS_RULE, SHARPNESS_RULE, Event
from dynamical_loss.analysis.stability import stability_bound
from dynamical_loss.explorer.facts import described, facts
from dynamical_loss.explorer.index import LINK
from dynamical_loss.explorer.packed import UNIT, UNKNOWN, sixteen_bits
from dynamical_loss.notation import exact
from dynamical_loss.pages.page import Button, Choice, Key, Link, Page, Plot, Section, Table
from dynamical_loss.results import recorded
from dynamical_loss.results.roles import Wanted

if TYPE_CHECKING:
    import xarray as xr
    from bokeh.models import ColumnDataSource

ROLES = {
    "trajectory": Wanted(
        "train_trajectory",
        ("class_weight", "weighted_loss", "train_accuracy", "validation_accuracy", "diverged"),
    ),
    "spectrum": Wanted("probe_spectrum", is_needed=False),
    "instabilities": Wanted("find_instabilities", is_needed=False),
}
"""What the files of each role must be."""

MADE_FROM = (("spectrum", "trajectory"), ("instabilities", "trajectory"))
"""Pairs of roles: the file of the first was made from that of the second."""

EVEN, ODD = "#2b83d3", "#d9730d"
"""Colours of even and odd steps; both have enough contrast on white and on black."""

_CLASSES = (
    "#2b83d3", "#d9730d", "#0f9d75", "#d6455d", "#b565b0",
    "#a6703b", "#c2679f", "#7d8590", "#8f8a00", "#2797b8",
)  # fmt: skip
_THRESHOLD = "#7b7b7b"
_START, _FINISH = "#2c9c4f", "#dc4650"
_MOST_MODES = 3


def render(inputs: Mapping[str, Sequence[xr.Dataset]], name: str, options: Mapping[str, Any]) -> Page:
    """Build the page of a run.

    Args:
        inputs: files by role; `trajectory` is needed, `spectrum` and `instabilities` may be missing.
        name: name of the run.
        options: `seeds`, addresses of the pages of the same run with other initial seeds, by seed.
    """
    trajectory = inputs["trajectory"][0]
    spectrum, table = (next(iter(inputs.get(role, ())), None) for role in ("spectrum", "instabilities"))
    settings = recorded.settings_of(trajectory)
    period = int(settings["period"])
    steps = trajectory["step"].values
    paper, second = (
        ([], []) if table is None else (events_of(table, SHARPNESS_RULE), events_of(table, LOSS_RULE))
    )
    drawing = _Drawing(steps, trajectory, spectrum, paper, second)
    drawing.class_weights()
    drawing.of_steps("loss", "Dynamical loss F(t)", "loss", "weighted_loss")
    distance = spacing(steps)
    drawing.of_steps("increment", f"F(t) − F(t − {distance})", "increment", "weighted_loss_increment")
    drawing.accuracies()
    drawing.hessian(settings)
    drawing.ntk()
    drawing.number_steps()
    return Page(
        title=f"Run {name}",
        lead=[
            f"Period T = {period} steps, amplitude A = {exact(float(settings['amplitude']))}, seed "
            f"{settings['seed']}, {int(steps[-1])} steps; {described(settings, trajectory.attrs)}.",
            *_divergence(trajectory),
            "All plots share one axis of steps: turn the wheel to zoom, drag to move, or use the buttons. "
            + _parities_in_words(steps),
            *_legend(paper, second),
        ],
        controls=[
            *_seeds(settings, options.get("seeds", {})),
            Button("whole", "Whole run"),
            Button("previous-cascade", "◀ Cascade"),
            Button("next-cascade", "Cascade ▶"),
            Button("previous-event", "◀ Instability"),
            Button("next-event", "Instability ▶"),
            Button("out", "Zoom out"),
            Button("in", "Zoom in"),
        ],
        links=[LINK],
        sections=[Section(plots=drawing.plots, wide=True), *_tables(paper, second)],
        script=__name__,
        arguments={
            "range": drawing.range,
            "plots": [plot.model for plot in drawing.plots],
            "series": drawing.series,
            "events": sorted(map(_span, [*paper, *second]), key=sum),
            "cascades": sorted(_cascades([*paper, *second]), key=sum),
            "unknown": UNKNOWN,
        },
        facts=facts(inputs),
    )


def _seeds(settings: Mapping[str, Any], addresses: Mapping[str, str]) -> list[Choice]:
    """Return the list of seeds if the run was repeated with other initial seeds."""
    if not addresses:
        return []
    own = ("#", str(settings["seed"]))
    items = sorted(
        [own, *((address, seed) for seed, address in addresses.items())], key=lambda item: int(item[1])
    )
    return [Choice("seed", "Seed", items, chosen="#", opens=True)]


def _divergence(trajectory: xr.Dataset) -> list[str]:
    if not int(trajectory["diverged"]):
        return []
    loss = trajectory["weighted_loss"].values
    first = int(trajectory["step"].values[int(np.argmin(np.isfinite(loss)))])
    return [f"This run diverged: from step {first} on, its loss is no finite number and is not drawn."]


def _legend(paper: Sequence[Event], second: Sequence[Event]) -> list[str]:
    if not paper and not second:
        return ["No instability was found along this run, or none was looked for."]
    return [
        f"Green and red lines: start and finish of the {len(paper)} instabilities by the paper's rule, which "
        f"reads λ_max. Grey bands: the {len(second)} instabilities by the second rule, which reads the loss."
    ]


def _span(event: Event) -> list[float]:
    first = event.start if event.onset is None else min(event.onset, event.start)
    return [float(first), float(event.finish)]


def _cascades(events: Sequence[Event]) -> list[list[float]]:
    """Return first and last step of each cascade, which is all instabilities of one period."""
    spans: dict[int, list[float]] = {}
    for event in events:
        first, last = _span(event)
        known = spans.setdefault(event.period_index, [first, last])
        spans[event.period_index] = [min(known[0], first), max(known[1], last)]
    return list(spans.values())


def _tables(paper: Sequence[Event], second: Sequence[Event]) -> list[Section]:
    rows: list[list[str | Link]] = []
    for rule, events in (("λ_max (paper)", paper), ("loss", second)):
        for event in events:
            first, last = _span(event)
            window = Link(f"{int(first)}–{int(last)}", f"#steps={_padded(first, last)}")
            peak = event.peak_sharpness
            rows.append(
                [
                    window,
                    rule,
                    "yes" if event.finished else "no",
                    f"{peak:.3g}" if math.isfinite(peak) else "not probed",
                ]
            )
    if not rows:
        return []
    caption = "Instabilities of this run. Each link shows its steps in the plots."
    return [
        Section("Instabilities", tables=[Table(caption, ["Steps", "Rule", "Finished", "Peak λ_max"], rows)])
    ]


def _padded(first: float, last: float) -> str:
    margin = max(10, round(0.25 * (last - first)))
    return f"{max(0, int(first) - margin)}-{int(last) + margin}"


def spacing(steps: npt.NDArray[Any]) -> int:
    """Return the most frequent distance between neighbouring steps; 1 if there is a single step.

    Examples:
        >>> spacing(np.array([0, 25, 50, 60, 75, 100]))
        25
    """
    distances, counts = np.unique(np.diff(steps), return_counts=True)
    return int(distances[counts.argmax()]) if distances.size else 1


def parities(steps: npt.NDArray[Any]) -> tuple[int | None, ...]:
    """Return 0 and 1 if even and odd steps are two lines, or None for one line.

    They are two lines if the steps alternate between even and odd ones, so that both see the whole run.
    """
    return (0, 1) if spacing(steps) % 2 else (None,)


def _parities_in_words(steps: npt.NDArray[Any]) -> str:
    if parities(steps) == (None,):
        return f"Records are {spacing(steps)} steps apart, so they see only one branch of an alternation."
    return "The lines for even and odd steps coincide unless the quantity alternates from step to step."


class _Drawing:
    """The plots of a run, with the records that the page's script draws from."""

    def __init__(
        self,
        steps: npt.NDArray[np.int64],
        trajectory: xr.Dataset,
        spectrum: xr.Dataset | None,
        paper: Sequence[Event],
        second: Sequence[Event],
    ) -> None:
        from bokeh.models import ColumnDataSource, Range1d

        self._trajectory, self._spectrum = trajectory, spectrum
        first, last = float(steps[0]), float(max(steps[-1], steps[0] + 1))
        self.range = Range1d(
            start=first, end=last, bounds=(first, last), min_interval=min(10.0, last - first)
        )
        loss = trajectory["weighted_loss"].values
        # Snapshots add records between the regular ones, which are no increments over the same distance.
        increments = np.diff(loss, prepend=np.nan)
        increments[np.diff(steps, prepend=steps[0] - spacing(steps)) != spacing(steps)] = np.nan
        self._steps = ColumnDataSource(
            {
                "x": steps.astype(np.int32),
                "weighted_loss": loss.astype(np.float32),
                # In single precision the difference of two losses would be noise late in the run.
                "weighted_loss_increment": increments.astype(np.float32),
                **{
                    name: sixteen_bits(trajectory[name].values)
                    for name in ("train_accuracy", "validation_accuracy")
                },
            }
        )
        self._events = {
            "start": ColumnDataSource({"x": [float(event.start) for event in paper]}),
            "finish": ColumnDataSource({"x": [float(event.finish) for event in paper if event.finished]}),
            "band": ColumnDataSource(
                {
                    "x0": [_span(event)[0] for event in second],
                    "x1": [_span(event)[1] for event in second],
                }
            ),
        }
        self.plots: list[Plot] = []
        self._keys: dict[str, Key] = {}
        self.series: list[dict[str, Any]] = []

    def class_weights(self) -> None:
        """Draw Γ_i(t), one line for each class."""
        plot = self._panel("Γ_i(t)")
        weights = self._trajectory["class_weight"].values
        largest = max(float(np.nanmax(weights)), 1.0)
        for index in range(weights.shape[1]):
            column = f"class_weight_{index}"
            self._steps.data[column] = sixteen_bits(weights[:, index] / largest)
            # The figures number the classes from 1 too.
            words = f"class {index + 1}"
            self._line(plot, self._steps, column, _CLASSES[index % len(_CLASSES)], words, unit=largest)
        self._add(
            "class-weights", plot, f"Weights of {weights.shape[1]} classes; the largest is {largest:.4g}."
        )

    def of_steps(self, name: str, label: str, words: str, column: str) -> None:
        """Draw a quantity of every record, with one line for even and one for odd steps."""
        plot = self._panel(label)
        for parity in parities(self._steps.data["x"]):
            self._parity(plot, self._steps, column, parity, "all steps")
        values = np.asarray(self._steps.data[column], dtype=float)
        self._add(name, plot, f"{words.capitalize()} along the run{_ends(values)}")

    def accuracies(self) -> None:
        """Draw the accuracies; even and odd steps of each are two lines."""
        plot = self._panel("Accuracy")
        words = []
        for column, dash, label in (
            ("train_accuracy", "solid", "training"),
            ("validation_accuracy", "dashed", "validation"),
        ):
            # The colours of even and odd steps are named above the other plots.
            for parity in parities(self._steps.data["x"]):
                self._line(plot, self._steps, column, (EVEN, ODD)[parity or 0], label, dash, parity)
            words.append(f"{label} ends at {float(self._trajectory[column].values[-1]):.3f}")
        self._add("accuracy", plot, f"Accuracies along the run: {', '.join(words)}.")

    def hessian(self, settings: Mapping[str, Any]) -> None:
        """Draw the largest eigenvalues of the Hessian with 2/η."""
        if (plot := self._probed("Hessian eigenvalues", "hessian_eigenvalue")) is None:
            return
        shown = self._of_snapshots(plot, "hessian_eigenvalue", "λ")
        words = self._threshold(plot, settings)
        self._add("hessian", plot, f"Largest Hessian eigenvalue{_ends(shown)} {words}")

    def _threshold(self, plot: Any, settings: Mapping[str, Any]) -> str:
        """Draw 2/η, or 2/η(t) if the learning rate changes, and return it in words."""
        from bokeh.models import Span

        if "learning_rate" in self._trajectory:
            rates = self._trajectory["learning_rate"].values.astype(float)
        elif settings.get("learning_rate_schedule") or recorded.setting(settings, "learning_rate_rule.cap"):
            return "The learning rate changes along the run and was not recorded, so 2/η is not drawn."
        else:
            rates = np.array([float(settings["learning_rate"])])
        bound = stability_bound(rates)
        bound[~np.isfinite(bound)] = math.nan  # where η is 0, or after a divergence
        found = np.unique(bound[np.isfinite(bound)])
        if found.size != 1:
            self._steps.data["two_over_rate"] = bound.astype(np.float32)
            self._line(plot, self._steps, "two_over_rate", _THRESHOLD, "2/η(t)", "dotted")
            return f"The dotted line is 2/η(t){_ends(bound)}"
        plot.add_layout(Span(location=found[0], dimension="width", line_dash="dotted", line_color=_THRESHOLD))
        words = f"2/η = {found[0]:.4g}"
        self._keys[words] = Key(words, _THRESHOLD, "dotted")
        return f"The dotted line is {words}."

    def ntk(self) -> None:
        """Draw the largest eigenvalues of the neural tangent kernel."""
        if (plot := self._probed("NTK eigenvalues", "ntk_eigenvalue")) is None:
            return
        ink = self._of_snapshots(plot, "ntk_eigenvalue", "NTK")
        self._add("ntk", plot, f"Largest eigenvalue of the neural tangent kernel{_ends(ink)}")

    def number_steps(self) -> None:
        """Write the numbers of steps below the last plot alone; drawing text costs most of a move's time."""
        for plot in self.plots[:-1]:
            plot.model.xaxis.visible = False
        self.plots[-1].model.height += 40
        self.plots[-1].model.xaxis.axis_label = "minimisation step t"

    def _probed(self, label: str, variable: str) -> Any | None:
        found = self._spectrum
        if found is None or variable not in found or not np.isfinite(found[variable].values[:, 0]).any():
            return None
        return self._panel(label, logarithmic=True)

    def _of_snapshots(self, plot: Any, variable: str, label: str) -> npt.NDArray[np.float64]:
        from bokeh.models import ColumnDataSource

        spectrum = self._spectrum
        assert spectrum is not None
        # A logarithmic axis cannot show the others.
        values = spectrum[variable].values.astype(float)
        values = np.where(values > 0, values, math.nan)
        modes = min(values.shape[1], _MOST_MODES)
        columns = {f"mode_{mode}": values[:, mode].astype(np.float32) for mode in range(modes)}
        source = ColumnDataSource({"x": spectrum["snapshot_step"].values.astype(np.int32), **columns})
        for mode in reversed(range(1, modes)):
            self._line(plot, source, f"mode_{mode}", "#8a8f98", f"{label}_{mode + 1}")
        for parity in parities(source.data["x"]):
            self._parity(plot, source, "mode_0", parity, f"{label}_1")
        return np.asarray(values[:, 0])

    def _panel(self, label: str, *, logarithmic: bool = False) -> Any:
        from bokeh.models import NumeralTickFormatter, Range1d
        from bokeh.plotting import figure

        plot: Any = figure(
            height=150,
            sizing_mode="stretch_width",
            x_range=self.range,
            y_range=Range1d(),  # the script fits it to what is drawn
            y_axis_type="log" if logarithmic else "linear",
            y_axis_label=label,
            tools="xpan,xwheel_zoom,xbox_zoom",
            active_drag="xpan",
            active_scroll="xwheel_zoom",
            toolbar_location=None,
            min_border_left=76,
            lod_threshold=None,
        )
        plot.yaxis.ticker.desired_num_ticks = 4
        plot.xaxis.ticker.desired_num_ticks = 5
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
        plot.vstrip(
            x0="x0",
            x1="x1",
            source=self._events["band"],
            fill_color="#8a8f98",
            fill_alpha=0.25,
            line_color=None,
        )
        for key, colour, dash in (("start", _START, "dashed"), ("finish", _FINISH, "dotted")):
            plot.vspan(x="x", source=self._events[key], line_color=colour, line_dash=dash, line_alpha=0.7)
        return plot

    def _parity(
        self, plot: Any, source: ColumnDataSource, column: str, parity: int | None, label: str
    ) -> None:
        """Draw the even or the odd steps of a quantity, or all of them (None) in one line."""
        words = label
        if parity is not None:
            words = f"{label}, {('even', 'odd')[parity]} t".removeprefix("all steps, ")
        self._line(plot, source, column, (EVEN, ODD)[parity or 0], words, parity=parity)

    def _line(
        self,
        plot: Any,
        source: ColumnDataSource,
        column: str,
        colour: str,
        label: str,
        dash: str = "solid",
        parity: int | None = None,
        unit: float = 1.0,
    ) -> None:
        from bokeh.models import ColumnDataSource, LogScale

        scale = UNIT / unit if source.data[column].dtype == np.uint16 else 1.0
        shown = ColumnDataSource(_extent(source, column, scale))
        # With too many points the dots have no data, because Bokeh would index their data at each move.
        dotted = ColumnDataSource({"x": [], "y": []})
        plot.line("x", "y", source=shown, line_color=colour, line_dash=dash)
        self._keys.setdefault(label, Key(label, colour, dash))
        plot.scatter("x", "y", source=dotted, color=colour, size=5)
        self.series.append(
            {
                "from": source,
                "column": column,
                "parity": parity,
                "scale": scale,
                "shown": shown,
                "dotted": dotted,
                "vertical": plot.y_range,
                "logarithmic": isinstance(plot.y_scale, LogScale),
            }
        )

    def _add(self, name: str, plot: Any, description: str) -> None:
        self.plots.append(Plot(name, plot, description, list(self._keys.values())))
        self._keys = {}


def _extent(source: ColumnDataSource, column: str, scale: float) -> dict[str, list[float]]:
    """Return two points that span a line; the page's script replaces them when it starts."""
    x, y = source.data["x"], np.asarray(source.data[column], dtype=float)
    known = y[np.isfinite(y) & ((y != UNKNOWN) | (scale == 1.0))] / scale
    ends = [float(known.min()), float(known.max())] if known.size else [0.0, 1.0]
    return {"x": [float(x[0]), float(x[-1])], "y": ends}


def _ends(values: npt.NDArray[Any]) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return ": no finite value."
    return f": between {known.min():.4g} and {known.max():.4g}, the last value is {known[-1]:.4g}."
