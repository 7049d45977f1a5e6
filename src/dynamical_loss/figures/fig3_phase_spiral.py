"""Fig. 3: accuracy of a narrow and of a wide network over the plane of period T and amplitude A."""

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
            raise ValueError(f"phase.{study}.amplitudes: Fig. 3 needs an amplitude above 1; add one")


_NARROW = Role(requirements.ANY_DIAGRAM, lambda config: [layout.phase(config.figures.phase_narrow)])
_WIDE = Role(requirements.ANY_DIAGRAM, lambda config: [layout.phase(config.figures.phase_wide)])

DECLARATION = Declaration(
    part="spiral",
    inputs={"narrow": _NARROW, "wide": _WIDE},
    settings={
        "phase_narrow": Setting(
            str, "spiral_w100", "Fig. 3a, b: study of the narrow network; a key of `phase`", names="phase"
        ),
        "phase_wide": Setting(
            str, "spiral_w1000", "Fig. 3c, d: study of the wide network; a key of `phase`", names="phase"
        ),
    },
    check=_check,
    evidence={"phase_narrow": _NARROW, "phase_wide": _WIDE},
)

_MOST_ON_A_LINE = 38  # number of characters on a line of a panel's title


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the final training and validation accuracy of the narrow (a, b) and the wide network (c, d).

    The panels are drawn by `phase_plane.draw_panel`. The panels of the narrow network share one range of
    colours. Accuracies of the wide network differ little, so its panels have one range each, and cells far
    below the range are grey.

    Args:
        inputs: one file each of the roles ``narrow`` and ``wide``, with ``train_accuracy`` and
            ``validation_accuracy`` over (period, amplitude, seed), fractions of 1.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if a study has no amplitude above 1.
    """
    for role in DECLARATION.inputs:
        phase_plane.require_dynamical(inputs[role][0], "Fig. 3", role)
    planes = [
        [phase_plane.statistics(inputs[role][0][variable]) for variable, _ in phase_plane.KINDS]
        for role in DECLARATION.inputs
    ]
    heights = [phase_plane.height(phases[0]) for phases in planes]
    figure, axes = plt.subplots(2, 2, figsize=(style.PAGE, 1.8 + sum(heights)), height_ratios=heights)
    for line, role, phases in zip(axes, DECLARATION.inputs, planes, strict=True):
        dataset = inputs[role][0]
        network = f"{role}: {label_of(recorded.settings_of(dataset)['model'])}"
        broken, total = phase_plane.diverged(dataset)
        # A run that diverged has outputs that are not numbers; its accuracy counts as 0.
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
