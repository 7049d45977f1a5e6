"""Fig. 1: accuracy of a convolutional network over the plane of period T and amplitude A."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import header_words, phase_plane, requirements, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _files(config: Configuration) -> Sequence[str]:
    study = config.figures.phase_images
    return [] if study is None else [layout.phase(study)]


def _check(config: Configuration) -> None:
    study = config.figures.phase_images
    if study is not None:
        requirements.require_both_losses(config, "phase_images", study)


DECLARATION = Declaration(
    part="images",
    inputs={"phase": Role(requirements.ANY_DIAGRAM, _files)},
    settings={
        "phase_images": Setting(
            str | None,
            None,
            "Fig. 1: study of images over periods and amplitudes; a key of `phase`; null: Fig. 1 is not made",
            names="phase",
        )
    },
    check=_check,
    evidence={"phase_images": Role(requirements.ANY_DIAGRAM, _files)},
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the final training (a) and validation accuracy (b) of one study of images.

    Each panel is drawn by `phase_plane.draw_panel` and has its own range of colours.

    Args:
        inputs: one file of the role ``phase`` with ``train_accuracy`` and ``validation_accuracy`` over
            (period, amplitude, seed), fractions of 1.
        options: not used; this figure has no options.

    Returns:
        A figure as wide as the page.

    Raises:
        UserError: if the study has no amplitude above 1.
    """
    del options
    dataset = inputs["phase"][0]
    phase_plane.require_dynamical(dataset, "Fig. 1", "phase")
    phases = [phase_plane.statistics(dataset[variable]) for variable, _ in phase_plane.KINDS]
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE, 1.5 + phase_plane.height(phases[0])))
    broken, total = phase_plane.diverged(dataset)
    each = dataset.attrs.get("steps_per_epoch")
    for axis, phase, (_, words) in zip(axes, phases, phase_plane.KINDS, strict=True):
        phase_plane.draw_panel(figure, axis, phase, phase_plane.colour_range([phase]), words)
        axis.set_title(words + (f"; {broken} of {total} runs diverged" if broken else ""))
        if each is not None:
            axis.set_xlabel(f"period $T$ (steps; an epoch is {int(each)})")
    style.panel_letters(axes)
    style.header(figure, header_words.remarks(dataset))
    phase_plane.key(figure)
    return figure
