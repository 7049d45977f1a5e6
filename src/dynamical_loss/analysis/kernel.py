"""The neural tangent kernel before, in and after instabilities (Fig. 4f)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dynamical_loss.analysis.branches import branch_mean
from dynamical_loss.analysis.events import Event
from dynamical_loss.analysis.records import Floats, checked_snapshots, finite_length, require_positive


@dataclass(frozen=True)
class NtkChange:
    """Relative change of the NTK's λ_max around each event (Fig. 4f); arrays of shape (events,).

    Attributes:
        before: from the beginning of the event's period (or the finish of the event before, if
            later) to its start; positive where the eigenvalue grew.
        during: from its start to its finish; negative where it dropped.

    NaN where the record has no snapshot to compare.
    """

    before: Floats
    during: Floats


def ntk_change(
    snapshot_step: ArrayLike,
    ntk_eigenvalue: ArrayLike,
    events: Sequence[Event],
    *,
    period: float,
) -> NtkChange:
    """Whether the NTK's λ_max grows up to each cascade and drops in it (paper, Fig. 4f).

    Each value is read at the last snapshot at or before a start and the first at or after a
    beginning or a finish, averaged over the two branches.

    Args:
        snapshot_step: shape (n,), increasing, odd spacings.
        ntk_eigenvalue: largest eigenvalue of the NTK, shape (n,). Values that are not finite end
            the record.
        events: of one run, in order of time.
        period: T, in steps.

    Returns:
        Relative changes, (new − old) / old.

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
