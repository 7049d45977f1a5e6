"""Fig. 3: accuracy over the plane of period T and amplitude A, narrow and wide network."""

from __future__ import annotations

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from dynamical_loss.figures import phase_plane, style
from dynamical_loss.results import recorded

ROLES = {"narrow": style.Role("aggregate_phase"), "wide": style.Role("aggregate_phase")}


def render(inputs: style.Inputs, options: style.Options) -> Figure:
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
    for role in ROLES:
        phase_plane.require_dynamical(inputs[role][0], "Fig. 3", role)
    figure, axes = plt.subplots(2, 2, figsize=(style.PAGE, 4.9), height_ratios=[1.35, 1.0])
    for line, role in zip(axes, ROLES, strict=True):
        dataset = inputs[role][0]
        width = recorded.settings_of(dataset)["model"]["width"]
        phases = [phase_plane.statistics(dataset[variable]) for variable, _ in phase_plane.KINDS]
        broken, total = phase_plane.diverged(dataset)
        # Their outputs are not numbers, which counts as accuracy 0.
        warning = f"; {broken} of {total} runs diverged" if broken else ""
        shared = phase_plane.colour_range(phases)
        for axis, phase, (_, words) in zip(line, phases, phase_plane.KINDS, strict=True):
            norm = shared if role == "narrow" else phase_plane.colour_range([phase])
            phase_plane.draw_panel(figure, axis, phase, norm, words)
            axis.set_title(f"{role}, {width} hidden units, $n={phase.n}$ seeds{warning}")
    style.panel_letters(axes.flat)
    phase_plane.key(figure)
    return figure
