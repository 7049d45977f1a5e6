"""Claims about where a dynamical loss gains accuracy, from feature to lazy training (Fig. L6).

These claims go beyond both papers.
"""

from __future__ import annotations

import math
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
from dynamical_loss.paper.regimes import Arm, Regime, departure, gain, pair, regime_of

EXPLORED = 6
"""Seeds below this number had been examined when the rules were written; only the other seeds measure."""

CHANGE, GAIN = 4.0, 0.1
"""Hypothesis H1: a run gains more than `GAIN` if, and only if, its kernel changes by more than `CHANGE`."""

FEATURE, LAZY = 1.0, 10.0
"""Values of α in the feature regime and in the lazy regime."""

SMALL = 0.05
"""Largest difference of accuracies that counts as no difference."""

SCALES = (1.0, 3.0, 10.0)
"""Values of √h·α at which two widths are compared."""

_NULL_SCALE, _NULL_SPLIT = 1000.0, 0
_FEWEST = 5  # smallest number of values of α


def studies(evidence: Evidence, arm: Arm) -> dict[Regime, xr.Dataset]:
    """Return the studies of one arm, without the explored seeds.

    Raises:
        UntestedError: if a study departs from the paper or from its arm, if two studies are of one width and
            α, or if there is none.
    """
    found: dict[Regime, xr.Dataset] = {}
    for item in evidence.files("regimes"):
        try:
            which = regime_of(item)
            departed = departure(item, NARROW)
        except UserError as error:
            raise UntestedError(str(error)) from None
        if which.arm != arm:
            continue
        require(spiral_study(which.width), facts_of(item), but=[SCALE])
        if departed is not None:
            raise UntestedError(departed)
        if which in found:
            raise UntestedError(f"there are two studies of width {which.width} with α = {exact(which.alpha)}")
        found[which] = item.isel(seed=item["seed"].values >= EXPLORED)
    if not found:
        raise UntestedError(f"there is no study of the arm '{arm}'")
    return found


def _of(arm: Arm, alpha: float, evidence: Evidence) -> xr.Dataset:
    for which, item in studies(evidence, arm).items():
        if which.alpha == alpha:
            return item
    raise UntestedError(f"there is no study of the arm '{arm}' with α = {exact(alpha)}")


def _gain(arm: Arm, alpha: float, evidence: Evidence) -> Measurement:
    return evidence.mean(gain(_of(arm, alpha, evidence)).values)


def _kernel_tells(evidence: Evidence) -> Measurement:
    """Measure the share of values of α at which the kernel's change predicts whether a run gains, by seed."""
    found = studies(evidence, "usual")
    if len(found) < _FEWEST:
        raise UntestedError(f"there are studies of {len(found)} values of α; {_FEWEST} are needed")
    right = []
    for item in found.values():
        _, moved = pair(item, "kernel_change")
        if not np.isfinite(moved.values).all():
            raise UntestedError("the kernel of a run is not known, because the run diverged")
        right.append((moved > CHANGE) == (gain(item) > GAIN))
    # Only the seeds that all studies have can be averaged over α.
    shares = xr.concat(right, "alpha", join="inner").mean("alpha")
    return evidence.mean(shares.values, (0.0, 1.0))


def _width_or_regime(scale: float, evidence: Evidence) -> Measurement:
    """Measure the gain of the wide network minus that of the narrow network at one √h·α, by seed."""
    found = {
        which.width: item
        for which, item in studies(evidence, "parametrised").items()
        if math.isclose(which.scale, scale, rel_tol=1e-3)
    }
    if not {NARROW, WIDE} <= found.keys():
        raise UntestedError(f"there are no studies of widths {NARROW} and {WIDE} at √h·α = {exact(scale)}")
    wide, narrow = xr.align(gain(found[WIDE]), gain(found[NARROW]), join="inner")
    return evidence.mean((wide - narrow).values)


def _null(evidence: Evidence) -> Measurement:
    """Measure the distance between the predictions with and without a tilt in the lazy regime, by seed."""
    grid = evidence.files("lazy_null")[0]
    require(lazy_null(), facts_of(grid))
    if _NULL_SCALE not in grid["scale"]:
        raise UntestedError(f"the study has no scale {exact(_NULL_SCALE)}")
    lazy = grid.sel(scale=_NULL_SCALE)
    lazy = lazy.isel(data_seed=lazy["data_seed"].values != _NULL_SPLIT)
    if lazy.sizes["data_seed"] == 0:
        raise UntestedError(f"the only split, {_NULL_SPLIT}, was explored; add other splits to data_seeds")
    if not (lazy["converged"].values == 1).all():
        raise UntestedError("a flow did not converge; raise max_steps")
    return evidence.mean(lazy["static_distance"].mean(("width", "data_seed")).values)


_BEYOND = "beyond both papers (Fig. L6)"
_SEEDS = f"mean over the n seeds from {EXPLORED} on"
_GAIN = f"final validation accuracy minus that at A = 1, paired by seed (T = 200, A = 20); {_SEEDS}"
_DIFFERENCE = "difference of accuracies"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "gain_in_feature_training",
        _BEYOND,
        f"where the neural tangent kernel moves (α = {exact(FEATURE)}) the dynamical loss raises the "
        "validation accuracy",
        math.nan,
        _GAIN,
        above(GAIN),
        ("regimes",),
        partial(_gain, "usual", FEATURE),
        _DIFFERENCE,
        f"width {NARROW}",
    ),
    Claim(
        "no_gain_in_lazy_training",
        _BEYOND,
        f"where the neural tangent kernel changes by less than its norm (α = {exact(LAZY)}) the dynamical "
        "loss does not change the validation accuracy",
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
        f"the dynamical loss raises a run's validation accuracy by more than {exact(GAIN)} if, and only if, "
        f"the run's neural tangent kernel changes by more than {exact(CHANGE)} times its initial norm",
        math.nan,
        f"share of the values of α (at least {_FEWEST}) at which this is so, of each seed; {_SEEDS}",
        above(0.9),
        ("regimes",),
        _kernel_tells,
        "share of runs",
        f"width {NARROW}",
    ),
    Claim(
        "time_brings_no_gain_lazy",
        _BEYOND,
        f"in lazy training (α = {exact(LAZY)}) the dynamical loss brings no gain in accuracy even with ten "
        "times as many steps and a ten times longer T",
        math.nan,
        "final validation accuracy minus that at A = 1, steps and T times α; " + _SEEDS,
        below(GAIN),
        ("regimes",),
        partial(_gain, "longer", LAZY),
        _DIFFERENCE,
        f"width {NARROW}",
    ),
    *(
        Claim(
            f"width_is_regime_{exact(scale)}",
            f"{_BEYOND}, H2",
            f"networks of widths {NARROW} and {WIDE} gain equally from the dynamical loss at √h·α = "
            f"{exact(scale)} (neural-tangent parametrisation)",
            0.0,
            f"gain at width {WIDE} minus that at {NARROW}, paired by seed; {_SEEDS}",
            Range(-GAIN, GAIN),
            ("regimes",),
            partial(_width_or_regime, scale),
            _DIFFERENCE,
            f"widths {NARROW} and {WIDE}",
        )
        for scale in SCALES
    ),
    Claim(
        "lazy_null",
        f"{_BEYOND}, theory",
        "in the lazy regime, training on the squared error until convergence leads to the same prediction "
        "for every Γ(t)",
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
