"""Claims about the residual of the squared error at the edge of stability (section III.4, Fig. F10)."""

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
"""Seeds below this number had been examined when the rules were written; only the other seeds measure."""

WINDOW = {"start": 11_400, "stop": 11_600, "every": 1}
"""Steps at which the runs are measured."""

STEPS = 20
"""Number of steps for which the kernels predict the residual."""

_BOUND, _NEAR = 2.0, 0.05
_NEARLY_ALWAYS = 0.9


def _runs(evidence: Evidence, static: bool) -> xr.Dataset:
    """Return the study with the static or with the dynamical squared error, without the explored seeds.

    Raises:
        UntestedError: if there is not exactly one such study, or if it departs from its protocol.
    """
    runs = pairs.member(evidence, "residuals", residual_run, "the dynamical loss", static=static)
    windows = recorded.settings_of(runs)["trajectory"]["snapshots"]["windows"]
    if windows != [WINDOW]:
        raise UntestedError(
            f"the snapshots are not those of every step from {WINDOW['start']} to {WINDOW['stop']}"
        )
    return runs.sel(seed=slice(EXPLORED, None))


def _mean(name: str, static: bool, evidence: Evidence) -> Measurement:
    return evidence.mean(_runs(evidence, static)[name].values)


def _agreement(evidence: Evidence) -> Measurement:
    return evidence.mean(_runs(evidence, static=True)["instability_agreement"].values, (0.0, 1.0))


def _moving_over_fixed(evidence: Evidence) -> Measurement:
    """Measure the logarithm of the moving kernel's error over the fixed kernel's, after `STEPS` steps."""
    errors = _runs(evidence, static=True)["kernel_error"]
    if STEPS not in errors["kernel_age"]:
        raise UntestedError(f"the study lacks predictions of the residual by the kernels for {STEPS} steps")
    last = errors.sel(kernel_age=STEPS)
    return evidence.mean(np.log((last.sel(kernel="moving") / last.sel(kernel="fixed")).values))


_SECTION = "section III.4 (Fig. F10)"
_SEEDS = "mean over steps, then over the n seeds that no draft had used"
_MULTIPLE = "multiple of N/η"
_AT_THE_BOUND = Range(_BOUND - _NEAR, _BOUND + _NEAR)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "kernel_at_its_bound_static",
        _SECTION,
        "with the static squared error, training brings the largest eigenvalue of the neural tangent kernel "
        "to 2N/η, where a mode of the residual becomes unstable",
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
        "with the dynamical squared error (T = 5000, A = 70), training brings the largest eigenvalue of the "
        "neural tangent kernel weighted by Γ to 2N/η",
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
        "with the static squared error a step raises the loss if, and only if, a mode of the residual is "
        "unstable",
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
        "with the static squared error, where the largest eigenvalue of the neural tangent kernel is at "
        "2N/η, a fixed kernel predicts the run's residual better than the kernel of each step does",
        float("nan"),
        "ln of the distance from the run that the moving kernel leads to over that of the fixed one, after "
        f"{STEPS} steps; geometric mean over starts, then mean over the n seeds that no draft had used",
        above(0.0),
        ("residuals",),
        _moving_over_fixed,
        "natural logarithm of a ratio",
    ),
)
"""The rules were registered before the seeds that measure were run (docs/flow.md)."""
