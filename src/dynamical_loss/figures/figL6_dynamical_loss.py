# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L6: the dynamical loss from feature to lazy training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dynamical_loss import grid
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, lazy_panels, requirements, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt, sns
from dynamical_loss.notation import exact
from dynamical_loss.paper.regimes import Regime, gain, pair, regime_of
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Studies = Mapping[Regime, "xr.Dataset"]


def _check(config: Configuration) -> None:
    for study in config.figures.regimes:
        settings = config.phase[study]
        if settings.output_scale is None:
            raise ValueError(f"phase.{study}.output_scale: figures.regimes compares output scales; set one")
        if len(settings.periods) != 1 or len(settings.amplitudes) != 2 or 1.0 not in settings.amplitudes:
            raise ValueError(
                f"phase.{study}.amplitudes: figures.regimes compares one cell with A = 1; give one period, "
                "and two amplitudes of which one is 1"
            )
        requirements.require_setting(config, "regimes", "phase", study, "width")
    for study in config.figures.regimes_along:
        run = config.trajectories[study]
        if run.output_scale is None or run.probes.ntk is None:
            raise ValueError(
                f"trajectories.{study}: figures.regimes_along shows λ_max and the kernel of scaled runs; set "
                "output_scale and probes.ntk"
            )
        requirements.require_one_rate(config, "regimes_along", study)
    widths = {
        config.phase[study].model.width
        for study in config.figures.regimes
        if config.phase[study].model.parametrisation == "standard"
    }
    if len(widths) > 1:
        raise ValueError(
            f"figures.regimes: networks of widths {', '.join(map(str, sorted(widths)))} cannot be compared "
            "over α; take one width, or the parametrisation neural_tangent"
        )
    null = config.figures.lazy_null
    if null is not None and config.lazy[null].tilt is None:
        raise ValueError(f"lazy.{null}.tilt: figures.lazy_null shows the effect of a tilt; set one")


def _null_files(config: Configuration) -> list[str]:
    study = config.figures.lazy_null
    return [] if study is None else [layout.lazy(study)]


_REGIMES = requirements.phase_studies("regimes", "kernel_change", "weight_change")
_NULL = Role("aggregate_lazy", _null_files, ("static_distance",))

DECLARATION = Declaration(
    part="lazy",
    inputs={
        "study": _REGIMES,
        "spectrum": Role(
            "probe_spectrum",
            lambda config: [
                layout.spectrum(grid.trajectory_run(study, 0)) for study in config.figures.regimes_along
            ],
            ("ntk_eigenvalue",),
        ),
        "null": _NULL,
    },
    settings={
        "regimes": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. L6a-d, g: studies that differ in output_scale; keys of `phase`; an empty list: "
            "Fig. L6 is not made",
            names="phase",
        ),
        "regimes_along": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. L6e, f: studies with output_scale and probes.ntk, whose runs with seed 0 are shown; keys "
            "of `trajectories`; an empty list: Fig. L6 is not made",
            names="trajectories",
        ),
        "lazy_null": Setting(
            str | None,
            None,
            "Fig. L6h: study of gradient flows with a tilt; a key of `lazy`; null: Fig. L6 is not made",
            names="lazy",
        ),
    },
    check=_check,
    evidence={"regimes": _REGIMES, "lazy_null": _NULL},
)

