"""Start and end of the instabilities ("cascades of bifurcations") along a run.

Gradient descent with learning rate η is linearly stable while the sharpness λ_max stays below 2/η. The
sharpness is the largest eigenvalue of the Hessian of the weighted loss. In the second half of a period of the
dynamical loss, λ_max rises. As λ_max approaches 2/η, the iterates begin to alternate between two branches,
with one minimisation step on each (a flip, or period-doubling, bifurcation). Both the loss and λ_max then
alternate with period two until the valley has widened again.

Two rules find these events. The rules use different records and fail in different ways, so their agreement is
informative:

=======================  ==========================================  ==============================
rule                     an instability is                           precision of start and finish
=======================  ==========================================  ==============================
`SHARPNESS_RULE`         λ_max jumps between neighbouring snapshots  one snapshot spacing
                         (the paper's rule, Fig. 4, dashed lines)
`LOSS_RULE`              the loss itself alternates from step to     a few steps
                         step
=======================  ==========================================  ==============================

Units: steps are minimisation steps (integers). The sharpness is in units of loss per squared parameter, so
learning rate × sharpness is dimensionless. Both time and λ_max scale as 1/η. A study that changes η at
constant ηT (Fig. 5a) must therefore scale the tolerance and every length in steps. A length given as None
needs no scaling, because it is a fraction of the period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from dynamical_loss.analysis.branches import branch_gap, branch_mean, loss_alternation
from dynamical_loss.analysis.records import (
    Booleans,
    Floats,
    Integers,
    checked_snapshots,
    finite_length,
    require_positive,
    whole_steps,
)

SHARPNESS_RULE = "sharpness"
LOSS_RULE = "loss"

_NO_PERIOD = -1


@dataclass(frozen=True)
class Event:
    """One instability: the half-open stretch of steps ``start <= t < finish``.

    Attributes:
        rule: `SHARPNESS_RULE` or `LOSS_RULE`.
        start: first step at which the rule sees the instability.
        finish: first step at which the rule no longer sees the instability; one past the last recorded step
            if the record ends first.
        finished: False if the record (or its finite part, for a diverged run) ends before the run has been
            stable for one `merge_gap`.
        period_index: index of the period, ``floor(t / period)``, counted from 0. The time t is the onset if
            it is known, and the start otherwise. −1 after the end of the oscillation, where there is no
            period.
        onset: step at which the alternation begins to grow. None for `SHARPNESS_RULE`, which cannot determine
            the onset, and for a run that alternates from its first step. ``start - onset`` is the time that
            the alternation takes to grow until the rule sees it.
        sharpness_at_start: λ_max at the last snapshot, up to the start, at which the two branches differ by
            at most the tolerance (as the paper reads λ_max); NaN if unknown.
        sharpness_at_finish: λ_max at the first snapshot, from the finish on, at which the two branches differ
            by at most the tolerance; NaN if unknown or not finished.
        branch_mean_at_onset: branch-averaged λ_max at the onset; NaN if unknown.
        branch_mean_at_start: branch-averaged λ_max at the start; NaN if unknown. On the spiral data, at the
            start according to `LOSS_RULE`, this value agrees with 2/η. `sharpness_at_start` is read earlier,
            before the branches separate, and is 10 to 20 % lower. If a burst begins within one snapshot
            spacing, the value is read inside the burst and is too high.
        branch_mean_at_finish: branch-averaged λ_max at the finish; NaN if unknown or not finished.
        peak_sharpness: largest λ_max of the snapshots inside the event; NaN if there are none.
    """

    rule: str
    start: int
    finish: int
    finished: bool
    period_index: int
    onset: int | None = None
    sharpness_at_start: float = math.nan
    sharpness_at_finish: float = math.nan
    branch_mean_at_onset: float = math.nan
    branch_mean_at_start: float = math.nan
    branch_mean_at_finish: float = math.nan
    peak_sharpness: float = math.nan


def events_from_sharpness(
    snapshot_step: ArrayLike,
    sharpness: ArrayLike,
    *,
    period: float,
    tolerance: float = 0.1,
    oscillation_end: float = math.inf,
    detrend: bool = True,
    minimum_snapshots: int = 3,
    merge_gap: float | None = None,
    read_inside: bool = False,
) -> tuple[Event, ...]:
    """Find instabilities by the paper's rule: λ_max jumps by more than a tolerance (Fig. 4e, 4k).

    The paper draws its lines where |λ_max(t) − λ_max(t−1)| ~ 0.1. This function makes the rule precise:

    1. A snapshot is flagged if the jump exceeds the tolerance. The jump is the `branch_gap` (with
       ``detrend=True``) or the plain difference from the snapshot before (``detrend=False``). With a snapshot
       at every step the two agree. With snapshots k steps apart, the plain difference also contains the drift
       over k steps. Near the end of a period, where λ_max rises fastest, this drift exceeds 0.1 without any
       instability.
    2. Flagged snapshots closer than `merge_gap` belong to one event.
    3. An event needs `minimum_snapshots` flagged snapshots in a row. A sudden step of λ_max (a ReLU that
       changes its state) flags at most two snapshots, and a kink (Γ_i at a class switch) flags one. Three
       flagged snapshots therefore distinguish an instability from both.

    The event starts at its first flagged snapshot and finishes at the first snapshot after its last flagged
    one.  The sharpness at the start and at the finish is read one snapshot outside the event. There, the
    branches differ by at most the tolerance. With ``read_inside=True`` the sharpness is read at the first and
    the last flagged snapshot, where the caption of Fig. 4 draws its lines. A sudden burst is then read inside
    the burst.

    Snapshots must be an odd number of steps apart. The iterates alternate with period two, so snapshots with
    an even spacing would all lie on the same branch and show no alternation.

    Args:
        snapshot_step: steps t of the snapshots, increasing, with odd spacings, (snapshot,).
        sharpness: λ_max of the weighted loss at the snapshots, (snapshot,). The record ends at the first
            value that is not finite (a diverged run).
        period: period T in steps.
        tolerance: smallest jump that counts, in units of sharpness. The paper's 0.1 holds for η = 1. At
            another learning rate pass 0.1 / η, because λ_max scales as 1/η.
        oscillation_end: step from which Γ stays at 1; later events belong to no period.
        detrend: whether a jump is the `branch_gap`, and not the plain difference.
        minimum_snapshots: smallest number of flagged snapshots in a row.
        merge_gap: largest gap within an event, in steps; None: T/25, and at least two snapshot spacings.
        read_inside: whether the sharpness is read at the first and the last flagged snapshot.

    Returns:
        disjoint events in order of time.

    Raises:
        ValueError: shapes differ, steps do not increase, a spacing is even, or a setting is not
            positive.
    """
    step, values = checked_snapshots(snapshot_step, sharpness)
    require_positive(period=period, tolerance=tolerance, minimum_snapshots=minimum_snapshots)
    finite = finite_length(values)
    step, values = step[:finite], values[:finite]
    if values.size < 3:
        return ()

    if detrend:
        jump = branch_gap(step, values)
        # The first and the last jump are copies of their neighbours and must not add to the count of flags.
        jump[0] = jump[-1] = 0.0
    else:
        jump = np.concatenate([[0.0], np.abs(np.diff(values))])
    spacing = int(np.max(np.diff(step)))
    if merge_gap is None:
        merge_gap = max(period / 25.0, 2 * spacing)

    mean = branch_mean(step, values)
    events = []
    last = values.size - 1
    for first_flag, final_flag, streak in flagged_runs(jump > tolerance, step, merge_gap):
        if streak < minimum_snapshots:
            continue
        # The event has finished only if the record goes on for longer than the gap: a later flag within the
        # gap would have been merged.
        finished = bool(step[final_flag] + merge_gap < step[last])
        after = final_flag + 1 if finished else last
        start = int(step[first_flag])
        # Snapshot 0 has no jump, so it is unknown whether its branches have split.
        before = first_flag - 1 if first_flag >= 2 else None
        opened = first_flag if read_inside else before
        closed = final_flag if read_inside else after
        events.append(
            Event(
                rule=SHARPNESS_RULE,
                start=start,
                finish=int(step[after]) if finished else int(step[last]) + 1,
                finished=finished,
                period_index=_period_index(start, period, oscillation_end),
                sharpness_at_start=math.nan if opened is None else float(values[opened]),
                sharpness_at_finish=float(values[closed]) if finished else math.nan,
                branch_mean_at_start=float(mean[first_flag]),
                branch_mean_at_finish=float(mean[after]) if finished else math.nan,
                peak_sharpness=float(np.max(values[first_flag : final_flag + 1])),
            )
        )
    return tuple(events)


def events_from_loss(
    loss: ArrayLike,
    *,
    period: float,
    step: ArrayLike | None = None,
    snapshot_step: ArrayLike | None = None,
    sharpness: ArrayLike | None = None,
    sharpness_tolerance: float = 0.1,
    oscillation_end: float = math.inf,
    relative_floor: float = 1e-3,
    window: int = 15,
    minimum_length: int | None = None,
    merge_gap: float | None = None,
    onset_window: int | None = None,
) -> tuple[Event, ...]:
    """Find instabilities by the alternation of the loss itself (Fig. 4b, 4c, 4h, 4i).

    1. The amplitude of the alternation is |`loss_alternation`|.
    2. A step is flagged if the amplitude exceeds `relative_floor` times the spread of the loss (its 10th to
       90th percentile over the run). The spread does not depend on a constant that is added to the loss, and
       hardly depends on a few spikes.
    3. Flagged steps closer than `merge_gap` belong to one event. The phase of a chaotic burst can slip, and
       the amplitude then passes through zero.
    4. An event needs `minimum_length` flagged steps in a row. A sudden step of the loss, smeared out by the
       filter, is flagged for up to ``window + 4`` steps. An alternation that is flagged for longer persists.

    The onset is searched backwards from the start. The onset is the last step at which the amplitude,
    averaged over `onset_window`, was not growing. If the alternation is above the noise of the loss there,
    the multiplier of the flipping mode passes −1 at the onset. Otherwise the onset is the step at which the
    alternation rises above this noise. (Points that cross the kinks of ReLUs maintain a small irregular
    alternation.) On the spiral data that step comes before λ_max reaches 2/η. ``start - onset`` is then a
    growth time, and not the delay of the slow passage through the flip.

    The loss must alternate to first or third order in the displacement. In a perfectly symmetric valley the
    loss has the same value on both branches, and this rule cannot see the alternation. Real valleys are not
    symmetric.

    Args:
        loss: weighted loss F(t) at every step, (step,). The record ends at the first value that is not finite
            (a diverged run).
        period: period T in steps.
        step: step of each value, (step,); None: 0, 1, 2, …
        snapshot_step: steps of the snapshots of λ_max, (snapshot,). They are used only for the sharpness of
            events.
        sharpness: λ_max at these snapshots, (snapshot,).
        sharpness_tolerance: distance up to which the two branches count as not split (0.1 / η, as in
            `events_from_sharpness`).
        oscillation_end: step from which Γ stays at 1; later events belong to no period.
        relative_floor: smallest visible alternation, in units of the spread of the loss.
        window: number of steps that `loss_alternation` averages over, odd.
        minimum_length: smallest number of flagged steps in a row; None: ``2 * window + 10``.
        merge_gap: largest gap within an event, in steps; None: T/25, and at least ``2 * window``.
        onset_window: number of steps to average over for the onset; None: T/100, and at least ``2 * window``.

    Returns:
        disjoint events in order of time.

    Raises:
        ValueError: the loss was not recorded at every step (a coarser record does not show the alternation or
            its start), shapes differ, or a setting is not positive.
    """
    values, steps, rounding = _loss_record(loss, step)
    if (snapshot_step is None) != (sharpness is None):
        raise ValueError("give both snapshot_step and sharpness, or neither")
    if minimum_length is None:
        minimum_length = 2 * window + 10
    if merge_gap is None:
        merge_gap = max(period / 25.0, 2 * window)
    if onset_window is None:
        onset_window = max(int(period / 100.0), 2 * window)
    require_positive(
        period=period,
        relative_floor=relative_floor,
        minimum_length=minimum_length,
        onset_window=onset_window,
    )

    values = values[: finite_length(values)]
    alternation = loss_alternation(values, window=window)
    if values.size <= window + 5:
        return ()
    low, high = np.percentile(values, [10.0, 90.0])
    # Without the second term, the rounding errors of a constant loss would form one long event.
    floor = relative_floor * (high - low) + 8.0 * rounding * float(np.max(np.abs(values)))
    amplitude = np.abs(alternation)

    margin = 2 + window // 2
    events: list[Event] = []
    previous_finish = margin
    for first, final, streak in flagged_runs(amplitude > floor, steps[: values.size], merge_gap):
        if streak < minimum_length:
            continue
        finished = final + merge_gap < values.size - margin - 1
        finish = final + 1 if finished else values.size
        start = int(steps[0]) + first
        onset = None
        if first > margin:
            onset = int(steps[0]) + _onset(amplitude, previous_finish, first, onset_window)
        events.append(
            Event(
                rule=LOSS_RULE,
                start=start,
                finish=int(steps[0]) + finish,
                finished=finished,
                # A burst that starts just after a class switch belongs to the rise in the period before.
                period_index=_period_index(start if onset is None else onset, period, oscillation_end),
                onset=onset,
            )
        )
        previous_finish = finish
    if snapshot_step is None or sharpness is None:
        return tuple(events)
    return _with_sharpness(events, snapshot_step, sharpness, sharpness_tolerance)


def _loss_record(
    loss: ArrayLike, step: ArrayLike | None
) -> tuple[Float[Floats, " step"], Int[Integers, " step"], float]:
    """Check loss and steps, and return them with the relative rounding error of the loss."""
    given = np.asarray(loss)
    if given.ndim != 1:
        raise ValueError(f"loss must have shape (n,), not {given.shape}")
    # A loss that was stored in single precision has the rounding errors of single precision.
    rounding = float(np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps)
    steps = np.arange(given.size) if step is None else whole_steps(step, "step")
    if steps.shape != given.shape:
        raise ValueError(f"step {steps.shape} and loss {given.shape} differ in shape")
    if np.any(np.diff(steps) != 1):
        raise ValueError(
            "the loss must be recorded at every step, because it alternates with period two and a "
            "coarser record does not show when; use events_from_sharpness"
        )
    return given.astype(np.float64), steps, rounding


def _onset(amplitude: Float[Floats, " step"], earliest: int, start: int, onset_window: int) -> int:
    """Return the last index in [earliest, start] at which the averaged amplitude was not growing."""
    half = max(onset_window // 2, 1)
    begin = max(earliest - half, 0)
    stretch = amplitude[begin : start + 1]
    if stretch.size <= 2 * half:
        return max(earliest, 0)
    # Squares are averaged and not logarithms, because the amplitude of noise passes through zero.
    power = np.convolve(np.square(stretch), np.full(half, 1.0 / half), mode="valid")
    not_growing = np.flatnonzero(power[half:] <= power[:-half])
    if not_growing.size == 0:
        return max(earliest, 0)
    # power[i] averages the indices begin + i … begin + i + half − 1.  The two windows that were compared meet
    # at this index:
    return max(begin + int(not_growing[-1]) + half, earliest)


def _with_sharpness(
    events: Iterable[Event], snapshot_step: ArrayLike, sharpness: ArrayLike, tolerance: float
) -> tuple[Event, ...]:
    """Fill in the sharpness of events from snapshots."""
    step, values = checked_snapshots(snapshot_step, sharpness)
    finite = finite_length(values)
    step, values = step[:finite], values[:finite]
    mean = branch_mean(step, values)
    joined = branch_gap(step, values) <= tolerance

    filled = []
    for event in events:
        before = np.flatnonzero(joined & (step <= event.start))
        after = np.flatnonzero(joined & (step >= event.finish))
        inside = values[(step >= event.start) & (step < event.finish)]
        filled.append(
            replace(
                event,
                branch_mean_at_onset=_at(event.onset, step, mean),
                branch_mean_at_start=_at(event.start, step, mean),
                branch_mean_at_finish=_at(event.finish if event.finished else None, step, mean),
                sharpness_at_start=float(values[before[-1]]) if before.size else math.nan,
                sharpness_at_finish=(float(values[after[0]]) if after.size and event.finished else math.nan),
                peak_sharpness=float(inside.max()) if inside.size else math.nan,
            )
        )
    return tuple(filled)


def oscillating_periods(oscillation_end: float, period: float, amplitude: float) -> int:
    """Return the number of whole periods before the end of the oscillation; 0 for the static loss.

    Args:
        oscillation_end: step from which Γ stays at 1.
        period: period T in steps.
        amplitude: amplitude A; 1 is the static loss.
    """
    return int(oscillation_end // period) if amplitude > 1 else 0


def unstable_periods(
    events: Sequence[Event], number_of_periods: int, *, period: float | None = None
) -> Bool[Booleans, " {number_of_periods}"]:
    """Return which periods of the oscillation had an instability (paper, Sec. III.3: about the first ten).

    A period is unstable if an event starts in it. If `period` is given, a period is also unstable if an
    earlier event is still going on in its middle. An event that dies out soon after the switch to the next
    class therefore does not make the next period unstable, but an event that never stops does.

    The number of unstable periods is ``unstable.sum()``; the last one is ``np.flatnonzero(unstable)[-1]``.

    Args:
        events: events of one run.
        number_of_periods: number of periods in the result; events in later periods, or in none, are ignored.
        period: period T in steps; None counts only the periods in which an event starts.

    Returns:
        whether each period is unstable, (period,).

    Raises:
        ValueError: the number of periods is negative, or the period is not positive.
    """
    if number_of_periods < 0:
        raise ValueError(f"number_of_periods must not be negative, not {number_of_periods}")
    if period is not None:
        require_positive(period=period)
    unstable = np.zeros(number_of_periods, dtype=np.bool_)
    for event in events:
        if not 0 <= event.period_index < number_of_periods:
            continue
        unstable[event.period_index] = True
        if period is not None:
            middles = (np.arange(number_of_periods) + 0.5) * period
            unstable |= (event.start <= middles) & (middles < event.finish)
    return unstable


def flagged_runs(
    flags: Bool[Booleans, " record"], step: Int[Integers, " record"], merge_gap: float
) -> list[tuple[int, int, int]]:
    """Find runs of flags; runs are merged if the gap between them is at most `merge_gap`.

    Args:
        flags: whether each record is flagged, (record,).
        step: step of each record, (record,).
        merge_gap: largest gap within a run, in steps.

    Returns:
        for each run, the index of its first flag, the index of its last flag, and the length of its longest
        unbroken row of flags.
    """
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    firsts = np.flatnonzero(edges == 1)
    finals = np.flatnonzero(edges == -1) - 1
    runs: list[tuple[int, int, int]] = []
    for first, final in zip(firsts.tolist(), finals.tolist(), strict=True):
        row = final - first + 1
        if runs and step[first] - step[runs[-1][1]] <= merge_gap:
            begun, _, longest = runs[-1]
            runs[-1] = (begun, final, max(longest, row))
        else:
            runs.append((first, final, row))
    return runs


def _period_index(start: int, period: float, oscillation_end: float) -> int:
    """Return the index of the period that holds a step; −1 after the end of the oscillation."""
    return _NO_PERIOD if start >= oscillation_end else math.floor(start / period)


def _at(when: int | None, step: Int[Integers, " snapshot"], values: Float[Floats, " snapshot"]) -> float:
    """Interpolate a value at a step; NaN if the step is None or outside the record."""
    if when is None or step.size == 0 or not step[0] <= when <= step[-1]:
        return math.nan
    return float(np.interp(when, step, values))
