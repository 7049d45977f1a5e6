"""Fig. 5: threshold of instability against the learning rate, and λ_max of static runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss import grid
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import requirements, style, ticks
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import mcolors, mlines, plt, ticker
from dynamical_loss.figures.networks import distinct, label_of, labels_beyond_width, optimiser_of
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def _spectra(config: Configuration, study: str) -> Sequence[str]:
    runs = grid.trajectory_runs(study, config.trajectories[study].seeds)
    return list(map(layout.spectrum, runs))


def _narrow(config: Configuration) -> Sequence[str]:
    return _spectra(config, config.figures.static_narrow)


def _wide(config: Configuration) -> Sequence[str]:
    return _spectra(config, config.figures.static_wide)


def _check(config: Configuration) -> None:
    for key in ("static_narrow", "static_wide"):
        study = getattr(config.figures, key)
        requirements.require_setting(config, key, "trajectories", study, "width")
        requirements.require_one_rate(config, key, study)


_THRESHOLD = Role("fit_threshold", lambda config: [layout.threshold(config.figures.threshold)])

DECLARATION = Declaration(
    part="spiral",
    inputs={
        "threshold": _THRESHOLD,
        "static_narrow": Role("probe_spectrum", _narrow, ("hessian_eigenvalue",)),
        "static_wide": Role("probe_spectrum", _wide, ("hessian_eigenvalue",)),
    },
    settings={
        "threshold": Setting(
            str,
            "scaling",
            "Fig. 5a: study of the threshold of instability; a key of `threshold`",
            names="threshold",
        ),
        "static_narrow": Setting(
            str,
            "static_w100",
            "Fig. 5b: study of the narrow network with the static loss; a key of `trajectories`",
            names="trajectories",
        ),
        "static_wide": Setting(
            str,
            "static_w1000",
            "Fig. 5c: study of the wide network with the static loss; a key of `trajectories`",
            names="trajectories",
        ),
    },
    check=_check,
    evidence={
        "threshold": _THRESHOLD,
        "static_narrow": Role("probe_spectrum", _narrow),
        "static_wide": Role("probe_spectrum", _wide),
    },
)

PAPER, LOSS = "sharpness", "loss"
"""Definitions of the threshold: the paper's, from λ_max, and one from the alternation of the loss."""

WIDTH_LOOKS = tuple(
    (style.CLASS_COLOURS[index], marker) for index, marker in ((0, "o"), (3, "s"), (2, "^"), (4, "D"))
)
"""Colour and marker of each width, from the narrowest to the widest."""

_MOST_ON_A_LINE = 46  # number of characters on a line of a panel's title
_MULTIPLES, _MOST_TICKS = (
    (1.0, 2.0, 5.0),
    8,
)  # multiples of powers of ten, number of ticks on log axes

_DODGE = 0.025  # shift between points at one learning rate, as a fraction of that rate

Floats = npt.NDArray[np.float64]


def interval(values: npt.ArrayLike) -> tuple[float, float, float, int]:
    """Compute the geometric mean over seeds and its 95 % interval, from Student's t of the logarithms.

    Student's t is used because the percentile bootstrap is too narrow for three seeds. Logarithms are used
    because the power law is fitted to them. For two seeds the interval would be too wide to be useful
    (Student's factor is 12.7), so the range of the two values is returned instead.

    Args:
        values: threshold of each seed. NaN (a run without instabilities) is left out.

    Returns:
        Mean, lower end, upper end, and number of seeds. The ends are NaN for fewer than two seeds, and the
        mean is NaN without any.
    """
    known = np.asarray(values, dtype=float).ravel()
    known = np.log(known[np.isfinite(known) & (known > 0)])
    if known.size == 0:
        return math.nan, math.nan, math.nan, 0
    centre = float(known.mean())
    if known.size == 1:
        return math.exp(centre), math.nan, math.nan, 1
    if known.size == 2:
        return math.exp(centre), math.exp(known.min()), math.exp(known.max()), 2
    half = float(student_interval(known)[1])
    return math.exp(centre), math.exp(centre - half), math.exp(centre + half), int(known.size)


