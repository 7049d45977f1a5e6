"""Where instabilities ("cascades of bifurcations") start and stop along a run.

Gradient descent with learning rate η is linearly stable while the sharpness λ_max, the largest
eigenvalue of the Hessian of the weighted loss, stays below 2/η. In the second half of a period of
the dynamical loss λ_max rises; as it nears 2/η the iterates begin to hop between two branches, one
minimisation step on each (a flip, or period-doubling, bifurcation), and both the loss and λ_max
alternate with period two until the valley has widened again.

Two rules find these events. They look at different records and fail differently, so their
agreement is worth reporting:

=======================  ==========================================  ==============================
rule                     an instability is                           precision of start and finish
=======================  ==========================================  ==============================
`SHARPNESS_RULE`         λ_max jumps between neighbouring snapshots  one snapshot spacing
                         (the paper's rule, Fig. 4, dashed lines)
`LOSS_RULE`              the loss itself alternates from step to     a few steps
                         step
=======================  ==========================================  ==============================

Units: steps are minimisation steps (integers), sharpness is in units of loss per squared
parameter, so that learning rate × sharpness is dimensionless. Time in this problem scales as 1/η
and λ_max as 1/η: a study that changes η at fixed ηT (Fig. 5a) must scale the tolerance and every
length in steps with it. Lengths given as None are fractions of the period, which does so by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
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
        finish: first step at which it no longer does; one past the last recorded step if the
            record ends first.
        finished: False if the record (or its finite part, for a diverged run) ends before the
            run has been calm for one `merge_gap`.
        period_index: ``floor(t / period)``, 0-based, at the onset if there is one and else at the
            start; −1 once the oscillation is off, where there is no period.
        onset: step at which the alternation began to grow; None for `SHARPNESS_RULE`, which
            cannot tell, and for a run that alternates from its first step. ``start - onset`` is
            the time the alternation takes to grow until it is seen.
        sharpness_at_start: λ_max at the last snapshot up to the start whose branches have not
            split beyond the tolerance (the paper's reading); NaN if unknown.
        sharpness_at_finish: λ_max at the first such snapshot from the finish on; NaN if unknown or
            not finished.
        branch_mean_at_onset: branch-averaged λ_max at the onset itself; NaN if unknown.
        branch_mean_at_start: the same at the start itself. On the spiral data, at the start that
            `LOSS_RULE` gives, this is the one that meets 2/η; `sharpness_at_start` is read
            earlier, before the branches part, and lies 10 to 20 % lower. A burst that breaks out
            within one snapshot spacing is read inside the burst, and too high.
        branch_mean_at_finish: the same at the finish itself; NaN if unknown or not finished.
        peak_sharpness: largest λ_max of the snapshots inside the event; NaN if none.
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
    """Instabilities by the paper's rule: λ_max jumps by more than a tolerance (Fig. 4e, 4k).

    The paper draws its lines where |λ_max(t) − λ_max(t−1)| ~ 0.1. Taken precisely:

    1. A snapshot is flagged where the jump exceeds the tolerance. The jump is the `branch_gap`
       (``detrend=True``) or the literal difference from the snapshot before (``detrend=False``).
       With a snapshot at every step the two agree. With snapshots k steps apart the literal
       difference also holds k steps of drift, which near the end of a period, where λ_max rises
       fastest, passes 0.1 with no instability at all.
    2. Flagged snapshots closer than `merge_gap` are one event.
    3. An event needs `minimum_snapshots` flagged snapshots in a row. A step of λ_max (a ReLU
       changing side) flags two at most and a corner (Γ_i at a class switch) one, so three tell an
       instability from both.

    The event starts at its first flagged snapshot and finishes at the first snapshot after its
    last. Its sharpness at the start and the finish is read one snapshot outside, where the
    branches have not yet split, or have closed, to within the tolerance. With ``read_inside=True``
    it is read at the first and the last flagged snapshot itself, where the caption of Fig. 4 draws
    its lines; a sudden burst is then read inside the burst.

    Snapshots must be an odd number of steps apart. The iterates alternate with period two, so an
    even spacing samples a single branch and sees nothing.

    Args:
        snapshot_step: steps t of the snapshots, shape (n,), increasing, odd spacings.
        sharpness: λ_max of the weighted loss at the snapshots, shape (n,). The record ends at the
            first value that is not finite (a diverged run).
        period: T, in steps.
        tolerance: smallest jump that counts, in units of sharpness. The paper's 0.1 belongs to
            η = 1; at another learning rate pass 0.1 / η, because λ_max scales as 1/η.
        oscillation_end: step from which Γ = 1 for good; later events belong to no period.
        detrend: see above.
        minimum_snapshots: fewest flagged snapshots in a row.
        merge_gap: in steps; None is T/25, but never less than two snapshot spacings.
        read_inside: see above.

    Returns:
        Disjoint events in order of time.

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
        # The end points borrow their neighbour's gap: they must not add to the count of flags.
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
        # A later flag would still have been merged: only calm beyond the gap is an end.
        finished = bool(step[final_flag] + merge_gap < step[last])
        after = final_flag + 1 if finished else last
        start = int(step[first_flag])
        # Snapshot 0 has no jump of its own, so whether its branches have split is unknown.
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
    """Instabilities from the alternation of the loss itself (Fig. 4b, 4c, 4h, 4i).

    1. The amplitude of the alternation is |`loss_alternation`|.
    2. A step is flagged where the amplitude exceeds `relative_floor` times the spread of the loss
       (its 10th to 90th percentile over the run). The spread does not change when a constant is
       added to the loss, and a few spikes do not move it.
    3. Flagged steps closer than `merge_gap` are one event; chaotic bursts slip in phase, and the
       amplitude passes through zero when they do.
    4. An event needs `minimum_length` flagged steps in a row. A sudden step of the loss, smeared
       by the filter, is flagged for up to ``window + 4`` steps: longer than that, and it persists.

    The onset is found backwards from the start: the last step at which the amplitude, averaged
    over `onset_window`, was not growing. It is where the multiplier of the flipping mode passes
    −1, if the alternation is above the noise of the loss there. Otherwise (points crossing ReLU
    corners keep up a small restless alternation) it is where the alternation leaves that noise,
    which on the spiral data is before λ_max reaches 2/η; ``start - onset`` is then a growth time
    and not the delay of the slow passage through the flip.

    The loss must alternate to first or third order in the displacement: a perfectly symmetric
    valley takes the same value on both branches, and this rule is blind to it. Real valleys are
    not symmetric.

    Args:
        loss: weighted loss F(t) at every step, shape (n,). The record ends at the first value that
            is not finite (a diverged run).
        period: T, in steps.
        step: the step of each value, shape (n,); None is 0, 1, 2, …
        snapshot_step: steps of the λ_max snapshots, shape (m,); only for the sharpness of events.
        sharpness: λ_max at those snapshots, shape (m,).
        sharpness_tolerance: branches closer than this count as not split (0.1 / η, as in
            `events_from_sharpness`).
        oscillation_end: step from which Γ = 1 for good; later events belong to no period.
        relative_floor: smallest visible alternation, in units of the spread of the loss.
        window: odd number of steps that `loss_alternation` averages over.
        minimum_length: in steps; None is ``2 * window + 10``.
        merge_gap: in steps; None is T/25, but never less than ``2 * window``.
        onset_window: in steps; None is T/100, but never less than ``2 * window``.

    Returns:
        Disjoint events in order of time.

    Raises:
        ValueError: the loss was not recorded at every step (the alternation is invisible, or its
            start is unknown, at any coarser spacing), shapes differ, or a setting is not positive.
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
    # Without the second term a constant loss would be one long event of rounding errors.
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
                # The burst may break out just after a class switch; it belongs to the rise before.
                period_index=_period_index(start if onset is None else onset, period, oscillation_end),
                onset=onset,
            )
        )
        previous_finish = finish
    if snapshot_step is None or sharpness is None:
        return tuple(events)
    return _with_sharpness(events, snapshot_step, sharpness, sharpness_tolerance)


def _loss_record(loss: ArrayLike, step: ArrayLike | None) -> tuple[Floats, Integers, float]:
    """Checked loss and steps, both of shape (n,), and the relative rounding the loss carries."""
    given = np.asarray(loss)
    if given.ndim != 1:
        raise ValueError(f"loss must have shape (n,), not {given.shape}")
    # A loss stored in single precision carries the rounding of single precision.
    rounding = float(np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps)
    steps = np.arange(given.size) if step is None else whole_steps(step, "step")
    if steps.shape != given.shape:
        raise ValueError(f"step {steps.shape} and loss {given.shape} differ in shape")
    if np.any(np.diff(steps) != 1):
        raise ValueError(
            "the loss must be recorded at every step: it alternates with period two, which a "
            "record every k steps cannot show or cannot date; use events_from_sharpness"
        )
    return given.astype(np.float64), steps, rounding


def _onset(amplitude: Floats, earliest: int, start: int, onset_window: int) -> int:
    """Last index in [earliest, start] at which the averaged log-amplitude was not growing."""
    half = max(onset_window // 2, 1)
    begin = max(earliest - half, 0)
    stretch = amplitude[begin : start + 1]
    if stretch.size <= 2 * half:
        return max(earliest, 0)
    # The mean of squares, not of logarithms: the amplitude of noise passes through zero.
    power = np.convolve(np.square(stretch), np.full(half, 1.0 / half), mode="valid")
    not_growing = np.flatnonzero(power[half:] <= power[:-half])
    if not_growing.size == 0:
        return max(earliest, 0)
    # power[i] averages begin + i … begin + i + half − 1; the two windows compared meet at:
    return max(begin + int(not_growing[-1]) + half, earliest)


def _with_sharpness(
    events: Iterable[Event], snapshot_step: ArrayLike, sharpness: ArrayLike, tolerance: float
) -> tuple[Event, ...]:
    """The events with their sharpness filled in from snapshots."""
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
    """How many whole periods oscillate: those before Γ = 1 for good, and none with the static loss.

    Args:
        oscillation_end: step from which Γ = 1.
        period: T, in steps.
        amplitude: A.
    """
    return int(oscillation_end // period) if amplitude > 1 else 0


def unstable_periods(
    events: Sequence[Event], number_of_periods: int, *, period: float | None = None
) -> Booleans:
    """Which periods of the oscillation had an instability (paper, Sec. III.3: about the first ten).

    A period is unstable if an event starts in it. With `period` given it is so too if an event
    that started earlier is still on at its middle: an event that merely dies out after the switch
    to the next class does not make that next period unstable, one that never stops does.

    The count is ``unstable.sum()``; the last unstable period ``np.flatnonzero(unstable)[-1]``.

    Args:
        events: events of one run.
        number_of_periods: periods to report on; events in later ones, or in none, are left out.
        period: T, in steps.

    Returns:
        Shape (number_of_periods,).

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


def flagged_runs(flags: Booleans, step: Integers, merge_gap: float) -> list[tuple[int, int, int]]:
    """Runs of flags, merged across gaps in steps up to `merge_gap`.

    Each run is (index of the first flag, index of the last, longest unbroken row of flags).
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
    return _NO_PERIOD if start >= oscillation_end else math.floor(start / period)


def _at(when: int | None, step: Integers, values: Floats) -> float:
    """Value interpolated at a step; NaN outside the record or where there is no such step."""
    if when is None or step.size == 0 or not step[0] <= when <= step[-1]:
        return math.nan
    return float(np.interp(when, step, values))
