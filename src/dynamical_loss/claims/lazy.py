"""Claims about feature and lazy training (arXiv 1906.08034, Fig. L1 to L5, L7 and L8)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.lazy import crossing, power, pseudo_values
from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.notation import exact
from dynamical_loss.paper.departures import Protocol, facts_of
from dynamical_loss.paper.lazy import lazy_digits, lazy_fashion, lazy_sizes

Floats = npt.NDArray[np.float64]

EXPLORED = frozenset({0, 1, 2})
"""Splits of the digits that had been examined when the rules were written; only the other splits measure."""

MOST_LOST = 0.05
"""Largest share of the flows behind a claim that may not have converged."""

FEATURE, LAZY = 0.01, 1000.0
"""Scales s = √h·α deep in the feature regime and deep in the lazy regime."""

_NARROWEST = 32  # smallest width for the power laws in s; narrower networks are far from their wide limit
_FEATURE_WINDOW, _LAZY_WINDOW, _EARLY_WINDOW = (1e-3, 1.0), (100.0, math.inf), (1e-3, 1e-2)
_ORDER = ("data_seed", "seed", "width", "scale")


def _grid(role: str, protocol: Protocol, evidence: Evidence) -> xr.Dataset:
    """Return the only study of a role, with widths and scales in ascending order.

    Raises:
        UntestedError: if there is not exactly one study, or if it departs from the protocol.
    """
    items = evidence.files(role)
    if len(items) != 1:
        raise UntestedError(f"there are {len(items)} studies with the role {role}; exactly one is needed")
    grid = items[0].sortby("width").sortby("scale")
    require(protocol, facts_of(items[0]))
    return grid


def _unexplored(grid: xr.Dataset) -> xr.Dataset:
    fresh = [seed not in EXPLORED for seed in grid["data_seed"].values.tolist()]
    if not any(fresh):
        raise UntestedError("all splits of the study were explored; add other splits to data_seeds")
    return grid.isel(data_seed=fresh)


def _digits(evidence: Evidence) -> xr.Dataset:
    return _unexplored(_grid("lazy", lazy_digits(), evidence))


def _fashion(evidence: Evidence) -> xr.Dataset:
    return _grid("lazy_further", lazy_fashion(), evidence)


def _at(grid: xr.Dataset, scale: float) -> xr.Dataset:
    if scale not in grid["scale"]:
        raise UntestedError(f"the study has no scale {exact(scale)}")
    return grid.sel(scale=scale)


def _wide(grid: xr.Dataset) -> xr.Dataset:
    wide = grid.isel(width=grid["width"].values >= _NARROWEST)
    if wide.sizes["width"] == 0:
        raise UntestedError(f"the study has no width of at least {_NARROWEST}")
    return wide


def _mean(evidence: Evidence, grid: xr.Dataset, values: Floats) -> Measurement:
    """Return the mean over splits and initial seeds, with an interval for new splits and new seeds.

    Args:
        evidence: evidence whose settings determine the interval.
        grid: flows behind the values.
        values: values of shape (data_seed, seed).

    Raises:
        UntestedError: if too many of the flows did not converge.
    """
    found = evidence.mean(values)
    lost, count = int((grid["converged"].values != 1).sum()), grid["converged"].size
    words = f"{lost} of {count} flows did not converge" if lost else ""
    measured = Measurement(
        found.value, found.interval, found.n, "; ".join(filter(None, (found.remark, words)))
    )
    if lost > MOST_LOST * count:
        raise UntestedError(words, measured)
    return measured


def exponent(
    of: Callable[[Evidence], xr.Dataset], name: str, window: tuple[float, float], evidence: Evidence
) -> Measurement:
    """Measure the exponent of a variable in s, fitted to each run and averaged over widths of at least 32.

    Args:
        of: function that returns the study.
        name: name of the variable.
        window: smallest and largest s of the fit.
        evidence: files by role.

    Raises:
        UntestedError: if the scales do not span the window, or a flow stopped before it had a value.
    """
    grid = _wide(of(evidence))
    low, high = window
    grid = grid.isel(scale=(grid["scale"].values >= 0.999 * low) & (grid["scale"].values <= 1.001 * high))
    scales = grid["scale"].values
    last = high if math.isfinite(high) else LAZY
    if scales.size < 2 or scales[0] > 1.001 * low or scales[-1] < 0.999 * last:
        raise UntestedError(f"the scales do not reach from {exact(low)} to {exact(last)}")
    fitted = power(scales, grid[name].transpose(*_ORDER).values, low, high)
    if not np.isfinite(fitted).all():
        raise UntestedError("a flow stopped before its value could be measured")
    return _mean(evidence, grid, fitted.mean(axis=-1))


def _crossover(evidence: Evidence) -> Measurement:
    """Measure the exponent of α* in h, where α* is the α at which the kernel's relative change is 1."""
    grid = _wide(_digits(evidence))
    if grid.sizes["width"] < 2:
        raise UntestedError("the study has a single width; two are needed")
    stars = crossing(grid["scale"].values, grid["kernel_change"].transpose(*_ORDER).values)
    widths = grid["width"].values
    span = float(widths[0]), float(widths[-1])
    return _mean(evidence, grid, power(widths, stars / np.sqrt(widths), *span))


