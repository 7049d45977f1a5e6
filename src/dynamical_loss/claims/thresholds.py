"""Claims about the threshold of instability, and about runs that stay above or below it (Fig. 5)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import xarray as xr

from dynamical_loss.analysis import threshold
from dynamical_loss.analysis.intervals import bootstrap_deviations
from dynamical_loss.analysis.ritz import regular_snapshots
from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import (
    MINIMUM_RUNS,
    PRIMARY,
    Claim,
    Evidence,
    Measurement,
    UntestedError,
    require,
)
from dynamical_loss.notation import exact
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.protocols import NARROW, THRESHOLD, WIDE, static_run
from dynamical_loss.results import recorded


def _threshold_file(evidence: Evidence) -> xr.Dataset:
    item = evidence.files("threshold")[0]
    for origin in recorded.settings_of(item)["trajectories"]:
        require(THRESHOLD, facts_of(item, origin))
    return item


def _thresholds(item: xr.Dataset, definition: str, width: int) -> xr.DataArray:
    """Return λ_th by one definition and at one width, shape (learning_rate, seed)."""
    if width not in item["width"].values:
        raise UntestedError(f"there are no runs of width {width}")
    return item["threshold_by_definition"].sel(definition=definition, width=width)


def _fitted(name: str, evidence: Evidence) -> Measurement:
    """Measure `name` ("exponent" or "prefactor") of the fit λ_th = c η^p at the narrow width."""
    item = _threshold_file(evidence)
    values = _thresholds(item, evidence.definition, NARROW)
    fit = item.sel(definition=evidence.definition, width=NARROW)
    lower, upper = fit[f"{name}_interval"].values.tolist()
    measured = Measurement(float(fit[name]), (lower, upper), int(fit["fit_n"]))
    rates = int((values.notnull().sum("seed") >= MINIMUM_RUNS).sum())
    if rates < 3:
        raise UntestedError(
            f"{rates} learning rates have {MINIMUM_RUNS} runs or more; 3 are needed", measured
        )
    return measured


def _width_ratio(evidence: Evidence) -> Measurement:
    """Measure λ_th(wide) / λ_th(narrow), geometric mean over the learning rates that both widths have."""
    item = _threshold_file(evidence)
    narrow, wide = (
        np.log(_thresholds(item, evidence.definition, width).transpose("learning_rate", "seed").values)
        for width in (NARROW, WIDE)
    )
    both = np.isfinite(narrow).any(axis=1) & np.isfinite(wide).any(axis=1)
    if not both.any():
        raise UntestedError("there is no learning rate at which both widths have a threshold")
    # Subtracting the narrow width's mean at each learning rate makes runs at different learning rates
    # comparable, so that they can be pooled.
    level = np.nanmean(narrow[both], axis=1, keepdims=True)
    pooled = [(values[both] - level).ravel() for values in (narrow, wide)]
    narrow, wide = (values[np.isfinite(values)] for values in pooled)
    difference = float(wide.mean() - narrow.mean())
    n = min(narrow.size, wide.size)
    if n < MINIMUM_RUNS:
        return Measurement(math.exp(difference), n=n)
    seed, resamples = evidence.settings.seed, evidence.settings.resamples
    spread = bootstrap_deviations(wide, resamples=resamples, seed=[seed, 1]) - bootstrap_deviations(
        narrow, resamples=resamples, seed=[seed, 2]
    )
    lower, upper = np.exp(difference + np.quantile(spread, [0.025, 0.975])).tolist()
    return Measurement(math.exp(difference), (lower, upper), n)


def _share_above(role: str, attribute: str, evidence: Evidence) -> Measurement:
    """Measure the share of the second half of static runs in which λ_max is above the measured threshold."""
    width = NARROW if role == "static_narrow" else WIDE
    spectra = evidence.files(role)
    values = _thresholds(_threshold_file(evidence), PRIMARY, width)
    shares = []
    for item in spectra:
        origin = recorded.settings_of(item)["trajectory"]
        require(static_run(width), facts_of(item, origin))
        rate = origin["learning_rate"]
        limit = math.nan
        if rate in values["learning_rate"].values:
            limit = float(values.sel(learning_rate=rate).mean("seed"))
        if not math.isfinite(limit):
            raise UntestedError(f"no threshold was measured at η = {exact(rate)} and width {width}")
        found = threshold.fraction_above(*regular_snapshots(item, "hessian_eigenvalue"), limit)
        shares.append(getattr(found, attribute))
    return evidence.mean(shares, (0.0, 1.0))


_TOLERATED = "within 5 % (this tolerance was chosen after first results had been seen)"

_HALF = "mean over n runs of the share of snapshots in the second half of the run"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "threshold_width_{definition}",
        "Fig. 5a",
        "the threshold of instability is the same for the narrow and the wide network (definition: "
        "{definition})",
        1.0,
        "λ_th at width 1000 over λ_th at width 100, geometric mean over the learning rates that both have; "
        "n runs of the width with fewer",
        Range(0.8, 1.25),
        ("threshold",),
        _width_ratio,
        "ratio",
    ),
    Claim(
        "threshold_exponent_{definition}",
        "Fig. 5a",
        "the threshold of instability falls with the learning rate as η^-0.9 (definition: {definition})",
        -0.9,
        "exponent of λ_th = c η^p fitted over n runs of width 100 (at least 3 learning rates with 3 runs)",
        Range(-0.95, -0.85),
        ("threshold",),
        partial(_fitted, "exponent"),
        "exponent",
        f"width {NARROW}",
    ),
    Claim(
        "theory_exponent_{definition}",
        "Sec. III.4, stability of gradient descent",
        f"theory: the threshold of instability falls as 1/η {_TOLERATED} (definition: {{definition}})",
        -1.0,
        "exponent of λ_th = c η^p fitted over n runs of width 100 (at least 3 learning rates with 3 runs)",
        Range(-1.05, -0.95),
        ("threshold",),
        partial(_fitted, "exponent"),
        "exponent",
        f"width {NARROW}",
    ),
    Claim(
        "theory_prefactor_{definition}",
        "Sec. III.4, stability of gradient descent",
        f"theory: the threshold of instability is 2/η {_TOLERATED} (definition: {{definition}})",
        2.0,
        "prefactor of λ_th = c η^p fitted over n runs of width 100 (at least 3 learning rates with 3 runs)",
        Range(1.9, 2.1),
        ("threshold",),
        partial(_fitted, "prefactor"),
        "prefactor",
        f"width {NARROW}",
    ),
    *(
        Claim(
            f"static_{short}_{side}{suffix}",
            f"Fig. 5{panel}",
            f"with the static loss λ_max of the {short} network (width {width}) stays {side} the threshold "
            f"of instability{words}",
            paper,
            f"{_HALF} with {reading} above the threshold measured at the same η and width",
            criterion,
            ("threshold", f"static_{short}"),
            partial(_share_above, f"static_{short}", attribute),
            "share of snapshots",
            f"width {width}",
        )
        for short, width, side, panel, paper, criterion, after in (
            ("narrow", NARROW, "above", "b", 1.0, above(0.9), ""),
            ("wide", WIDE, "below", "c", 0.0, below(0.1), " after a transient"),
        )
        for suffix, attribute, reading, words in (
            ("", "fraction", "λ_max", after),
            (
                "_branch_mean",
                "fraction_of_branch_mean",
                "λ_max, averaged over its two branches,",
                f"{after} if λ_max is averaged over its two branches",
            ),
        )
    ),
)
"""Claims about the threshold, its power law, and static runs."""
