"""Where instabilities ("cascades of bifurcations") start and stop along a run, and the threshold.

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

Plain arrays in, frozen dataclasses or plain arrays out; nothing here reads a file.

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
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = [
    "LOSS_RULE",
    "SHARPNESS_RULE",
    "AboveThreshold",
    "Event",
    "NtkChange",
    "PowerLaw",
    "Summary",
    "Threshold",
    "branch_gap",
    "branch_mean",
    "events_from_loss",
    "events_from_sharpness",
    "events_table",
    "fit_power_law",
    "fraction_above",
    "loss_alternation",
    "ntk_change",
    "stability_bound",
    "threshold",
    "unstable_periods",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

SHARPNESS_RULE = "sharpness"
LOSS_RULE = "loss"

_NO_STEP = -1
_NO_PERIOD = -1


def stability_bound(learning_rate: ArrayLike, momentum: float = 0.0, *, nesterov: bool = False) -> Floats:
    """Sharpness at which full-batch gradient descent on a quadratic loses stability.

    2/η for plain gradient descent, (2 + 2β)/η with momentum β and (2 + 2β)/(η(1 + 2β)) with
    Nesterov's. There the larger root of the iteration's characteristic polynomial passes −1, which is
    the flip that cascades begin with.

    Args:
        learning_rate: η ≥ 0, any shape.
        momentum: β, 0 <= β < 1.
        nesterov: whether the momentum is Nesterov's.

    Returns:
        λ in units of loss per squared parameter, of the shape of η; infinite where η is 0.

    Raises:
        ValueError: if η is negative or β is not in [0, 1).
    """
    rate = np.asarray(learning_rate, dtype=np.float64)
    if np.any(rate < 0):
        raise ValueError("learning_rate must not be negative")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in [0, 1), not {momentum}")
    product = (2 + 2 * momentum) / (1 + 2 * momentum if nesterov else 1)
    with np.errstate(divide="ignore"):
        return np.asarray(product / rate)


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


# --------------------------------------------------------------------------------------------------
# Sharpness on two branches
# --------------------------------------------------------------------------------------------------


def _neighbours_line(snapshot_step: Integers, values: Floats) -> Floats:
    """Value at every interior snapshot of the line through its two neighbours; shape (n − 2,)."""
    span = (snapshot_step[2:] - snapshot_step[:-2]).astype(np.float64)
    weight = (snapshot_step[1:-1] - snapshot_step[:-2]) / span
    return (1.0 - weight) * values[:-2] + weight * values[2:]


def branch_gap(snapshot_step: ArrayLike, sharpness: ArrayLike) -> Floats:
    """Distance between the two branches on which λ_max alternates, free of its slow drift.

    At each snapshot, how far λ_max is from the straight line through the snapshots before and
    after. Where λ_max hops between m + a and m − a this is 2a, the same as the paper's
    |λ_max(t) − λ_max(t−1)|; where it only drifts, however steeply, this is near zero, while the
    plain difference of snapshots many steps apart is not. The end points, which have one
    neighbour, copy the value next to them.

    Args:
        snapshot_step: shape (n,), increasing.
        sharpness: λ_max, shape (n,).

    Returns:
        Shape (n,), same units as the sharpness. Zero where n < 3.

    Raises:
        ValueError: shapes differ, steps do not increase, or a spacing is even (see
            `events_from_sharpness`).
    """
    step, values = _snapshots(snapshot_step, sharpness)
    gap = np.zeros_like(values)
    if values.size >= 3:
        gap[1:-1] = np.abs(values[1:-1] - _neighbours_line(step, values))
        gap[0], gap[-1] = gap[1], gap[-2]
    return gap


def branch_mean(snapshot_step: ArrayLike, sharpness: ArrayLike) -> Floats:
    """λ_max averaged over the two branches: (line through the neighbours + own value) / 2.

    Args and errors as for `branch_gap`; the end points keep their own value.

    Returns:
        Shape (n,), same units as the sharpness.
    """
    step, values = _snapshots(snapshot_step, sharpness)
    mean = values.copy()
    if values.size >= 3:
        mean[1:-1] = 0.5 * (values[1:-1] + _neighbours_line(step, values))
    return mean


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
    branches have not yet split, or have closed, to within the tolerance.

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

    Returns:
        Disjoint events in order of time.

    Raises:
        ValueError: shapes differ, steps do not increase, a spacing is even, or a setting is not
            positive.
    """
    step, values = _snapshots(snapshot_step, sharpness)
    _require_positive(period=period, tolerance=tolerance, minimum_snapshots=minimum_snapshots)
    finite = _finite_length(values)
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
    for first_flag, final_flag, streak in _runs(jump > tolerance, step, merge_gap):
        if streak < minimum_snapshots:
            continue
        # A later flag would still have been merged: only calm beyond the gap is an end.
        finished = bool(step[final_flag] + merge_gap < step[last])
        after = final_flag + 1 if finished else last
        start = int(step[first_flag])
        # Snapshot 0 has no jump of its own, so whether its branches have split is unknown.
        before = first_flag - 1 if first_flag >= 2 else None
        events.append(
            Event(
                rule=SHARPNESS_RULE,
                start=start,
                finish=int(step[after]) if finished else int(step[last]) + 1,
                finished=finished,
                period_index=_period_index(start, period, oscillation_end),
                sharpness_at_start=math.nan if before is None else float(values[before]),
                sharpness_at_finish=float(values[after]) if finished else math.nan,
                branch_mean_at_start=float(mean[first_flag]),
                branch_mean_at_finish=float(mean[after]) if finished else math.nan,
                peak_sharpness=float(np.max(values[first_flag : final_flag + 1])),
            )
        )
    return tuple(events)