def _variance(scale: float, evidence: Evidence) -> Measurement:
    """Measure the exponent of the variance in h, by the jackknife over initial seeds."""
    grid = _at(_digits(evidence), scale)
    if grid.sizes["width"] < 3 or grid.sizes["seed"] < 3:
        raise UntestedError("the study has fewer than three widths or initial seeds")
    widths = grid["width"].values
    span = float(widths[0]), float(widths[-1])
    whole = power(widths, grid["output_variance"].transpose("data_seed", "width").values, *span)
    each = grid["output_variance_without"].transpose("data_seed", "seed", "width").values
    return _mean(evidence, grid, pseudo_values(whole, power(widths, each, *span)))


def _gain_of_ensembles(scale: float, evidence: Evidence) -> Measurement:
    """Measure the error of one network minus that of the ensemble, mean over widths, by the jackknife."""
    runs = _at(_digits(evidence), scale)
    grid = runs.mean("width")
    one = grid["test_error"].transpose("data_seed", "seed").values
    n = one.shape[1]
    if n < 3:
        raise UntestedError("the study has fewer than three initial seeds")
    without = (one.sum(axis=1, keepdims=True) - one) / (n - 1)
    ensemble = grid["ensemble_error"].values
    others = grid["ensemble_error_without"].transpose("data_seed", "seed").values
    gains = pseudo_values(one.mean(axis=1) - ensemble, without - others)
    return _mean(evidence, runs, gains)


def _lazy_less_feature(of: Callable[[Evidence], xr.Dataset], width: int, evidence: Evidence) -> Measurement:
    """Measure the test error in the lazy regime minus that in the feature regime, at one width, by run."""
    grid = of(evidence)
    if width not in grid["width"]:
        raise UntestedError(f"the study has no width {width}")
    grid = grid.sel(width=width)
    lazy, feature = _at(grid, LAZY), _at(grid, FEATURE)
    error = (lazy["test_error"] - feature["test_error"]).transpose("data_seed", "seed")
    return _mean(evidence, grid.sel(scale=[FEATURE, LAZY]), error.values)


def _distance(evidence: Evidence) -> Measurement:
    grid = _wide(_digits(evidence))
    if "frozen_start_distance" not in grid:
        raise UntestedError("the study has no frozen kernels; set frozen to true")
    runs = _at(grid, LAZY)
    distance = runs["frozen_start_distance"].mean("width").transpose("data_seed", "seed")
    both = runs.assign(converged=runs["converged"] * runs["frozen_converged"])
    return _mean(evidence, both, distance.values)


