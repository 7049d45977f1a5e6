"""Evidence for a claim: the datasets that the claim reads, and measured numbers with their intervals."""

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
"""Datasets by role.  Figures declare these roles as `evidence`, and any role may be absent."""

MINIMUM_RUNS = 3
"""Smallest number of seeds, runs or events that gives an interval."""

FEW_RUNS = 10
"""If fewer runs than this all give the same value, they do not show that the scatter is zero."""

PRIMARY = "sharpness"
"""The paper's definition of the threshold, among the definitions in a threshold file."""


@dataclass(frozen=True)
class Measurement:
    """A measured number with its uncertainty.

    Attributes:
        value: measured number, in the units of the claim; NaN if it could not be measured.
        interval: 95 % interval (lower, upper); NaN at both ends if there are too few runs.
        n: number of seeds, runs or events behind the value.
        remark: what a reader must know about the data, although it does not prevent a verdict.
        exact: whether the value was calculated without scatter; its verdict cannot be false by chance then.
    """

    value: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    n: int = 0
    remark: str = ""
    exact: bool = False


class UntestedError(Exception):
    """Raised if the data at hand cannot test a claim; the message says why.

    Attributes:
        measurement: what is known nevertheless.
        absent: whether the files that the claim needs were not given at all.
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
    """Return the mean with its 95 % bootstrap interval.

    Args:
        values: independent values, one for each seed, run or event, shape (n,); NaN is left out.
        settings: seed and number of resamples of the bootstrap.
        bounds: smallest and largest possible mean, e.g. 0 and 1 for an accuracy; the interval is clipped to
            them.

    Returns:
        The mean and its interval, which is NaN if n is below `MINIMUM_RUNS`.  If fewer than `FEW_RUNS` values
        are all equal and the bounds are finite, the interval is that of `without_scatter`, because resampling
        equal values would give an interval without width.
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
    """Return the mean over draws of the data and initial seeds, with a 95 % interval for new draws and seeds.

    Args:
        values: one value for each pair of a draw and a seed, shape (draw, seed).
        bounds: see `mean_of`.

    Returns:
        The mean and its interval, see `crossed.components`; n is the number of draws or of seeds, whichever
        is smaller.  The interval is NaN if n is below `MINIMUM_RUNS` or a value is not finite.
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
    """Return the 95 % interval of a bounded mean if n runs have all given the same value.

    A share q of all possible runs may lie at a bound, and n runs miss this share with the chance (1 − q)^n.
    The ends of the interval are where this chance is 2.5 %: no distribution within the bounds whose mean lies
    farther away would be missed more often.

    Args:
        value: value that all runs gave.
        n: number of runs.
        bounds: lowest and highest value that a run can give.

    Returns:
        Lower and upper end of the interval.
    """
    missed = 1.0 - 0.025 ** (1.0 / n)
    low, high = bounds
    return value - missed * (value - low), value + missed * (high - value)


def require(protocol: Protocol, facts: Mapping[str, Any], *, but: Collection[str] = ()) -> None:
    """Check that a result follows a protocol, whatever its number of seeds.

    Fewer seeds than the paper's are allowed, because the wider interval shows that they are few.

    Args:
        protocol: protocol of the paper.
        facts: what the result records, see `departures.facts_of`.
        but: keys whose values may differ from the paper's, because the claim says so in a remark; the result
            must record these values.

    Raises:
        UntestedError: if the result departs from the protocol in anything else.
    """
    for departure in departures(protocol, facts):
        allowed = departure.known and not set(but).isdisjoint(departure.keys)
        if departure.sort is not Sort.SEEDS and not allowed:
            raise UntestedError(departure.words)


@dataclass(frozen=True)
class Evidence:
    """Datasets and settings that a claim is computed from.

    Attributes:
        inputs: datasets by role.
        settings: settings of the bootstrap.
        definition: definition of the threshold, for claims with one row for each definition.
    """

    inputs: Inputs
    settings: BootstrapSettings
    definition: str = PRIMARY

    def files(self, role: str) -> Sequence[xr.Dataset]:
        """Return all datasets of a role.  Raises `UntestedError` if there are none."""
        if not self.inputs.get(role):
            raise UntestedError(f"no file was given for the role {role}", absent=True)
        return self.inputs[role]

    def mean(self, values: npt.ArrayLike, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Measurement:
        """Return `mean_of` the values, or `crossed_mean` for a table of shape (draw of the data, seed)."""
        if np.ndim(values) == 2:
            return crossed_mean(values, bounds)
        return mean_of(values, self.settings, bounds)


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: short name; with ``{definition}`` in it, there is one row for each definition of the threshold.
        source: place in the paper where the claim is made.
        statement: the claim as a sentence.
        paper_value: number that the paper (or the theory) gives; NaN if there is none.
        measured: what is measured, in words, with the unit that n counts.
        criterion: values for which the claim holds.
        roles: roles of the files that the claim is computed from.
        measure: function that measures the value; it may raise `UntestedError`.
        network: network that the claim is about, if its files hold several networks.
        spare: those of `roles` whose files may only replace files of another role.
        about: function that returns whether the claim is about a given file; None: about all its files.
        quantity: kind of the measured number, with its unit; claims of one kind can be drawn on one axis.
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
        """Return the files that the claim is about, without files that may only replace others."""
        given = [item for role in self.roles if role not in self.spare for item in inputs.get(role, ())]
        return [item for item in given if self.about is None or self.about(item)]

    @property
    def per_definition(self) -> bool:
        """Whether the claim has one row for each definition of the threshold."""
        return "{definition}" in self.id

    @property
    def rule(self) -> str:
        """Rule behind the verdict, in words."""
        return (
            f"{self.measured}; reproduced if {self.criterion.words()}; not tested with n < {MINIMUM_RUNS} "
            "or off the paper's protocol"
        )