def by_definition(threshold: xr.Dataset, definition: str) -> xr.DataArray | None:
    """Return thresholds over (learning_rate, width, seed) by one definition; None if they are not stored."""
    if "threshold_by_definition" in threshold:
        stored = threshold["threshold_by_definition"]
        if definition in stored["definition"].values.astype(str):
            return stored.sel(definition=definition).transpose("learning_rate", "width", "seed")
    if definition == PAPER:
        return threshold["threshold"].transpose("learning_rate", "width", "seed")
    return None


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw λ_th against η with fitted power laws (a), and λ_max of static runs of two widths (b, c).

    The strip below (a) shows the same points as ηλ_th. There a power law with exponent −1 is a horizontal
    line, and 2 is the bound of stability on a quadratic loss. In (b) and (c) horizontal lines show 2/η and
    the measured λ_th.

    Args:
        inputs: one file of the role `threshold`, and the spectra of the static runs, one for each seed, as
            roles `static_narrow` and `static_wide`.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    del options
    threshold = inputs["threshold"][0]
    figure = plt.figure(figsize=(style.PAGE, 3.9))
    grid = figure.add_gridspec(1, 2, width_ratios=(1.15, 1))
    left, right = grid[0], grid[1]
    halves = left.subgridspec(2, 1, height_ratios=(2.6, 1))
    law = figure.add_subplot(halves[0])
    strip = figure.add_subplot(halves[1], sharex=law)
    halves = right.subgridspec(2, 1)
    narrow = figure.add_subplot(halves[0])
    wide = figure.add_subplot(halves[1], sharey=narrow)
    _threshold(law, strip, threshold)
    for axis, role, rank in ((narrow, "static_narrow", 0), (wide, "static_wide", 1)):
        _static(axis, inputs[role], threshold, WIDTH_LOOKS[rank][0])
    _sharpness_scale((narrow, wide))
    wide.set_xlabel("Minimisation step t")
    style.panel_letters((law, narrow, wide))
    figure.align_ylabels([law, strip])
    figure.align_ylabels([narrow, wide])
    return figure


def _threshold(law: Axes, strip: Axes, threshold: xr.Dataset) -> None:
    rates = threshold["learning_rate"].values.astype(float)
    widths = threshold["width"].values.tolist()
    law.set_xscale("log")
    law.set_yscale("log")
    span = np.array([rates.min() / 1.25, rates.max() * 1.25])
    for axis, theory in ((law, 2 / span), (strip, np.full(2, 2.0))):
        axis.plot(span, theory, color="black", linestyle=":", linewidth=0.8, label="theory 2/η", zorder=1)
    fits: dict[str, list[Line2D]] = {PAPER: [], LOSS: []}
    for rank, width in enumerate(widths):
        colour, marker = WIDTH_LOOKS[rank % len(WIDTH_LOOKS)]
        for definition in fits:
            values = by_definition(threshold, definition)
            if values is None:
                continue
            points = np.array([interval(row) for row in values.sel(width=width).values])
            if not (points[:, 3] > 0).any():
                continue
            place = 2 * rank + (definition == LOSS) - (len(widths) - 0.5)
            look: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "markersize": 3.6,
                "markerfacecolor": colour if definition == PAPER else "white",
                "markeredgewidth": 0.7,
            }
            shifted = rates * (1 + _DODGE * place)
            _points(law, shifted, points, look, 1.0)
            _points(strip, shifted, points, look, rates)
            line: dict[str, Any] = {
                "color": colour,
                "linestyle": "-" if definition == PAPER else (0, (5, 2)),
                "linewidth": 0.7,
            }
            fit = _power_law(threshold, definition, width)
            if fit is not None:
                prefactor, exponent = fit[:2]
                # Widths may differ in their learning rates: the line spans only the rates that were measured.
                known = rates[points[:, 3] > 0]
                fitted = np.array([known.min() / 1.12, known.max() * 1.12])
                law.plot(fitted, prefactor * fitted**exponent, zorder=2, **line)
                strip.plot(fitted, prefactor * fitted ** (1 + exponent), zorder=2, **line)
            label = _in_words(width, points[:, 3].astype(int), fit)
            fits[definition].append(mlines.Line2D([], [], label=label, **line | look))
    _threshold_legends(law, fits[PAPER], fits[LOSS])
    runs = recorded.settings_of(threshold)["trajectories"]
    # Legends distinguish networks only by their width; the title gives the other properties.
    words = [*labels_beyond_width(run["model"] for run in runs), distinct(map(optimiser_of, runs))]
    law.set_title(style.in_lines(words, _MOST_ON_A_LINE), loc="right", fontsize=style.TEXT, pad=3)
    law.set_ylabel("Threshold λ$_{\\mathrm{th}}$")
    law.tick_params(labelbottom=False)
    strip.set_ylabel("η λ$_{\\mathrm{th}}$")
    strip.set_xlabel("Learning rate η (bars: 95 % interval; of two seeds, their range)")
    low, high = law.get_ylim()
    law.set_ylim(low, high)
    ticks.logarithmic(law.yaxis, (low, high), _MOST_TICKS, _MULTIPLES)
    law.set_xlim(*span)
    ticks.logarithmic(law.xaxis, (float(span[0]), float(span[1])), _MOST_TICKS, _MULTIPLES)
    if 1 < rates.size <= _MOST_TICKS:
        ticks.put(law.xaxis, np.sort(rates))
    for scale in (law.xaxis, law.yaxis):
        scale.set_minor_locator(ticker.NullLocator())
    strip.yaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))


