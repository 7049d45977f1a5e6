"""Fig. 3: accuracy over the plane of period T and amplitude A, narrow and wide network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import phase_plane, requirements, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.figures.networks import label_of
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    for key in ("phase_narrow", "phase_wide"):
        study = getattr(config.figures, key)
        requirements.require_setting(config, key, "phase", study, "width")
        if max(config.phase[study].amplitudes) == 1.0:
            raise ValueError(f"phase.{study}.amplitudes: Fig. 3 needs one above 1; add it")


_NARROW = Role(requirements.ANY_DIAGRAM, lambda config: [layout.phase(config.figures.phase_narrow)])
_WIDE = Role(requirements.ANY_DIAGRAM, lambda config: [layout.phase(config.figures.phase_wide)])

DECLARATION = Declaration(
    part="spiral",
    inputs={"narrow": _NARROW, "wide": _WIDE},
    settings={
        "phase_narrow": Setting(str, "spiral_w100", "Fig. 3a,b: a key of `phase`", names="phase"),
        "phase_wide": Setting(str, "spiral_w1000", "Fig. 3c,d: a key of `phase`", names="phase"),
    },
    check=_check,
    evidence={"phase_narrow": _NARROW, "phase_wide": _WIDE},
)

_MOST_ON_A_LINE = 38  # characters of a panel's title


def render(inputs: Inputs, options: Options) -> Figure:
    """Final accuracy of the narrow (a, b) and the wide network (c, d), training and validation.

    Panels are those of `phase_plane.draw_panel`. The narrow ones share one range of colours; the wide
    ones, whose differences are small, have one each, and grey stands for what lies far below it.

    Args:
        inputs: roles ``narrow`` and ``wide``, one file each with ``train_accuracy`` and
            ``validation_accuracy`` over (period, amplitude, seed), fractions of 1.
        options: none are known.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if a study has no amplitude above 1.
    """
    for role in DECLARATION.inputs:
        phase_plane.require_dynamical(inputs[role][0], "Fig. 3", role)
    figure, axes = plt.subplots(2, 2, figsize=(style.PAGE, 5.2), height_ratios=[1.35, 1.0])
    for line, role in zip(axes, DECLARATION.inputs, strict=True):
        dataset = inputs[role][0]
        network = f"{role}: {label_of(recorded.settings_of(dataset)['model'])}"
        phases = [phase_plane.statistics(dataset[variable]) for variable, _ in phase_plane.KINDS]
        broken, total = phase_plane.diverged(dataset)
        # Their outputs are not numbers, which counts as accuracy 0.
        warning = f"; {broken} of {total} runs diverged" if broken else ""
        seeds = f"$n={phases[0].n}$ seeds{warning}"
        shared = phase_plane.colour_range(phases)
        for axis, phase, (_, words) in zip(line, phases, phase_plane.KINDS, strict=True):
            norm = shared if role == "narrow" else phase_plane.colour_range([phase])
            phase_plane.draw_panel(figure, axis, phase, norm, words)
            axis.set_title(style.in_lines([network, seeds], _MOST_ON_A_LINE))
    style.panel_letters(axes.flat)
    phase_plane.key(figure)
    return figure
