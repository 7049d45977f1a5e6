"""A picture of a run: loss, accuracy and sharpness, with its instabilities marked (as Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.analysis.events import Event

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


def plot_run(
    loss: ArrayLike,
    accuracy: ArrayLike,
    snapshot_step: ArrayLike,
    sharpness: ArrayLike,
    *,
    period: int,
    learning_rate: float,
    events: Iterable[Event] = (),
    stop: int | None = None,
) -> Figure:
    """Draw a run on one axis of steps.

    Args:
        loss: dynamical loss at every step, (step,).
        accuracy: accuracy at every step, (step,).
        snapshot_step: steps at which λ_max was measured, (snapshot,).
        sharpness: λ_max of the dynamical loss there, (snapshot,).
        period: period T in steps; dotted lines show where the emphasis goes to the next class.
        learning_rate: η, for the line at 2/η.
        events: instabilities, which are shaded; see `events_from_sharpness`.
        stop: first step with the static loss, as in the schedule; None: the weights never stop.

    Returns:
        the figure; ``figure.savefig("run.png")`` writes it.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ModuleNotFoundError("plot_run needs matplotlib; run: pip install matplotlib") from None

    figure = Figure(figsize=(7, 6), layout="constrained")
    panels = figure.subplots(3, sharex=True)
    step = np.arange(np.size(loss))
    curves = ((step, loss, "loss F(t)"), (step, accuracy, "accuracy"), (snapshot_step, sharpness, "λ_max"))
    for axis, (times, values, label) in zip(panels, curves, strict=True):
        axis.plot(times, values, linewidth=0.9)
        axis.set_ylabel(label)
        for switch in range(period, step.size if stop is None else min(stop, step.size), period):
            axis.axvline(switch, color="0.7", linewidth=0.6, linestyle=":")
    for axis in (panels[0], panels[2]):
        axis.set_yscale("log")
    panels[2].axhline(2 / learning_rate, color="0.2", linewidth=0.8, linestyle="--", label="2/η")
    for number, event in enumerate(events):
        for axis in panels:
            first = number == 0 and axis is panels[2]
            look = {"color": "tab:red", "alpha": 0.2, "linewidth": 0}
            axis.axvspan(event.start, event.finish, **look, label="instability" if first else None)
    panels[2].legend(loc="upper right", fontsize="small")
    panels[2].set_xlabel("step t")
    return figure