_STATIC, _DYNAMICAL = style.CLASS_COLOURS[0], style.CLASS_COLOURS[1]
_LONGER = style.CLASS_COLOURS[2]
_SMALL: Mapping[str, Any] = {"fontsize": style.SMALL, "handlelength": 1.2}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the gain from the dynamical loss between feature and lazy training.

    The gain is the final validation accuracy with the dynamical loss minus that with the static loss, paired
    by seed. The panels show

    - the final validation accuracy (a) and the relative change of the kernel (b) against α;
    - the gain of each run against the change of its kernel (c);
    - the gain against α, with equal steps and T at all α, and with steps and T that grow with α (d);
    - λ_max in units of 2/η (e) and the largest eigenvalue of the kernel (f) along runs with the dynamical
      loss;
    - the gains of networks of two widths against √h·α (g);
    - the distance by which a tilt moves the prediction of gradient flow with the squared error (h).

    Args:
        inputs: phase files with an `output_scale` as the role ``study``, spectra of runs with an
            `output_scale` as the role ``spectrum``, and one grid of gradient flows with a tilt as the role
            ``null``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    found = {regime_of(item): item for item in inputs["study"]}
    usual = _arm(found, "usual")
    figure, axes = plt.subplots(2, 4, figsize=(style.PAGE, 4.2))
    panels = list(axes.ravel())
    _accuracies(panels[0], usual)
    _changes(panels[1], usual)
    _gain_against_change(panels[2], usual)
    _gains(panels[3], usual, "equal steps", _DYNAMICAL)
    _gains(panels[3], _arm(found, "longer"), r"steps, $T\sim\alpha$", _LONGER)
    _label(panels[3], r"$\alpha$", "gain")
    _legend(panels[3])
    runs = sorted(inputs["spectrum"], key=lambda item: float(_training(item)["output_scale"]))
    _along(panels[4:6], runs)
    _widths(panels[6], _arm(found, "parametrised"))
    _null(panels[7], inputs["null"][0])
    style.panel_letters(panels)
    longer, parametrised = _arm(found, "longer"), _arm(found, "parametrised")
    style.header(figure, _words(usual, longer, parametrised, inputs["null"][0]))
    return figure


def _training(spectrum: xr.Dataset) -> Mapping[str, Any]:
    """Return the settings of the run that a spectrum was measured on."""
    settings: Mapping[str, Any] = recorded.settings_of(spectrum)["trajectory"]
    return settings


def _arm(found: Studies, arm: str) -> dict[Regime, xr.Dataset]:
    return {which: item for which, item in sorted(found.items()) if which.arm == arm}


def _words(usual: Studies, longer: Studies, parametrised: Studies, null: xr.Dataset) -> str:
    """Return the header: networks, data and numbers of seeds, as the files record them."""
    first = next(iter(usual.values()), None)
    if first is None:
        words = "(a–d) no study"
    else:
        settings = recorded.settings_of(first)
        words = (
            f"(a–d) {settings['dataset']}, width {settings['model']['width']}, "
            f"$T={int(first['period'].values[0])}$, $A={float(first['amplitude'].max()):g}$, {_seeds(usual)}"
        )
    words += f", longer runs {_seeds(longer)}" if longer else ""
    words += "; (e, f) seed 0; (g) neural-tangent parametrisation"
    words += f", {_seeds(parametrised)}" if parametrised else ""
    data = str(null.attrs.get("dataset_description", ""))
    return (
        f"The dynamical loss from feature to lazy training\n{words}; "
        f"(h) {data}, {null.sizes['seed']} seeds, {lazy_panels.converged(null)}"
    )


def _seeds(studies: Studies) -> str:
    counts = sorted({item.sizes["seed"] for item in studies.values()})
    return f"{'–'.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds"


def _means(studies: Studies, of: Any) -> tuple[Floats, Floats, Floats]:
    """Compute the mean over seeds of a quantity of each study.

    Args:
        studies: the studies, by what they vary.
        of: function that returns the quantity of a study, (seed,).

    Returns:
        α, mean, and half of the mean's 95 % interval, each (study,).
    """
    alphas = np.array([which.alpha for which in studies])
    found = [student_interval(np.asarray(of(item).values, dtype=np.float64)) for item in studies.values()]
    return alphas, np.array([mean for mean, _ in found]), np.array([half for _, half in found])


def _label(axis: Axes, x: str, y: str, *, logarithmic_y: bool = False) -> None:
    lazy_panels.log_axes(axis, x, y, logarithmic_y=logarithmic_y)


def _accuracies(axis: Axes, studies: Studies) -> None:
    for rank, (colour, words) in enumerate(((_STATIC, "static"), (_DYNAMICAL, "dynamical"))):
        values = _means(studies, lambda item, rank=rank: pair(item, "validation_accuracy")[rank])
        lazy_panels.band(axis, *values, colour, words)
    _label(axis, r"$\alpha$", "validation accuracy")