def _variance_of_sizes(evidence: Evidence) -> Measurement:
    """Measure the exponent of the variance in P, by the jackknife over initial seeds."""
    items = sorted(evidence.files("lazy_sizes"), key=lambda item: int(item.attrs["train_samples"]))
    for item in items:
        require(lazy_sizes(), facts_of(item))
    grids = [_at(_unexplored(item), LAZY) for item in items]
    alike = ("width", "data_seed", "seed")
    if any(not grid[name].equals(grids[0][name]) for grid in grids for name in alike):
        raise UntestedError("the studies differ in their widths, splits or initial seeds")
    sizes = [int(item.attrs["train_samples"]) for item in items]
    if len(set(sizes)) < 3 or grids[0].sizes["seed"] < 3 or grids[0].sizes["width"] != 1:
        raise UntestedError(
            "three sizes of the training set, three initial seeds and exactly one width are needed"
        )
    wanted = ["output_variance", "output_variance_without", "converged"]
    runs = xr.concat([grid[wanted] for grid in grids], "size").isel(width=0)
    span = sizes[0], sizes[-1]
    whole = power(sizes, runs["output_variance"].transpose("data_seed", "size").values, *span)
    each = runs["output_variance_without"].transpose("data_seed", "seed", "size").values
    return _mean(evidence, runs, pseudo_values(whole, power(sizes, each, *span)))


_RUNS = (
    "mean over splits and initial seeds, with an interval for new splits and new seeds, without the splits "
    "that were explored"
)
_WIDTHS = f"widths of at least {_NARROWEST}"
_SLOPE = "exponent of a power law"


_WORDS = {
    _LAZY_WINDOW: "s of at least 100",
    _FEATURE_WINDOW: "s from 0.001 to 1",
    _EARLY_WINDOW: "s from 0.001 to 0.01",
}


class _Law(NamedTuple):
    """Power law of a variable in s: its exponent, half the width of its band, and the range of the fit."""

    id: str
    place: str
    variable: str
    window: tuple[float, float]
    value: float
    half: float
    statement: str


def _laws(
    prefix: str, of: Callable[[Evidence], xr.Dataset], role: str, layers: int, network: str
) -> tuple[Claim, ...]:
    """Return the claims about the power laws in s of one study."""
    kernel, weights = 2 * layers / (layers + 1), 1 / (layers + 1)
    kernel_place, weight_place = "Fig. 5a, section 6 (Fig. L3 here)", "Eq. 29, Fig. 9 (Fig. L3 here)"
    time_place = "Fig. 5c, section 6 (Fig. L4 here)"
    laws = (
        _Law("kernel_lazy", kernel_place, "kernel_change", _LAZY_WINDOW, -1.0, 0.05,
             "in the lazy regime the change of the neural tangent kernel falls with the scale s as 1/s"),
        _Law("kernel_feature", kernel_place, "kernel_change", _FEATURE_WINDOW, -kernel, 0.1,
             "in the feature regime the change of the neural tangent kernel falls with the scale s as "
             "s^(−2L/(L+1))"),
        _Law("weights_lazy", weight_place, "weight_change", _LAZY_WINDOW, -1.0, 0.05,
             "in the lazy regime the change of the weights falls with the scale s as 1/s"),
        _Law("weights_feature", weight_place, "weight_change", _FEATURE_WINDOW, -weights, 0.05,
             "in the feature regime the change of the weights falls with the scale s as s^(−1/(L+1))"),
        _Law("time_feature", time_place, "half_time", _EARLY_WINDOW, 1.0, 0.1,
             "in the feature regime the time to halve the loss is proportional to the scale s"),
        _Law("time_lazy", time_place, "half_time", _LAZY_WINDOW, 0.0, 0.02,
             "in the lazy regime the time to halve the loss does not depend on the scale s"),
    )  # fmt: skip
    return tuple(
        Claim(
            f"{prefix}_{law.id}",
            f"arXiv 1906.08034, {law.place}",
            f"{law.statement} (L = {layers})",
            law.value,
            f"exponent by least squares of logarithms, {_WORDS[law.window]}, of each run; {_WIDTHS}; {_RUNS}",
            Range(law.value - law.half, law.value + law.half),
            (role,),
            partial(exponent, of, law.variable, law.window),
            _SLOPE,
            network,
        )
        for law in laws
    )


