# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. S10: open questions of the authors' talk, tested on a small Wide ResNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dynamical_loss import grid
from dynamical_loss.analysis.cells import gain
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.analysis.ritz import CONDITIONING_MODES, condition_ratio
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import along_run, header_words, requirements, style, swarm
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.figures.networks import label_of
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def _check(config: Configuration) -> None:
    for study in config.figures.questions:
        requirements.require_setting(config, "questions", "phase", study, "normalisation")
        requirements.require_both_losses(config, "questions", study)
        if config.phase[study].batch_size is None:
            raise ValueError(
                f"phase.{study}.batch_size: figures.questions distinguishes studies by it; set one"
            )
    for study in config.figures.conditioning:
        if config.trajectories[study].probes.hessian.modes < CONDITIONING_MODES:
            raise ValueError(
                f"trajectories.{study}.probes.hessian.modes: figures.conditioning needs {CONDITIONING_MODES} "
                "eigenvalues"
            )


def _spectra(config: Configuration) -> list[str]:
    return [
        layout.spectrum(run)
        for study in config.figures.conditioning
        for run in grid.trajectory_runs(study, config.trajectories[study].seeds)
    ]


_STUDIES = requirements.phase_studies("questions")
_CONDITIONING = Role("probe_spectrum", _spectra, ("hessian_eigenvalue", "hessian_residual"))

DECLARATION = Declaration(
    part="images",
    inputs={"study": _STUDIES, "spectrum": _CONDITIONING},
    settings={
        "questions": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S10a: studies of Wide ResNets that differ in batch norm, weight decay and batch size; "
            "keys of `phase`; an empty list: Fig. S10 is not made",
            names="phase",
        ),
        "conditioning": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. S10b: studies with the static and the dynamical loss whose Hessian probe has at least five "
            "modes; keys of `trajectories`; an empty list: Fig. S10 is not made",
            names="trajectories",
        ),
    },
    check=_check,
    evidence={"questions": _STUDIES, "conditioning": _CONDITIONING},
)

_NORMS = {"batch": "batch norm", "none": "no batch norm"}


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the gain in final validation accuracy under each condition (a), and λ₁/λ₅ along runs (b).

    The gain is the accuracy with the dynamical loss minus that with the static loss, paired by seed. Dots are
    seeds, and bars are means with 95 % Student intervals. Lines in (b) are means over seeds, and bands are
    their 95 % Student intervals.

    Args:
        inputs: phase files of Wide ResNets as the role ``study``, with A = 1 and cells with A > 1, and
            spectra of trajectory runs as the role ``spectrum``.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.
    """
    studies = sorted(inputs["study"], key=_words)  # sorts batches by size, because `_words` pads the numbers
    figure, (gains, ratios) = plt.subplots(
        1, 2, figsize=(style.PAGE, 1.2 + 0.26 * max(len(studies), 6)), width_ratios=[1.2, 1.0]
    )
    for line, item in enumerate(studies):
        swarm.row(gains, line, gain(item["validation_accuracy"]))
    gains.axvline(0.0, color=style.THEORY_COLOUR, linewidth=0.6, zorder=0)
    gains.set_yticks(range(len(studies)), [_words(item) for item in studies])
    gains.set_ylim(len(studies) - 0.5, -0.5)
    gains.set_xlabel("gain in final validation accuracy")
    _conditioning(ratios, inputs["spectrum"])
    style.panel_letters([gains, ratios])
    style.header(figure, header_words.remarks(*studies))
    figure.legend(*ratios.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _words(item: xr.Dataset) -> str:
    settings = recorded.settings_of(item)
    decay = recorded.setting(settings, "optimiser.weight_decay", 0.0)
    norm = _NORMS[settings["model"]["normalisation"]]
    return f"{norm}, batches of {settings['batch_size']:>3}" + (f", weight decay {decay:g}" if decay else "")


def _conditioning(axis: Axes, spectra: Any) -> None:
    axis.set(xlabel="minimisation step t", ylabel="λ$_1$/λ$_5$ of the weighted loss")
    groups: dict[tuple[str, bool], list[xr.DataArray]] = {}
    for item in spectra:
        training = recorded.settings_of(item)["trajectory"]
        key = label_of(training["model"]), training["amplitude"] == 1
        groups.setdefault(key, []).append(condition_ratio(item))
    if not any(np.isfinite(run.values).any() for runs in groups.values() for run in runs):
        along_run.say_empty(axis, "Lanczos found no λ$_5$\nto one per cent")
        return
    for index, network in enumerate(dict.fromkeys(network for network, _ in groups)):
        for is_static in (True, False):
            runs = groups.get((network, is_static))
            if not runs:
                continue
            values = np.stack([run.values for run in runs], axis=1)
            mean, half = student_interval(values)
            steps = runs[0]["snapshot_step"].values
            words = f"{network}, {'static' if is_static else 'dynamical'}"
            colour = style.CLASS_COLOURS[index]
            axis.plot(steps, mean, color=colour, linestyle=(0, (4, 1.5)) if is_static else "-", label=words)
            axis.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    along_run.log_scale(axis)
