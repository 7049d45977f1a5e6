"""Verdicts on claims: by one rule for all claims, an interval decides a claim or leaves it undecided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from dynamical_loss.analysis.intervals import student_factor


class Verdict(StrEnum):
    """Verdict on a claim."""

    REPRODUCED = "reproduced"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested at this scale"


_MOST = 10**9  # number of runs; no study that needs more runs is feasible
_ONE_SIDE = 0.025  # largest chance that a 95 % interval lies wholly on the wrong side of a limit


@dataclass(frozen=True)
class Range:
    """Values for which a claim holds: a band with both its limits, or all values above or below one limit.

    The decision is an equivalence test.  An interval inside the range reproduces the claim, an interval
    outside contradicts the claim, and an interval that contains a limit leaves the claim undecided.

    Attributes:
        low: lower limit; −∞ if there is none.
        high: upper limit; ∞ if there is none.

    Raises:
        ValueError: if the lower limit is not below the upper limit, or neither limit is finite.
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise ValueError(
                f"no interval can decide a claim with the range {self.low} to {self.high}; "
                "give a lower limit below the upper limit, and at least one finite limit"
            )

    def __contains__(self, value: float) -> bool:
        return self._holds(value, value)

    @property
    def _is_band(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def _holds(self, lower: float, upper: float) -> bool:
        if self._is_band:
            return self.low <= lower and upper <= self.high
        # A half-line excludes its limit, because a gain of exactly 0 is not an improvement.
        return self.low < lower and upper < self.high

    def _excludes(self, lower: float, upper: float) -> bool:
        if self._is_band:
            return upper < self.low or lower > self.high
        return upper <= self.low or lower >= self.high

    def decide(self, lower: float, upper: float) -> Verdict:
        """Return the verdict that an interval gives; never `Verdict.NOT_TESTED`.

        Examples:
            >>> above(0.0).decide(0.02, 0.05).value
            'reproduced'
            >>> Range(0.6, 0.7).decide(0.55, 0.65).value
            'undecided'
        """
        if self._holds(lower, upper):
            return Verdict.REPRODUCED
        return Verdict.CONTRADICTED if self._excludes(lower, upper) else Verdict.UNDECIDED

    def runs_to_decide(self, value: float, interval: tuple[float, float], n: int) -> int | None:
        """Estimate how many runs would decide the claim, if they scattered like the n runs at hand.

        The distance of the interval's ends from the value shrinks as Student's quantile over √n.

        Args:
            value: measured value.
            interval: 95 % interval (lower, upper) of the value.
            n: number of runs behind the interval, at least 2.

        Returns:
            Smallest number of runs that decides, rounded up to two digits; None if the value lies on a limit,
            because then no number of such runs decides.
        """

        def decides(runs: int) -> bool:
            shrunk = student_factor(runs) / student_factor(n)
            lower, upper = (value + shrunk * (end - value) for end in interval)
            return self.decide(lower, upper) is not Verdict.UNDECIDED

        if not decides(_MOST):
            return None
        few, enough = 1, 2
        while not decides(enough):
            few, enough = enough, 2 * enough
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if decides(middle) else (middle, enough)
        unit = int(10 ** max(len(str(enough)) - 2, 0))
        return -(-enough // unit) * unit

    @property
    def chance_of_error(self) -> float:
        """Largest chance that a verdict is false, if the interval contains the truth 95 times in 100.

        With one limit the verdict can be false on one side only, and with a band on both sides.
        """
        return 2 * _ONE_SIDE if self._is_band else _ONE_SIDE

    def words(self) -> str:
        """Return the criterion in words, as the end of the sentence "reproduced if …"."""
        if self._is_band:
            where = f"inside {self.low:g} to {self.high:g}"
        else:
            where = f"above {self.low:g}" if math.isinf(self.high) else f"below {self.high:g}"
        return f"the 95 % interval lies {where}, contradicted if it lies outside, undecided otherwise"


def above(limit: float) -> Range:
    """Return the range of all values above `limit`."""
    return Range(low=limit)


def below(limit: float) -> Range:
    """Return the range of all values below `limit`."""
    return Range(high=limit)