def _changes(axis: Axes, studies: Studies) -> None:
    for rank, (colour, words) in enumerate(((_STATIC, "static"), (_DYNAMICAL, "dynamical"))):
        values = _means(studies, lambda item, rank=rank: pair(item, "kernel_change")[rank])
        lazy_panels.band(axis, *values, colour, words)
    axis.axhline(1.0, color=style.THEORY_COLOUR, linewidth=0.6, linestyle=":")
    _label(axis, r"$\alpha$", r"$\|\Delta\Theta\|/\|\Theta_0\|$", logarithmic_y=True)
    axis.legend(loc="upper right", **_SMALL)


def _gain_against_change(axis: Axes, studies: Studies) -> None:
    for colour, (_, item) in zip(_shades(len(studies)), studies.items(), strict=True):
        _, moved = pair(item, "kernel_change")
        axis.scatter(moved.values, gain(item).values, s=3, color=colour, alpha=0.7, linewidth=0)
    axis.axhline(0.0, color=style.THEORY_COLOUR, linewidth=0.6)
    _label(axis, r"$\|\Delta\Theta\|/\|\Theta_0\|$", "gain")


def _legend(axis: Axes, **look: Any) -> None:
    """Draw a legend at the top of a panel; its axis is made 45 % longer, so the legend covers no data."""
    scale = axis.yaxis.get_transform()
    low, high = scale.transform(np.array(axis.get_ylim()))
    axis.set_ylim(top=float(scale.inverted().transform(np.array([high + 0.45 * (high - low)]))[0]))
    axis.legend(loc="upper right", **_SMALL, **look)


def _gains(axis: Axes, studies: Studies, words: str, colour: Any) -> None:
    if studies:
        _bars(axis, *_means(studies, gain), words, colour)
    axis.axhline(0.0, color=style.THEORY_COLOUR, linewidth=0.6)


def _bars(axis: Axes, x: Floats, mean: Floats, half: Floats, words: str, colour: Any) -> None:
    axis.errorbar(
        x, mean, np.nan_to_num(half), color=colour, marker="o", markersize=2.2, label=words, capsize=1.5
    )


def _along(axes: Sequence[Axes], runs: Sequence[xr.Dataset]) -> None:
    for colour, item in zip(_shades(len(runs)), runs, strict=True):
        settings = _training(item)
        steps = item["snapshot_step"].values / 1000
        multiple = item["hessian_eigenvalue"].isel(mode=0).values * settings["learning_rate"] / 2
        kernel = item["ntk_eigenvalue"].isel(mode=0).values
        words = rf"$\alpha={exact(settings['output_scale'])}$"
        for axis, values in zip(axes, (multiple, kernel / kernel[0]), strict=True):
            axis.plot(steps, values, color=colour, label=words, linewidth=0.6)
    axes[0].axhline(1.0, color=style.THEORY_COLOUR, linewidth=0.6, linestyle=":")
    axes[0].set_ylabel(r"$\eta\,\lambda_{\max}/2$")
    axes[1].set_ylabel("largest kernel eigenvalue,\nrelative to the start")
    for axis in axes:
        along_run.log_scale(axis)
        axis.set_xlabel("step, thousands")
    _legend(axes[1], ncols=2, columnspacing=0.8)


def _widths(axis: Axes, studies: Studies) -> None:
    widths = sorted({which.width for which in studies})
    for colour, width in zip(lazy_panels.colours(len(widths)), widths, strict=True):
        here = {which: item for which, item in studies.items() if which.width == width}
        _, mean, half = _means(here, gain)
        scales = np.array([which.scale for which in here])
        _bars(axis, scales, mean, half, f"$h={width}$", colour)
    axis.axhline(0.0, color=style.THEORY_COLOUR, linewidth=0.6)
    _label(axis, lazy_panels.SCALE, "gain")
    if widths:
        _legend(axis)


def _null(axis: Axes, null: xr.Dataset) -> None:
    null = null.sortby("scale")
    mean, half = student_interval(
        null["static_distance"].mean(("width", "data_seed")).transpose("scale", "seed").values
    )
    lazy_panels.band(axis, null["scale"].values, mean, half, style.MEASURED_COLOUR, "")
    _label(axis, lazy_panels.SCALE, r"$\|F_\Gamma-F\|\,/\,\|F\|$", logarithmic_y=True)


def _shades(count: int) -> list[Any]:
    return list(sns.color_palette("rocket", count))