# --------------------------------------------------------------------------------------------------
# The alternation of the loss
# --------------------------------------------------------------------------------------------------


def loss_alternation(loss: ArrayLike, *, window: int = 15) -> Floats:
    """Signed amplitude of the period-two component of a loss recorded at every step.

    A loss F(t) = f(t) + (−1)^t a(t) with slow f and a gives a(t). The fourth difference over 16
    passes an alternation unchanged and annihilates a cubic trend (the second difference would
    leave the curvature of f, which the steep ramps of Γ(t) make large); multiplying by (−1)^t
    then turns a lasting alternation into a constant, and a running mean over `window` steps
    removes what keeps no phase.

    Args:
        loss: F(t), shape (n,), one value a step.
        window: odd number of steps to average over.

    Returns:
        Shape (n,), in the units of the loss. Zero at the ends, where the filter does not fit.

    Raises:
        ValueError: the loss is not one-dimensional, or the window is not odd and positive.
    """
    values = np.asarray(loss, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"loss must have shape (n,), not {values.shape}")
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be an odd number of steps, not {window}")
    amplitude = np.zeros_like(values)
    margin = 2 + window // 2
    if values.size <= 2 * margin:
        return amplitude
    fourth = np.convolve(values, np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / 16.0, mode="valid")
    fourth[1::2] *= -1.0
    amplitude[margin:-margin] = np.convolve(fourth, np.full(window, 1.0 / window), mode="valid")
    return amplitude


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
    _require_positive(
        period=period,
        relative_floor=relative_floor,
        minimum_length=minimum_length,
        onset_window=onset_window,
    )

    values = values[: _finite_length(values)]
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
    for first, final, streak in _runs(amplitude > floor, steps[: values.size], merge_gap):
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
    steps = np.arange(given.size) if step is None else _integer_steps(step, "step")
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
    step, values = _snapshots(snapshot_step, sharpness)
    finite = _finite_length(values)
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


# --------------------------------------------------------------------------------------------------
# What the events say
# --------------------------------------------------------------------------------------------------


