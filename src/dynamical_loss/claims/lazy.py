"""Feature against lazy training (arXiv 1906.08034), claims L1 to L10 (Fig. L1 to L5, L7)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

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

EXPLORED = 0
"""The split of the data that was looked at when the rules were written; the others measure."""

FEATURE, LAZY = 0.01, 1000.0
"""Scales s = √h·α deep in the two regimes."""

_NARROWEST = 32  # width of the power laws in s: below it networks are far from their wide limit
_FEATURE_WINDOW, _LAZY_WINDOW, _EARLY_WINDOW = (1e-3, 1.0), (100.0, math.inf), (1e-3, 1e-2)
_ORDER = ("data_seed", "seed", "width", "scale")


def _grid(role: str, protocol: Protocol, evidence: Evidence) -> xr.Dataset:
    """The one study of a role, without the split that was explored, widths and scales ascending."""
    items = evidence.files(role)
    if len(items) != 1:
        raise UntestedError(f"there are {len(items)} studies of role {role}")
    grid = items[0].sortby("width").sortby("scale")
    require(protocol, facts_of(items[0]))
    others = grid["data_seed"].values != EXPLORED
    if not others.any():
        raise UntestedError(f"the split {EXPLORED} alone was explored; add others to data_seeds")
    return grid.isel(data_seed=others)


def _digits(evidence: Evidence) -> xr.Dataset:
    return _grid("lazy", lazy_digits(), evidence)


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
    """Mean over (split, initial seed), resampled in both, with the flows that did not converge."""
    found = evidence.mean(values)
    lost = int((grid["converged"].values == 0).sum())
    words = f"{lost} of {grid['converged'].size} flows did not converge" if lost else ""
    remark = "; ".join(filter(None, (found.remark, words)))
    return Measurement(found.value, found.interval, found.n, remark)


def exponent(
    of: Callable[[Evidence], xr.Dataset], name: str, window: tuple[float, float], evidence: Evidence
) -> Measurement:
    """Exponent of a variable in s, of each run, mean over widths of at least 32."""
    grid = _wide(of(evidence))
    values = grid[name].transpose(*_ORDER).values
    if (grid["scale"] >= 0.999 * window[0]).sum() < 2 or not np.isfinite(
        fitted := power(grid["scale"].values, values, *window)
    ).all():
        raise UntestedError(f"the scales from {exact(window[0])} on are too few, or a flow did not get there")
    return _mean(evidence, grid, fitted.mean(axis=-1))


def _crossover(evidence: Evidence) -> Measurement:
    """Exponent of α* in h, α* being where the kernel's relative change is 1."""
    grid = _wide(_digits(evidence))
    if grid.sizes["width"] < 2:
        raise UntestedError("the study has one width")
    stars = crossing(grid["scale"].values, grid["kernel_change"].transpose(*_ORDER).values)
    widths = grid["width"].values
    return _mean(evidence, grid, power(widths, stars / np.sqrt(widths), widths[0], widths[-1]))


def _variance(scale: float, evidence: Evidence) -> Measurement:
    """Exponent of the variance in h, by the jackknife over initial seeds."""
    grid = _at(_digits(evidence), scale)
    if grid.sizes["width"] < 3 or grid.sizes["seed"] < 3:
        raise UntestedError("the study has fewer than three widths or initial seeds")
    widths = grid["width"].values
    span = widths[0], widths[-1]
    whole = power(widths, grid["output_variance"].transpose("data_seed", "width").values, *span)
    each = grid["output_variance_without"].transpose("data_seed", "seed", "width").values
    return _mean(evidence, grid, pseudo_values(whole, power(widths, each, *span)))


def _gain_of_ensembles(scale: float, evidence: Evidence) -> Measurement:
    """Mean error of one network less that of the ensemble, mean over widths, by the jackknife."""
    grid = _at(_digits(evidence), scale).mean("width", keep_attrs=True)
    one = grid["test_error"].transpose("data_seed", "seed").values
    n = one.shape[1]
    if n < 3:
        raise UntestedError("the study has fewer than three initial seeds")
    without = (one.sum(axis=1, keepdims=True) - one) / (n - 1)
    ensemble = grid["ensemble_error"].values
    others = grid["ensemble_error_without"].transpose("data_seed", "seed").values
    gains = pseudo_values(one.mean(axis=1) - ensemble, without - others)
    return _mean(evidence, _digits(evidence), gains)


def _lazy_less_feature(of: Callable[[Evidence], xr.Dataset], evidence: Evidence) -> Measurement:
    """Test error in the lazy regime less that in the feature regime, widest network, paired by run."""
    grid = of(evidence).isel(width=-1)
    error = (_at(grid, LAZY)["test_error"] - _at(grid, FEATURE)["test_error"]).transpose("data_seed", "seed")
    found = _mean(evidence, grid, error.values)
    words = "; ".join(filter(None, (f"h = {int(grid['width'])}", found.remark)))
    return Measurement(found.value, found.interval, found.n, words)


def _distance(evidence: Evidence) -> Measurement:
    grid = _wide(_digits(evidence))
    if "frozen_start_distance" not in grid:
        raise UntestedError("the study has no frozen kernels; set frozen to true")
    distance = _at(grid, LAZY)["frozen_start_distance"].mean("width").transpose("data_seed", "seed")
    return _mean(evidence, grid, distance.values)


