"""What became of a claim, and by which criterion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_TESTED = "not tested at this scale"


class Criterion(Protocol):
    """How an interval decides, and the same in words."""

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """Verdict on an interval, and the reason if it is `Verdict.NOT_TESTED`."""
        ...

    def words(self) -> str:
        """The criterion as the end of the sentence "reproduced if …"."""
        ...


def _if(holds: bool) -> tuple[Verdict, str]:
    return (Verdict.REPRODUCED if holds else Verdict.NOT_REPRODUCED), ""


@dataclass(frozen=True)
class Above:
    """The whole interval lies above `limit`."""

    limit: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        return _if(lower > self.limit)

    def words(self) -> str:
        """See `Criterion`."""
        return f"the 95 % interval lies above {self.limit:g}"


@dataclass(frozen=True)
class Below:
    """The whole interval lies below `limit`."""

    limit: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        return _if(upper < self.limit)

    def words(self) -> str:
        """See `Criterion`."""
        return f"the 95 % interval lies below {self.limit:g}"


@dataclass(frozen=True)
class Near:
    """The interval meets the band [low, high], and is no wider than `widest`.

    The paper gives most numbers with a "~": the band is what rounds to them.  An interval that misses
    the band decides however wide it is; a wide one that meets it tells nothing.
    """

    low: float
    high: float
    widest: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        if upper < self.low or lower > self.high:
            return Verdict.NOT_REPRODUCED, ""
        if upper - lower > self.widest:
            return Verdict.NOT_TESTED, f"the interval is {upper - lower:.2g} wide"
        return Verdict.REPRODUCED, ""

    def words(self) -> str:
        """See `Criterion`."""
        band = f"contains {self.low:g}" if self.low == self.high else f"meets {self.low:g} to {self.high:g}"
        return f"the 95 % interval {band} (not tested if it does and is wider than {self.widest:g})"


@dataclass(frozen=True)
class Equivalent:
    """The interval lies inside [low, high], a band about `null` too narrow to matter."""

    low: float
    high: float
    null: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        if self.low <= lower and upper <= self.high:
            return Verdict.REPRODUCED, ""
        if upper < self.null or lower > self.null:
            return Verdict.NOT_REPRODUCED, ""
        return Verdict.NOT_TESTED, "the interval contains both equality and differences that matter"

    def words(self) -> str:
        """See `Criterion`."""
        return (
            f"the 95 % interval lies inside {self.low:g} to {self.high:g} "
            f"(not reproduced if it is not and excludes {self.null:g}, else not tested)"
        )


@dataclass(frozen=True)
class GainBelow:
    """The whole interval of a gain lies below `limit`, the smallest gain that matters."""

    limit: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        if upper < self.limit:
            return Verdict.REPRODUCED, ""
        if lower > 0:
            return Verdict.NOT_REPRODUCED, ""
        return Verdict.NOT_TESTED, "the interval contains both no gain and gains that matter"

    def words(self) -> str:
        """See `Criterion`."""
        return (
            f"the 95 % interval lies below {self.limit:g} (not reproduced if it does not and lies above 0, "
            "else not tested)"
        )