def events_table(events: Sequence[Event]) -> dict[str, NDArray[np.generic]]:
    """Events as equal-length arrays, ready to be stored.

    Args:
        events: any number of events, also none.

    Returns:
        One array of shape (number of events,) for each field of `Event`: integers for steps and
        period (an unknown onset and a missing period are −1), floats for sharpness (unknown is
        NaN), booleans, and strings for the rule.
    """
    return {
        "rule": np.array([event.rule for event in events], dtype=np.str_),
        "onset": np.array(
            [_NO_STEP if event.onset is None else event.onset for event in events], dtype=np.int64
        ),
        "start": np.array([event.start for event in events], dtype=np.int64),
        "finish": np.array([event.finish for event in events], dtype=np.int64),
        "finished": np.array([event.finished for event in events], dtype=np.bool_),
        "period_index": np.array([event.period_index for event in events], dtype=np.int64),
        "sharpness_at_start": _column(event.sharpness_at_start for event in events),
        "sharpness_at_finish": _column(event.sharpness_at_finish for event in events),
        "branch_mean_at_onset": _column(event.branch_mean_at_onset for event in events),
        "branch_mean_at_start": _column(event.branch_mean_at_start for event in events),
        "branch_mean_at_finish": _column(event.branch_mean_at_finish for event in events),
        "peak_sharpness": _column(event.peak_sharpness for event in events),
    }


@dataclass(frozen=True)
class Summary:
    """A mean with its standard error.

    Attributes:
        mean: NaN if n = 0.
        standard_error: sample standard deviation over √n; NaN if n < 2.
        median: NaN if n = 0.
        n: how many values.
    """

    mean: float
    standard_error: float
    median: float
    n: int

    @classmethod
    def of(cls, values: ArrayLike) -> Summary:
        """Summary of the values that are not NaN; `values` has shape (m,)."""
        known = np.asarray(values, dtype=np.float64)
        known = known[~np.isnan(known)]
        if known.size == 0:
            return cls(math.nan, math.nan, math.nan, 0)
        error = float(np.std(known, ddof=1)) / math.sqrt(known.size) if known.size > 1 else math.nan
        return cls(float(np.mean(known)), error, float(np.median(known)), int(known.size))


@dataclass(frozen=True)
class Threshold:
    """The sharpness at which instabilities start and finish (Fig. 4e, horizontal dashed line).

    Attributes:
        all: mean over starts and finishes together, the paper's λ_th.
        starts: mean over starts alone.
        finishes: mean over finishes alone.
        branch_mean_onsets: mean over onsets of the branch-averaged sharpness, which only
            `LOSS_RULE` gives.
        branch_mean_starts: mean over starts of the branch-averaged sharpness; with `LOSS_RULE`,
            the one to hold against 2/η. Prefer its median: sudden bursts are read too high.
        branch_mean_finishes: mean over finishes of the branch-averaged sharpness.

    Events of one run follow each other and are not independent, so the standard errors describe
    the scatter inside a run; for an uncertainty across runs use several seeds.
    """

    all: Summary
    starts: Summary
    finishes: Summary
    branch_mean_onsets: Summary
    branch_mean_starts: Summary
    branch_mean_finishes: Summary


def threshold(events: Sequence[Event]) -> Threshold:
    """Instability threshold λ_th: the mean sharpness when events start and finish (Fig. 4e, 5a).

    Args:
        events: events of one run, or of several runs at one learning rate. Unknown sharpness (NaN,
            as at the finish of an event that did not finish) is left out.

    Returns:
        Means in units of sharpness; NaN with n = 0 where nothing is known.
    """
    starts = _column(event.sharpness_at_start for event in events)
    finishes = _column(event.sharpness_at_finish for event in events)
    return Threshold(
        all=Summary.of(np.concatenate([starts, finishes])),
        starts=Summary.of(starts),
        finishes=Summary.of(finishes),
        branch_mean_onsets=Summary.of([event.branch_mean_at_onset for event in events]),
        branch_mean_starts=Summary.of([event.branch_mean_at_start for event in events]),
        branch_mean_finishes=Summary.of([event.branch_mean_at_finish for event in events]),
    )


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
        _require_positive(period=period)
    unstable = np.zeros(number_of_periods, dtype=np.bool_)
    for event in events:
        if not 0 <= event.period_index < number_of_periods:
            continue
        unstable[event.period_index] = True
        if period is not None:
            middles = (np.arange(number_of_periods) + 0.5) * period
            unstable |= (event.start <= middles) & (middles < event.finish)
    return unstable


