"""Claims about the loss and sharpness that runs reach, by network size and learning rate (Fig. S8).

They come from the abstract of the follow-up study, arXiv 2410.10690.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.ritz import sharpness
from dynamical_loss.claims.criteria import above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.losses import Cell, cell_of
from dynamical_loss.paper.protocols import averaged_run
from dynamical_loss.results import recorded

Floats = npt.NDArray[np.float64]

LAST = 0.1
"""Share of a run that is averaged as its end, because λ_max and the loss alternate from step to step."""


def _cells(evidence: Evidence) -> dict[Cell, xr.Dataset]:
    found: dict[Cell, xr.Dataset] = {}
    for item in evidence.files("runs"):
        cell = width, rate, _ = cell_of(item)
        require(averaged_run(width), facts_of(item, recorded.settings_of(item)["trajectory"]))
        if cell in found:
            raise UntestedError(f"two studies have width {width}, η = {rate:g} and the same kind of loss")
        found[cell] = item
    return found


def at_the_end(values: xr.DataArray) -> Floats:
    """Return the mean over the last tenth of a run, shape (seed,)."""
    steps = values["snapshot_step"]
    last = values.where(steps >= (1 - LAST) * float(steps[-1]), drop=True)
    return np.asarray(last.mean("snapshot_step").values, dtype=np.float64)


def _log_ratio(pairs: list[tuple[Floats, Floats]]) -> Floats:
    """Return the logarithm of the ratio of first to second, averaged over the pairs, shape (seed,)."""
    seeds = min(len(values) for pair in pairs for values in pair)
    ratios = [np.log(first[:seeds] / second[:seeds]) for first, second in pairs]
    return np.asarray(np.mean(ratios, axis=0))


def _by_learning_rate(evidence: Evidence) -> Measurement:
    cells = _cells(evidence)
    pairs = []
    for width in sorted({width for width, _, static in cells if static}):
        rates = sorted(rate for other, rate, static in cells if static and other == width)
        if len(rates) > 1:
            high, low = cells[width, rates[-1], True], cells[width, rates[0], True]
            pairs.append((at_the_end(sharpness(high)), at_the_end(sharpness(low))))
    if not pairs:
        raise UntestedError("no width has static runs at two learning rates")
    return evidence.mean(_log_ratio(pairs))


def _by_width(evidence: Evidence) -> Measurement:
    cells = _cells(evidence)
    pairs = []
    for rate in sorted({rate for _, rate, static in cells if static}):
        widths = sorted(width for width, other, static in cells if static and other == rate)
        if len(widths) > 1:
            wide, narrow = cells[widths[-1], rate, True], cells[widths[0], rate, True]
            pairs.append((at_the_end(wide["loss"]), at_the_end(narrow["loss"])))
    if not pairs:
        raise UntestedError("no learning rate has static runs at two widths")
    return evidence.mean(_log_ratio(pairs))


def share_above(item: xr.Dataset, learning_rate: float) -> Floats:
    """Return the share of snapshots with λ_max above 2/η, shape (seed,).

    Snapshots after the end of the oscillation, and snapshots whose λ_max is not known, do not count.
    """
    values = sharpness(item)
    values = values.where(values["snapshot_step"] < item["oscillation_end"], drop=True)
    above_it = (values > 2.0 / learning_rate).where(values.notnull())
    return np.asarray(above_it.mean("snapshot_step").values, dtype=np.float64)


def _above_threshold(evidence: Evidence) -> Measurement:
    cells = _cells(evidence)
    both = [cell[:2] for cell in cells if cell[2] and (*cell[:2], False) in cells]
    if not both:
        raise UntestedError("no width and learning rate has runs of both losses")
    shares = []
    for width, rate in both:
        dynamical, static = (share_above(cells[width, rate, kind], rate) for kind in (False, True))
        seeds = min(len(dynamical), len(static))
        shares.append(dynamical[:seeds] - static[:seeds])
    seeds = min(map(len, shares))
    return evidence.mean(np.mean([each[:seeds] for each in shares], axis=0))


_FOLLOW_UP = "follow-up, abstract (Fig. S8)"
_RATIO = "natural logarithm of a ratio"

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(identity, _FOLLOW_UP, statement, math.nan, measured, criterion, ("runs",), measure, quantity)
    for identity, statement, measured, criterion, measure, quantity in (
        (
            "learning_rate_lowers_sharpness",
            "with the static loss, training at a larger learning rate ends at a smaller sharpness λ_max",
            "ln of λ_max at the largest η over that at the smallest, means over the last tenth of the run "
            "where it is known to 1 %, static loss; mean over the widths, then over the n seeds",
            below(0.0),
            _by_learning_rate,
            _RATIO,
        ),
        (
            "width_lowers_loss",
            "with the static loss, a wider network reaches a lower loss at the end of training",
            "ln of the loss at the largest width over that at the smallest, means over the last tenth of the "
            "run; mean over the learning rates, then over the n seeds",
            below(0.0),
            _by_width,
            _RATIO,
        ),
        (
            "oscillation_exceeds_threshold",
            "under the dynamical loss λ_max is above 2/η more often than under the static loss",
            "share of snapshots before the static end with λ_max > 2/η, among those whose λ_max is known to "
            "1 %, dynamical minus static; mean over widths and learning rates, then over the n seeds",
            above(0.0),
            _above_threshold,
            "difference of shares",
        ),
    )
)
"""The rules were registered before the runs (docs/choices.md)."""