def _points(axis: Axes, x: Floats, points: Floats, look: dict[str, Any], factor: Floats | float) -> None:
    """Draw means with their intervals; a mean over one seed has no interval."""
    mean, lower, upper = (points[:, column] * factor for column in range(3))
    known = np.isfinite(mean)
    errors = np.nan_to_num(np.stack([mean - lower, upper - mean]))[:, known]
    axis.errorbar(
        x[known], mean[known], yerr=errors, linestyle="none", elinewidth=0.8, capsize=1.8, zorder=3, **look
    )


def _power_law(
    threshold: xr.Dataset, definition: str, width: int
) -> tuple[float, float, float, float] | None:
    """Return prefactor, exponent, and lower and upper end of the exponent's interval; None without a fit."""
    if "exponent" not in threshold or definition not in threshold["definition"].values.astype(str):
        return None
    at = {"definition": definition, "width": width}
    prefactor, exponent = (float(threshold[name].sel(at)) for name in ("prefactor", "exponent"))
    if not (math.isfinite(prefactor) and math.isfinite(exponent)):
        return None
    ends = threshold["exponent_interval"].sel(at)
    return prefactor, exponent, float(ends.sel(bound="lower")), float(ends.sel(bound="upper"))


def _in_words(width: int, seeds: npt.NDArray[np.int64], law: tuple[float, float, float, float] | None) -> str:
    """Return the label of one width and definition, with the power law and its exponent's 95 % interval.

    Args:
        width: number of hidden units.
        seeds: number of seeds that have a threshold, at each learning rate.
        law: result of `_power_law`.
    """
    most = int(seeds.max())
    words = f"width {width}, {most} seed{'s' if most > 1 else ''}"
    if law is None:
        return f"{words}: no fit"
    prefactor, exponent, lower, upper = law
    power = f"{prefactor:.2f} η$^{{{exponent:.2f}}}$"
    if not math.isfinite(lower):
        return f"{words}: {power} through {np.count_nonzero(seeds)} points"
    ends = f"[{lower:.2f}, {upper:.2f}]".replace("-", "−")
    return f"{words}: {power} {ends}"


