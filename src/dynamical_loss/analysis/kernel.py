"""Change of the neural tangent kernel before and during instabilities (Fig. 4f)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from dynamical_loss.analysis.branches import branch_mean
from dynamical_loss.analysis.events import Event
from dynamical_loss.analysis.records import Floats, checked_snapshots, finite_length, require_positive


@dataclass(frozen=True)
class NtkChange:
    """Relative change of the NTK's λ_max around each event (Fig. 4f).

    A change is NaN if the record has no snapshots to compare.

    Attributes:
        before: relative change from the beginning of the event's period to the start of the event, (event,).
            If the event before finishes later than the beginning of the period, the change is measured from
            that finish.
        during: relative change from the start of the event to its finish, (event,).
    """

    before: Float[Floats, " event"]
    during: Float[Floats, " event"]


def ntk_change(
    snapshot_step: ArrayLike,
    ntk_eigenvalue: ArrayLike,
    events: Sequence[Event],
    *,
    period: float,
) -> NtkChange:
    """Measure by how much the NTK's λ_max grows before each cascade and drops during it (paper, Fig. 4f).

    λ_max is averaged over the two branches. At the start of an event it is read at the last snapshot that is
    not later than the start. At the beginning of a period and at a finish it is read at the first snapshot
    that is not earlier.

    Args:
        snapshot_step: steps of the snapshots, increasing, with odd spacings, (snapshot,).
        ntk_eigenvalue: largest eigenvalue of the NTK, (snapshot,). The record ends at the first value that is
            not finite.
        events: events of one run, in order of time.
        period: period T in steps.

    Returns:
        relative changes, (new − old) / old.

    Raises:
        ValueError: shapes differ, steps do not increase, a spacing is even, events are not in
            order, or the period is not positive.
    """
    require_positive(period=period)
    step, values = checked_snapshots(snapshot_step, ntk_eigenvalue)
    finite = finite_length(values)
    step, values = step[:finite], values[:finite]
    mean = branch_mean(step, values)
    before = np.full(len(events), math.nan)
    during = np.full(len(events), math.nan)
    previous_finish = -math.inf
    for index, event in enumerate(events):
        if event.start < previous_finish:
            raise ValueError("events must be disjoint and in order of time")
        beginning = max(math.floor(event.start / period) * period, previous_finish)
        previous_finish = event.finish
        first = int(np.searchsorted(step, beginning, side="left"))
        at_start = int(np.searchsorted(step, event.start, side="right")) - 1
        at_finish = int(np.searchsorted(step, event.finish, side="left"))
        if 0 <= first <= at_start:
            before[index] = mean[at_start] / mean[first] - 1.0
        if event.finished and at_start >= 0 and at_finish < step.size:
            during[index] = mean[at_finish] / mean[at_start] - 1.0
    return NtkChange(before=before, during=during)
