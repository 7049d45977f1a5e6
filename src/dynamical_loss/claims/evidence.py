"""What a claim may look at, and what it finds: numbers with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.crossed import components
from dynamical_loss.analysis.intervals import bootstrap_interval
from dynamical_loss.claims.criteria import Range
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.paper.departures import Protocol, Sort, departures

Inputs = Mapping[str, Sequence[xr.Dataset]]
"""Role → datasets; figures declare the roles as `evidence`, and any may be absent."""

MINIMUM_RUNS = 3
"""Fewer seeds, runs or events than this give no interval."""

FEW_RUNS = 10
"""Fewer runs than this say nothing by all giving the same value."""

PRIMARY = "sharpness"
"""The paper's definition of the threshold, among those of a threshold file."""


@dataclass(frozen=True)
class Measurement:
    """A number with its uncertainty.

    Attributes:
        value: in the units of the claim; NaN if it could not be had.
        interval: (lower, upper), 95 %; NaNs if there are too few runs for one.
        n: seeds, runs or events behind it.
        remark: what a reader must know of the data, though it does not keep them from deciding.
        exact: whether it was calculated, so that its verdict cannot be false by chance.
    """

    value: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    n: int = 0
    remark: str = ""
    exact: bool = False


class UntestedError(Exception):
    """The data at hand cannot speak on a claim; the message says why.

    Attributes:
        measurement: what is known all the same.
        absent: whether the files that it needs were not given at all.
    """

    def __init__(self, reason: str, measurement: Measurement | None = None, *, absent: bool = False) -> None:
        super().__init__(reason)
        self.measurement = measurement or Measurement()
        self.absent = absent


def mean_of(
    values: npt.ArrayLike,
    settings: BootstrapSettings,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Measurement:
    """Mean with its 95 % bootstrap interval.

    Args:
        values: one independent value a seed, run or event; shape (n,). NaN is left out.
        settings: seed and number of resamples.
        bounds: what the mean cannot exceed, e.g. 0 and 1 for an accuracy; the interval is clipped.

    Returns:
        The mean; without an interval if n is below `MINIMUM_RUNS`.  Of fewer than `FEW_RUNS` equal values
        within bounds the interval is that of `without_scatter`: resampling would give it no width.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[np.isfinite(known)]
    if known.size == 0:
        return Measurement()
    mean = float(known.mean())
    if known.size < MINIMUM_RUNS:
        return Measurement(mean, n=known.size)
    if np.ptp(known) == 0.0 and known.size < FEW_RUNS and np.all(np.isfinite(bounds)):
        interval = without_scatter(mean, known.size, bounds)
    else:
        interval = bootstrap_interval(known, resamples=settings.resamples, seed=[settings.seed, 0])
    ends = np.clip(interval, *bounds)
    return Measurement(mean, (float(ends[0]), float(ends[1])), known.size)


def crossed_mean(values: npt.ArrayLike, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Measurement:
    """Mean over draws of the data and initial seeds, with its 95 % interval for new ones of both.

    Args:
        values: one run for each pair, shape (draw, seed).
        bounds: see `mean_of`.

    Returns:
        The mean, see `crossed.components`; n is the smaller of the two numbers.  Without an interval where
        that is below `MINIMUM_RUNS` or a value is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    n = min(table.shape)
    remark = f"{table.shape[0]} draws of the data × {table.shape[1]} initial seeds"
    if n < MINIMUM_RUNS or not np.isfinite(table).all():
        return Measurement(float(table.mean()), n=n, remark=remark)
    mean = components(table).mean
    interval = mean.interval
    if np.ptp(table) == 0.0 and n < FEW_RUNS and np.all(np.isfinite(bounds)):
        interval = without_scatter(mean.value, n, bounds)
    ends = np.clip(interval, *bounds)
    return Measurement(mean.value, (float(ends[0]), float(ends[1])), n, remark)


def without_scatter(value: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """95 % interval of a bounded mean of which n runs have all given the same value.

    A share q of all runs may lie at a bound and be missed by n of them with the chance (1 − q)^n.  The ends
    are where that chance is 2.5 %: no distribution within the bounds has a mean farther off that would be
    missed more often.

    Args:
        value: that all runs gave.
        n: how many.
        bounds: lowest and highest value that a run can give.
    """
    missed = 1.0 - 0.025 ** (1.0 / n)
    low, high = bounds
    return value - missed * (value - low), value + missed * (high - value)


def require(protocol: Protocol, facts: Mapping[str, Any], *, but: Collection[str] = ()) -> None:
    """`UntestedError` unless a result follows the protocol, with as many seeds as it may have.

    Fewer seeds widen an interval, which then says so itself.

    Args:
        protocol: the paper's.
        facts: what the result records, see `departures.facts_of`.
        but: keys that may differ from the paper's, where the claim says so in a remark; they must be known.
    """
    for departure in departures(protocol, facts):
        allowed = departure.known and not set(but).isdisjoint(departure.keys)
        if departure.sort is not Sort.SEEDS and not allowed:
            raise UntestedError(departure.words)


@dataclass(frozen=True)
class Evidence:
    """What a claim may look at.

    Attributes:
        inputs: datasets by role.
        settings: of the bootstrap.
        definition: of the threshold, for the claims that are made once a definition.
    """

    inputs: Inputs
    settings: BootstrapSettings
    definition: str = PRIMARY

    def files(self, role: str) -> Sequence[xr.Dataset]:
        """All datasets of a role; `UntestedError` if there are none."""
        if not self.inputs.get(role):
            raise UntestedError(f"no file of role {role}", absent=True)
        return self.inputs[role]

    def mean(self, values: npt.ArrayLike, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Measurement:
        """`mean_of` with these settings; of a table (draw of the data, seed) `crossed_mean`."""
        if np.ndim(values) == 2:
            return crossed_mean(values, bounds)
        return mean_of(values, self.settings, bounds)


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: short name; with ``{definition}``, one row is made for each definition of the threshold.
        source: where the paper makes it.
        statement: the claim.
        paper_value: the paper's (or the theory's) number; NaN if it gives none.
        measured: what is measured, in words, with the unit that n counts.
        criterion: the values for which it holds.
        roles: files it is computed from.
        measure: does so; may raise `UntestedError`.
        network: that it is about, where its files hold several.
        spare: those of `roles` that only may stand in for another.
        about: whether it is about one of their files; None: about all.
        quantity: what kind of number it is, with its unit; claims of one kind can be drawn on one axis.
    """

    id: str
    source: str
    statement: str
    paper_value: float
    measured: str
    criterion: Range
    roles: tuple[str, ...]
    measure: Callable[[Evidence], Measurement]
    quantity: str = ""
    network: str = ""
    spare: tuple[str, ...] = ()
    about: Callable[[xr.Dataset], bool] | None = None

    def looks_at(self, inputs: Inputs) -> list[xr.Dataset]:
        """The files that it is about, without those that only stand in for others."""
        given = [item for role in self.roles if role not in self.spare for item in inputs.get(role, ())]
        return [item for item in given if self.about is None or self.about(item)]

    @property
    def per_definition(self) -> bool:
        """Whether it is made once a definition of the threshold."""
        return "{definition}" in self.id

    @property
    def rule(self) -> str:
        """The rule behind the verdict, in words."""
        return (
            f"{self.measured}; reproduced if {self.criterion.words()}; not tested with n < {MINIMUM_RUNS} "
            "or off the paper's protocol"
        )
