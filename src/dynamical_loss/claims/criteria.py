"""What became of a claim: one rule for all, by which an interval decides or does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from dynamical_loss.analysis.intervals import student_factor


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested at this scale"


_MOST = 10**9  # runs; a study that needs more of them decides nothing for anybody
_ONE_SIDE = 0.025  # how often a 95 % interval lies wholly on the wrong side of a limit, at most


@dataclass(frozen=True)
class Range:
    """Values for which a claim holds: a band with both its limits, or what lies above or below one limit.

    This is equivalence testing: an interval that lies inside reproduces the claim, one that lies outside
    contradicts it, and one that contains a limit decides nothing.

    Attributes:
        low: the lower limit; −∞ for none.
        high: the upper limit; ∞ for none.
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise ValueError(f"no interval can lie both inside and outside {self.low} to {self.high}")

    def __contains__(self, value: float) -> bool:
        return self._holds(value, value)

    @property
    def _is_band(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def _holds(self, lower: float, upper: float) -> bool:
        if self._is_band:
            return self.low <= lower and upper <= self.high
        # No gain is no improvement: the limit of a half-line is not part of it.
        return self.low < lower and upper < self.high

    def _excludes(self, lower: float, upper: float) -> bool:
        if self._is_band:
            return upper < self.low or lower > self.high
        return upper <= self.low or lower >= self.high

    def decide(self, lower: float, upper: float) -> Verdict:
        """Verdict of an interval; never `Verdict.NOT_TESTED`."""
        if self._holds(lower, upper):
            return Verdict.REPRODUCED
        return Verdict.CONTRADICTED if self._excludes(lower, upper) else Verdict.UNDECIDED

    def runs_to_decide(self, value: float, interval: tuple[float, float], n: int) -> int | None:
        """About how many runs would decide, if they were like the n at hand.

        The ends of the interval draw near to the value as Student's quantile over √n.

        Args:
            value: what was measured.
            interval: (lower, upper), 95 %.
            n: runs behind it, at least 2.

        Returns:
            the smallest number, rounded up to two digits; None if the value lies on a limit, so that no
            number of such runs decides.
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
        """How often its verdict is false at most, if the interval holds the truth 95 times in 100.

        A half-line is missed on one side alone, a band on both.
        """
        return 2 * _ONE_SIDE if self._is_band else _ONE_SIDE

    def words(self) -> str:
        """The criterion as the end of the sentence "reproduced if …"."""
        if self._is_band:
            where = f"inside {self.low:g} to {self.high:g}"
        else:
            where = f"above {self.low:g}" if math.isinf(self.high) else f"below {self.high:g}"
        return f"the 95 % interval lies {where}, contradicted if it lies outside, undecided otherwise"


def above(limit: float) -> Range:
    """Values above `limit`."""
    return Range(low=limit)


def below(limit: float) -> Range:
    """Values below `limit`."""
    return Range(high=limit)
