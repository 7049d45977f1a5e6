"""Where between feature and lazy training a dynamical loss gains anything (beyond both papers, Fig. L6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.errors import UserError
from dynamical_loss.notation import exact
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.lazy import lazy_null
from dynamical_loss.paper.protocols import NARROW, SCALE, WIDE, spiral_study
from dynamical_loss.paper.regimes import Arm, Regime, gain, pair, regime_of

EXPLORED = 3
"""Seeds below this were looked at when the rules were written; the others measure."""

CHANGE, GAIN = 4.0, 0.1
"""H1: a run gains more than `GAIN` if its kernel changes by more than this, and only then."""

FEATURE, LAZY = 1.0, 10.0
"""Values of α in the two regimes."""

SMALL = 0.05
"""Differences of accuracies within this count as none."""

_NULL_SCALE = 1000.0


def studies(evidence: Evidence, arm: Arm) -> dict[Regime, xr.Dataset]:
    """The studies of one arm, without the explored seeds; `UntestedError` unless all else is the paper's."""
    found = {}
    for item in evidence.files("regimes"):
        try:
            which = regime_of(item)
        except UserError as error:
            raise UntestedError(str(error)) from None
        if which.arm != arm:
            continue
        parametrised = ["model.parametrisation"] if arm == "parametrised" else []
        require(spiral_study(which.width), facts_of(item), but=[SCALE, *parametrised])
        found[which] = item.isel(seed=item["seed"].values >= EXPLORED)
    if not found:
        raise UntestedError(f"no study of the arm '{arm}'")
    return found


def _of(arm: Arm, alpha: float, evidence: Evidence) -> xr.Dataset:
    return _at(studies(evidence, arm), alpha)


def _at(found: Mapping[Regime, xr.Dataset], alpha: float) -> xr.Dataset:
    for which, item in found.items():
        if which.alpha == alpha and which.width == NARROW:
            return item
    raise UntestedError(f"no study of width {NARROW} with α = {exact(alpha)}")


def _gain(arm: Arm, alpha: float, evidence: Evidence) -> Measurement:
    return evidence.mean(gain(_of(arm, alpha, evidence)).values)


def _kernel_tells(evidence: Evidence) -> Measurement:
    """Share of the values of α at which a run's kernel tells rightly whether it gains, by seed."""
    found = studies(evidence, "usual")
    if len(found) < 5:
        raise UntestedError(f"{len(found)} values of α, 5 are needed")
    seeds = min(item.sizes["seed"] for item in found.values())
    right = []
    for item in found.values():
        _, moved = pair(item, "kernel_change")
        right.append((moved.values[:seeds] > CHANGE) == (gain(item).values[:seeds] > GAIN))
    return evidence.mean(np.mean(right, axis=0), (0.0, 1.0))


def _width_or_regime(evidence: Evidence) -> Measurement:
    """Gain of the wide network less that of the narrow one at equal √h·α, mean over scales, by seed."""
    found = studies(evidence, "parametrised")
    by_scale: dict[float, dict[int, xr.Dataset]] = {}
    for which, item in found.items():
        by_scale.setdefault(round(which.scale, 2), {})[which.width] = item
    pairs = [items for items in by_scale.values() if {NARROW, WIDE} <= items.keys()]
    if not pairs:
        raise UntestedError(f"no two studies of widths {NARROW} and {WIDE} at equal √h·α")
    seeds = min(item.sizes["seed"] for items in pairs for item in items.values())
    differences = [gain(items[WIDE]).values[:seeds] - gain(items[NARROW]).values[:seeds] for items in pairs]
    return evidence.mean(np.mean(differences, axis=0))


def _null(evidence: Evidence) -> Measurement:
    """Distance between the predictions with and without a tilt, in the lazy regime, by seed."""
    grid = evidence.files("lazy_null")[0]
    require(lazy_null(), facts_of(grid))
    if _NULL_SCALE not in grid["scale"]:
        raise UntestedError(f"the study has no scale {exact(_NULL_SCALE)}")
    lazy = grid.sel(scale=_NULL_SCALE)
    if not (lazy["converged"].values == 1).all():
        raise UntestedError("a flow did not come to its end; raise max_steps")
    return evidence.mean(lazy["static_distance"].mean(("width", "data_seed")).values)


_BEYOND = "beyond both papers (Fig. L6)"
_SEEDS = f"mean over the n seeds from {EXPLORED} on"
_GAIN = f"final validation accuracy minus that at A = 1, paired by seed (T = 200, A = 20); {_SEEDS}"
_DIFFERENCE = "difference of accuracies"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "regime_gain_feature",
        _BEYOND,
        f"where the kernel moves (α = {exact(FEATURE)}) the dynamical loss raises the validation accuracy",
        math.nan,
        _GAIN,
        above(GAIN),
        ("regimes",),
        partial(_gain, "usual", FEATURE),
        _DIFFERENCE,
        f"width {NARROW}",
    ),
    Claim(
        "regime_no_gain_lazy",
        _BEYOND,
        f"where it hardly moves (α = {exact(LAZY)}) the dynamical loss changes nothing",
        0.0,
        _GAIN,
        Range(-SMALL, SMALL),
        ("regimes",),
        partial(_gain, "usual", LAZY),
        _DIFFERENCE,
        f"width {NARROW}",
    ),
    Claim(
        "kernel_tells_gain",
        f"{_BEYOND}, H1",
        f"a run gains more than {exact(GAIN)} if, and only if, its kernel changes by more than "
        f"{exact(CHANGE)} times what it was",
        math.nan,
        "share of the values of α (at least 5) at which this is so, of each seed; " + _SEEDS,
        above(0.9),
        ("regimes",),
        _kernel_tells,
        "share of runs",
        f"width {NARROW}",
    ),
    Claim(
        "time_brings_no_gain_lazy",
        _BEYOND,
        f"at α = {exact(LAZY)} ten times the steps and T bring no gain either",
        math.nan,
        "final validation accuracy minus that at A = 1, steps and T times α; " + _SEEDS,
        below(GAIN),
        ("regimes",),
        partial(_gain, "longer", LAZY),
        _DIFFERENCE,
        f"width {NARROW}",
    ),
    Claim(
        "width_is_regime",
        f"{_BEYOND}, H2",
        f"networks of width {NARROW} and {WIDE} gain alike at equal √h·α (neural-tangent parametrisation)",
        0.0,
        f"gain at width {WIDE} minus that at {NARROW}, mean over √h·α; {_SEEDS}",
        Range(-GAIN, GAIN),
        ("regimes",),
        _width_or_regime,
        _DIFFERENCE,
        f"widths {NARROW} and {WIDE}",
    ),
    Claim(
        "lazy_null",
        f"{_BEYOND}, theory",
        "in the lazy regime the squared error, trained to its end, leads to one prediction whatever Γ(t) is",
        0.0,
        "relative distance of the predictions with a tilt (A = 10) and without, √h·α = "
        f"{exact(_NULL_SCALE)}; mean over the n seeds",
        below(0.005),
        ("lazy_null",),
        _null,
        "relative distance",
        "Softplus, 2 hidden layers",
    ),
)
"""The rules were registered before the runs (docs/lazy.md)."""
