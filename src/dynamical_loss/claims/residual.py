"""How the residual of the squared error moves at the edge of stability (section III.4, Fig. F10)."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from dynamical_loss.claims import pairs
from dynamical_loss.claims.criteria import Range, above
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError
from dynamical_loss.paper.protocols import residual_run
from dynamical_loss.results import recorded

EXPLORED = 2
"""Seeds below this had been looked at when the rules were written; the others measure."""

WINDOW = {"start": 11_400, "stop": 11_600, "every": 1}
"""Steps that are looked at."""

STEPS = 20
"""That kernels lead the residual."""

_BOUND, _NEAR = 2.0, 0.05
_NEARLY_ALWAYS = 0.9


def _runs(evidence: Evidence, static: bool) -> xr.Dataset:
    """The study with the static squared error, or that with the dynamical one, without the explored seeds."""
    runs = pairs.member(evidence, "residuals", residual_run, "the dynamical loss", static=static)
    windows = recorded.settings_of(runs)["trajectory"]["snapshots"]["windows"]
    if windows != [WINDOW]:
        raise UntestedError(f"the steps looked at are not {WINDOW['start']} to {WINDOW['stop']}, each")
    return runs.sel(seed=slice(EXPLORED, None))


def _mean(name: str, static: bool, evidence: Evidence) -> Measurement:
    return evidence.mean(_runs(evidence, static)[name].values)


def _agreement(evidence: Evidence) -> Measurement:
    return evidence.mean(_runs(evidence, static=True)["instability_agreement"].values, (0.0, 1.0))


def _moving_over_fixed(evidence: Evidence) -> Measurement:
    """Logarithm of the moving kernel's error over that of the fixed one, after `STEPS` steps."""
    errors = _runs(evidence, static=True)["kernel_error"]
    if STEPS not in errors["kernel_age"]:
        raise UntestedError(f"kernels did not lead the residual for {STEPS} steps")
    last = errors.sel(kernel_age=STEPS)
    return evidence.mean(np.log((last.sel(kernel="moving") / last.sel(kernel="fixed")).values))


_SECTION = "section III.4 (Fig. F10)"
_SEEDS = "mean over steps, then over the n seeds that had not been looked at"
_MULTIPLE = "multiple of N/η"
_AT_THE_BOUND = Range(_BOUND - _NEAR, _BOUND + _NEAR)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "kernel_at_its_bound_static",
        _SECTION,
        "with the static squared error, training brings the kernel's largest eigenvalue to 2N/η, where a "
        "mode of the residual becomes unstable",
        _BOUND,
        f"η/N times the kernel's largest eigenvalue; {_SEEDS}",
        _AT_THE_BOUND,
        ("residuals",),
        partial(_mean, "top_multiple", True),
        _MULTIPLE,
    ),
    Claim(
        "weighted_kernel_at_its_bound_dynamical",
        _SECTION,
        "with the dynamical squared error (T = 5000, A = 70) it is the kernel weighted by Γ that comes there",
        _BOUND,
        f"η/N times the largest eigenvalue of the kernel weighted by Γ; {_SEEDS}",
        _AT_THE_BOUND,
        ("residuals",),
        partial(_mean, "top_multiple", False),
        _MULTIPLE,
    ),
    Claim(
        "unstable_mode_tells_rise_static",
        _SECTION,
        "with the static squared error a step raises the loss if, and only if, a mode is unstable",
        float("nan"),
        f"share of steps of which it says rightly whether they raise the loss; {_SEEDS}",
        above(_NEARLY_ALWAYS),
        ("residuals",),
        _agreement,
        "share of steps",
    ),
    Claim(
        "fixed_kernel_leads_nearer_static",
        _SECTION,
        "at this bound, with the static squared error, the fixed kernel leads the residual nearer to the run "
        "than the kernel of each step does",
        float("nan"),
        "ln of the distance from the run that the moving kernel leads to over that of the fixed one, after "
        f"{STEPS} steps; geometric mean over starts, then mean over the n seeds that had not been looked at",
        above(0.0),
        ("residuals",),
        _moving_over_fixed,
        "natural logarithm of a ratio",
    ),
)
"""The rules were registered before the runs of the seeds that measure (docs/flow.md)."""