@dataclass(frozen=True)
class PowerLaw:
    """λ_th = prefactor · η^exponent (Fig. 5a).

    Attributes:
        exponent: p; −1 in theory, −0.9 in the paper.
        exponent_interval: 95 % interval, NaNs where it cannot be had.
        prefactor: c; 2 in theory.
        prefactor_interval: 95 % interval, NaNs where it cannot be had.
        n: points used.
        n_learning_rates: distinct learning rates among them.
    """

    exponent: float
    exponent_interval: tuple[float, float]
    prefactor: float
    prefactor_interval: tuple[float, float]
    n: int
    n_learning_rates: int


def fit_power_law(
    learning_rate: ArrayLike,
    threshold: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> PowerLaw:
    """Least-squares line through log λ_th against log η, with a bootstrap interval (Fig. 5a).

    The bootstrap resamples seeds within each learning rate, because the learning rates were
    chosen and the seeds were drawn. Resampling n values understates their variance by (n − 1)/n,
    a third when n is 3, so deviations from the mean of a learning rate are widened by
    √(n/(n − 1)). A learning rate with a single seed contributes no scatter; if all have one,
    there is no interval. The interval tells of scatter between seeds, not of whether a power law
    is the right curve.

    Args:
        learning_rate: η of each (η, seed) point, shape (n,), positive.
        threshold: λ_th of each point, shape (n,). NaN (a run without instabilities) is left out.
        rng: source of the resampling.
        resamples: bootstrap resamples.

    Returns:
        The fit; NaN throughout with fewer than two distinct learning rates.

    Raises:
        ValueError: shapes differ, a learning rate or threshold is not positive and finite, or
            `resamples` is not positive.
    """
    rates = np.asarray(learning_rate, dtype=np.float64)
    values = np.asarray(threshold, dtype=np.float64)
    if rates.ndim != 1 or rates.shape != values.shape:
        raise ValueError(f"learning_rate {rates.shape} and threshold {values.shape} must share a shape (n,)")
    _require_positive(resamples=resamples)
    known = ~np.isnan(values)
    rates, values = rates[known], values[known]
    if not np.all((rates > 0) & np.isfinite(rates)):
        raise ValueError("learning rates must be positive and finite")
    if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError("thresholds must be positive and finite, or NaN")

    nowhere = (math.nan, math.nan)
    distinct = np.unique(rates)
    if distinct.size < 2:
        return PowerLaw(math.nan, nowhere, math.nan, nowhere, int(rates.size), int(distinct.size))

    x, y = np.log(rates), np.log(values)
    centred = x - x.mean()
    # The slope is linear in y, so one product fits every resample at once.
    slope_of = centred / np.sum(centred**2)
    slope = float(slope_of @ y)
    intercept = float(y.mean() - slope * x.mean())

    exponent_interval = prefactor_interval = nowhere
    groups = [np.flatnonzero(rates == rate) for rate in distinct]
    if max(group.size for group in groups) > 1:
        resampled = np.empty((resamples, y.size))
        # Few seeds know their own scatter badly: Student's factor, with the pooled degrees of freedom.
        freedom = sum(group.size - 1 for group in groups)
        student = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
        for group in groups:
            centre = y[group].mean()
            drawn = y[rng.choice(group, size=(resamples, group.size))]
            widening = student * math.sqrt(group.size / (group.size - 1)) if group.size > 1 else 1.0
            resampled[:, group] = centre + widening * (drawn - centre)
        slopes = resampled @ slope_of
        prefactors = np.exp(resampled.mean(axis=1) - slopes * x.mean())
        exponent_interval = _interval95(slopes)
        prefactor_interval = _interval95(prefactors)
    return PowerLaw(
        exponent=slope,
        exponent_interval=exponent_interval,
        prefactor=math.exp(intercept),
        prefactor_interval=prefactor_interval,
        n=int(rates.size),
        n_learning_rates=int(distinct.size),
    )


@dataclass(frozen=True)
class AboveThreshold:
    """Where λ_max sits relative to a threshold, after a transient (Fig. 5b, 5c).

    Attributes:
        fraction: of snapshots, with λ_max above the threshold. Near 1: above it; near 0: below.
        fraction_of_branch_mean: the same for the average of the two branches. Where λ_max
            alternates across the threshold, `fraction` is near one half and this one tells on
            which side the run sits.
        crossing_rate: crossings of the threshold per pair of neighbouring snapshots. Near 1: the
            run alternates about the threshold; near 0: it stays on one side.
        median_sharpness: over the same snapshots.
        n: snapshots used.
    """

    fraction: float
    fraction_of_branch_mean: float
    crossing_rate: float
    median_sharpness: float
    n: int


def fraction_above(
    snapshot_step: ArrayLike,
    sharpness: ArrayLike,
    threshold: float,
    *,
    after_step: float | None = None,
) -> AboveThreshold:
    """How much of a run λ_max spends above a threshold, after a transient (Fig. 5b, 5c).

    Args:
        snapshot_step: shape (n,), increasing, odd spacings.
        sharpness: λ_max, shape (n,). Values that are not finite, as in a diverged run, end the
            record.
        threshold: in units of sharpness; 2/η, or what `threshold` measured.
        after_step: end of the transient; None is the middle of the recorded steps.

    Returns:
        Fractions of the snapshots at or after `after_step`; NaN with n = 0 if there are none.

    Raises:
        ValueError: shapes differ, steps do not increase, or a spacing is even.
    """
    step, values = _snapshots(snapshot_step, sharpness)
    if after_step is None:
        after_step = 0.5 * (step[0] + step[-1]) if step.size else 0.0
    finite = _finite_length(values)
    step, values = step[:finite], values[:finite]
    used = step >= after_step
    n = int(np.count_nonzero(used))
    if n == 0:
        return AboveThreshold(math.nan, math.nan, math.nan, math.nan, 0)
    above = values[used] > threshold
    mean_above = branch_mean(step, values)[used] > threshold
    return AboveThreshold(
        fraction=float(np.mean(above)),
        fraction_of_branch_mean=float(np.mean(mean_above)),
        crossing_rate=float(np.mean(above[1:] != above[:-1])) if n > 1 else math.nan,
        median_sharpness=float(np.median(values[used])),
        n=n,
    )


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
    _require_positive(period=period)
    step, values = _snapshots(snapshot_step, ntk_eigenvalue)
    finite = _finite_length(values)
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


# --------------------------------------------------------------------------------------------------
# Small pieces
# --------------------------------------------------------------------------------------------------


def _integer_steps(step: ArrayLike, name: str) -> Integers:
    """Steps as integers, shape (n,); ValueError unless they are whole numbers and increase."""
    given = np.asarray(step)
    if given.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), not {given.shape}")
    steps = given.astype(np.int64)
    if np.any(steps != given):
        raise ValueError(f"{name} must hold whole numbers of steps")
    if np.any(np.diff(steps) <= 0):
        raise ValueError(f"{name} must increase")
    return steps


def _snapshots(snapshot_step: ArrayLike, values: ArrayLike) -> tuple[Integers, Floats]:
    """Checked snapshot steps and values, both of shape (n,)."""
    step = _integer_steps(snapshot_step, "snapshot_step")
    array = np.asarray(values, dtype=np.float64)
    if array.shape != step.shape:
        raise ValueError(f"snapshot_step {step.shape} and the values at them {array.shape} differ in shape")
    if np.any(np.diff(step) % 2 == 0):
        raise ValueError(
            "snapshots must be an odd number of steps apart: an even spacing samples one branch "
            "of a period-two alternation and cannot see it"
        )
    return step, array


def _finite_length(values: Floats) -> int:
    """How many values come before the first that is not finite."""
    broken = np.flatnonzero(~np.isfinite(values))
    return int(broken[0]) if broken.size else int(values.size)


def _runs(flags: Booleans, step: Integers, merge_gap: float) -> list[tuple[int, int, int]]:
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


def _column(values: Iterable[float]) -> Floats:
    return np.array(list(values), dtype=np.float64)


def _interval95(samples: Floats) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def _require_positive(**settings: float) -> None:
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