def _variance_of_sizes(evidence: Evidence) -> Measurement:
    """Exponent of the variance in P, by the jackknife over initial seeds."""
    grids = []
    for item in sorted(evidence.files("lazy_sizes"), key=lambda item: int(item.attrs["train_samples"])):
        require(lazy_sizes(), facts_of(item))
        others = item["data_seed"].values != EXPLORED
        grids.append(_at(item.isel(data_seed=others, width=0), LAZY))
    sizes = [int(item.attrs["train_samples"]) for item in evidence.files("lazy_sizes")]
    if len(set(sizes)) < 3 or any(grid.sizes["seed"] < 3 for grid in grids):
        raise UntestedError("there are fewer than three sizes of the training set, or initial seeds")
    sizes.sort()
    span = sizes[0], sizes[-1]
    whole = power(sizes, np.stack([grid["output_variance"].values for grid in grids], axis=-1), *span)
    each = [grid["output_variance_without"].transpose("data_seed", "seed").values for grid in grids]
    values = pseudo_values(whole, power(sizes, np.stack(each, axis=-1), *span))
    return _mean(evidence, xr.concat([grid[["converged"]] for grid in grids], "size"), values)


_RUNS = "mean over splits and initial seeds, both resampled, without the split that was explored"
_WIDTHS = f"widths of at least {_NARROWEST}"
_SLOPE = "exponent of a power law"


def _laws(
    prefix: str, of: Callable[[Evidence], xr.Dataset], role: str, layers: int, network: str
) -> tuple[Claim, ...]:
    """The power laws in s of one study."""
    kernel, weights = 2 * layers / (layers + 1), 1 / (layers + 1)
    laws = (
        ("kernel_lazy", "L1", "kernel_change", "in the lazy regime the kernel's change falls as 1/s",
         -1.0, 0.05, _LAZY_WINDOW, "s of at least 100"),
        ("kernel_feature", "L2", "kernel_change", "in the feature regime it falls as s^(−2L/(L+1))",
         -kernel, 0.1, _FEATURE_WINDOW, "s from 0.001 to 1"),
        ("weights_lazy", "L3", "weight_change", "in the lazy regime the weights' change falls as 1/s",
         -1.0, 0.05, _LAZY_WINDOW, "s of at least 100"),
        ("weights_feature", "L3", "weight_change", "in the feature regime it falls as s^(−1/(L+1))",
         -weights, 0.05, _FEATURE_WINDOW, "s from 0.001 to 1"),
        ("time_feature", "L4", "half_time", "in the feature regime the time to halve the loss grows as s",
         1.0, 0.1, _EARLY_WINDOW, "s from 0.001 to 0.01"),
        ("time_lazy", "L4", "half_time", "in the lazy regime it does not depend on s",
         0.0, 0.02, _LAZY_WINDOW, "s of at least 100"),
    )  # fmt: skip
    return tuple(
        Claim(
            f"{prefix}_{name}",
            f"arXiv 1906.08034, {number} (Fig. {'L3' if number != 'L4' else 'L4'})",
            f"{statement} (L = {layers})",
            value,
            f"exponent by least squares of logarithms, {words}, of each run; {_WIDTHS}; {_RUNS}",
            Range(value - half, value + half),
            (role,),
            partial(exponent, of, variable, window),
            _SLOPE,
            network,
        )
        for name, number, variable, statement, value, half, window, words in laws
    )


_DIGITS, _FASHION = "Softplus, 2 hidden layers", "Softplus, 3 hidden layers"

CLAIMS: tuple[Claim, ...] = (
    *_laws("digits", _digits, "lazy", 2, _DIGITS),
    Claim(
        "digits_crossover",
        "arXiv 1906.08034, L5 (Fig. L1)",
        "the scale α* that parts the regimes falls as 1/√h",
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
            "arXiv 1906.08034, L6 (Fig. L2)",
            f"the variance of the prediction over initial seeds falls as 1/h in the {regime} regime",
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
            "arXiv 1906.08034, L7 (Fig. L2)",
            f"the mean of networks errs less than one of them in the {regime} regime",
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
            "arXiv 1906.08034, L8 (Fig. L1, L7)",
            "fully connected networks err less in the lazy regime than in the feature regime",
            math.nan,
            f"test error at s = {exact(LAZY)} less that at {exact(FEATURE)}, same run, widest network; "
            f"{_RUNS}",
            below(0.0),
            (role,),
            partial(_lazy_less_feature, of),
            "difference of test errors",
            network,
        )
        for prefix, of, role, network in (
            ("digits", _digits, "lazy", _DIGITS),
            ("fashion", _fashion, "lazy_further", _FASHION),
        )
    ),
    Claim(
        "digits_frozen_limit",
        "arXiv 1906.08034, L9 (Fig. L5)",
        "a network of large α is trained as its kernel of the start, frozen, is",
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
        "arXiv 1906.08034, L10 (Fig. L8)",
        "in the lazy regime the variance of the prediction grows as √P",
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