def _threshold_legends(axis: Axes, paper: Sequence[Line2D], loss: Sequence[Line2D]) -> None:
    """Draw two legends: the paper's definition above the falling line, the rest below it."""
    theory = axis.get_legend_handles_labels()[0][:1]
    look: dict[str, Any] = {
        "borderaxespad": 0.4,
        "labelspacing": 0.35,
        "handlelength": 2.4,
        "alignment": "left",
        "title_fontsize": style.SMALL,
    }
    if paper:
        title = "λ$_{\\mathrm{max}}$ where it splits (paper's rule), exponent [95 %]"
        axis.add_artist(axis.legend(handles=list(paper), title=title, loc="upper right", **look))
    else:
        where: dict[str, Any] = {"transform": axis.transAxes, "ha": "right", "va": "top"}
        axis.text(
            0.97, 0.95, "no instability by the paper's rule", color="0.4", fontsize=style.SMALL, **where
        )
    other = "branch mean where F starts to alternate" if loss else None
    axis.legend(handles=[*loss, *theory], title=other, loc="lower left", **look)


def _static(axis: Axes, spectra: Sequence[xr.Dataset], threshold: xr.Dataset, colour: str) -> None:
    """Draw λ_max of each seed against steps.

    Even and odd steps are separate lines; as one line they would look like a solid band.
    """
    settings = recorded.settings_of(spectra[0])["trajectory"]
    rate, model = float(settings["learning_rate"]), settings["model"]
    end = 0.0
    for index, spectrum in enumerate(spectra):
        step = spectrum["snapshot_step"].values.astype(float)
        sharpness = spectrum["hessian_eigenvalue"].isel(mode=0).values.astype(float)
        shade = _lighter(colour, 0.65 * index / max(len(spectra) - 1, 1))
        for parity in (0, 1):
            chosen = (step % 2 == parity) & np.isfinite(sharpness) & (sharpness > 0)
            if chosen.any():
                label = "_" if parity else f"seed {recorded.settings_of(spectrum)['trajectory']['seed']}"
                axis.plot(step[chosen], sharpness[chosen], color=shade, linewidth=0.6, label=label)
        end = max(end, float(step[-1]))
    axis.axhline(2 / rate, color="black", linestyle=":", linewidth=0.8, label=f"2/η = {2 / rate:.3g}")
    measured = _measured_at(threshold, rate, int(model["width"]))
    if math.isfinite(measured):
        label = f"λ$_{{\\mathrm{{th}}}}$ = {measured:.3g}"
        axis.axhline(measured, color=style.MEASURED_COLOUR, linestyle="--", linewidth=0.8, label=label)
    axis.set_ylabel("Hessian λ$_{\\mathrm{max}}$")
    axis.set_xlim(0, max(end, 1.0))
    ticks.whole_numbers(axis.xaxis, (0.0, max(end, 1.0)), 6)
    words = [label_of(model), f"A = {settings['amplitude']:g}", f"η = {rate:g}", optimiser_of(settings)]
    axis.set_title(style.in_lines(words, _MOST_ON_A_LINE), loc="right", fontsize=style.TEXT, pad=3)
    axis.legend(loc="best", ncols=2, borderaxespad=0.4, labelspacing=0.35)


def _measured_at(threshold: xr.Dataset, rate: float, width: int) -> float:
    """Return the threshold measured at a learning rate and width; NaN if there is none."""
    values = by_definition(threshold, PAPER)
    rates = threshold["learning_rate"].values.astype(float)
    same = np.isclose(rates, rate)
    if values is None or not same.any() or width not in threshold["width"].values:
        return math.nan
    return interval(values.sel(width=width).values[same])[0]


def _lighter(colour: str, fraction: float) -> tuple[float, float, float]:
    red, green, blue = (part + (1 - part) * fraction for part in mcolors.to_rgb(colour))
    return red, green, blue


def _sharpness_scale(axes: Sequence[Axes]) -> None:
    """Give both widths the same logarithmic axis, so that the two panels are easy to compare."""
    values = np.concatenate(
        [np.asarray(line.get_ydata(), dtype=float) for axis in axes for line in axis.lines]
    )
    low, high = np.clip([values.min(), values.max()], ticks.SMALLEST, ticks.LARGEST).tolist()
    span = low / 1.15, high * 1.15
    for axis in axes:
        axis.set_yscale("log")
        ticks.logarithmic(axis.yaxis, span, _MOST_TICKS, _MULTIPLES)
    axes[0].set_ylim(span)