_DIGITS, _FASHION = "Softplus, 2 hidden layers", "Softplus, 3 hidden layers"

CLAIMS: tuple[Claim, ...] = (
    *_laws("digits", _digits, "lazy", 2, _DIGITS),
    Claim(
        "digits_crossover",
        "arXiv 1906.08034, section 6 (Fig. L1 here)",
        "the scale α* that separates the feature regime from the lazy regime falls with the width h as 1/√h",
        -0.5,
        f"exponent in h of the α where ‖ΔΘ‖ = ‖Θ(0)‖, of each run; {_WIDTHS}; {_RUNS}",
        Range(-0.6, -0.4),
        ("lazy",),
        _crossover,
        _SLOPE,
        _DIGITS,
    ),
    *(
        Claim(
            f"digits_variance_{regime}",
            "arXiv 1906.08034, Fig. 4a (Fig. L2 here)",
            f"in the {regime} regime the variance of the prediction over initial seeds falls with the width "
            "h as 1/h",
            -1.0,
            f"exponent in h at s = {exact(scale)}, jackknifed over initial seeds; {_RUNS}",
            Range(-1.2, -0.8),
            ("lazy",),
            partial(_variance, scale),
            _SLOPE,
            _DIGITS,
        )
        for regime, scale in (("feature", FEATURE), ("lazy", LAZY))
    ),
    *(
        Claim(
            f"digits_ensembles_{regime}",
            "arXiv 1906.08034, Fig. 4c,d (Fig. L2 here)",
            f"in the {regime} regime the mean prediction of several networks has a smaller test error than "
            "one network",
            math.nan,
            f"test error of one network less that of the ensemble, s = {exact(scale)}, mean over widths; "
            f"{_RUNS}",
            above(0.0),
            ("lazy",),
            partial(_gain_of_ensembles, scale),
            "difference of test errors",
            _DIGITS,
        )
        for regime, scale in (("feature", FEATURE), ("lazy", LAZY))
    ),
    *(
        Claim(
            f"{prefix}_lazy_is_better",
            f"arXiv 1906.08034, Fig. 3 (Fig. {shown} here)",
            f"fully connected networks (h = {width}) have a smaller test error in the lazy regime than in "
            "the feature regime",
            math.nan,
            f"test error at s = {exact(LAZY)} less that at {exact(FEATURE)}, paired by run; {_RUNS}",
            below(0.0),
            (role,),
            partial(_lazy_less_feature, of, width),
            "difference of test errors",
            network,
        )
        for prefix, of, role, width, shown, network in (
            ("digits", _digits, "lazy", 128, "L1", _DIGITS),
            ("fashion", _fashion, "lazy_further", 96, "L7", _FASHION),
        )
    ),
    Claim(
        "digits_frozen_limit",
        "arXiv 1906.08034, Fig. 3b, appendix A (Fig. L5 here)",
        "a network with large α learns the same predictions as its initial neural tangent kernel, kept "
        "frozen",
        0.0,
        f"relative distance of both predictions on test samples, s = {exact(LAZY)}; {_WIDTHS}; {_RUNS}",
        below(0.01),
        ("lazy",),
        _distance,
        "relative distance",
        _DIGITS,
    ),
    Claim(
        "variance_of_sizes_lazy",
        "arXiv 1906.08034, Eq. 33, Fig. 14 (Fig. L8 here)",
        "in the lazy regime the variance of the prediction grows with the number P of training samples as √P",
        0.5,
        f"exponent in P at s = {exact(LAZY)}, jackknifed over initial seeds; {_RUNS}",
        Range(0.35, 0.65),
        ("lazy_sizes",),
        _variance_of_sizes,
        _SLOPE,
        _DIGITS,
    ),
    *_laws("fashion", _fashion, "lazy_further", 3, _FASHION),
)
"""The rules were registered before the runs (docs/lazy.md)."""
