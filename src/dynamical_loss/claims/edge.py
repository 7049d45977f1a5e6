"""Claims about steps at the edge of stability, and about each class's share in λ_max (Fig. F5, F9, F11)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import xarray as xr

from dynamical_loss.analysis import small_steps
from dynamical_loss.claims import pairs
from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError
from dynamical_loss.paper.protocols import edge_run
from dynamical_loss.results import recorded

EXPLORED = 3
"""Seeds below this number had been examined when the rules were written; only the other seeds measure."""

EXPLORED_AGAIN = 6
"""Seeds below this number had been examined in runs that repeat a stretch with small steps."""

STRETCH = {"start": 8900, "steps": 1100, "divide": 8}
"""Stretch repeated with small steps: from the start of a cascade until the next class is emphasised."""

_NEARLY_ALWAYS, _MOSTLY = 0.9, 0.75


def _runs(evidence: Evidence, static: bool) -> xr.Dataset:
    """Return the study with the static loss, or with the loss of Fig. 4, without the explored seeds."""
    runs = pairs.member(evidence, "edge", edge_run, "the dynamical loss of Fig. 4", static=static)
    return runs.sel(seed=slice(EXPLORED, None))


def _mean(name: str, static: bool, evidence: Evidence) -> Measurement:
    return evidence.mean(_runs(evidence, static)[name].values)


def _agreement(predictor: str, static: bool, evidence: Evidence) -> Measurement:
    shares = _runs(evidence, static)["rise_agreement"].sel(predictor=predictor)
    return evidence.mean(shares.values, (0.0, 1.0))


def _difference(name: str, evidence: Evidence) -> Measurement:
    """Measure a variable with the dynamical loss minus that with the static loss, paired by seed."""
    dynamical, static = xr.align(*(_runs(evidence, static)[name] for static in (False, True)), join="inner")
    return evidence.mean((dynamical - static).values)


def _small_steps(name: str, evidence: Evidence) -> Measurement:
    """Measure a variable at the end of a stretch, after the run's own steps minus after small steps.

    Only seeds that had not been examined with small steps count.
    """
    runs = _runs(evidence, static=False)
    found = recorded.settings_of(runs)["probes"].get("small_steps") or {}
    if {key: found.get(key) for key in STRETCH} != STRETCH:
        stretch = ", ".join(f"{key} {value}" for key, value in STRETCH.items())
        raise UntestedError(f"the runs were not repeated with small steps ({stretch})")
    runs = runs.sel(seed=slice(EXPLORED_AGAIN, None))
    return evidence.mean(small_steps.differences(runs)[name])


_LAST, _LOSS = f"mean over the last {small_steps.LAST_STEPS} steps", "loss, nats"
_SHARES = "share of steps of which it says rightly whether they raise the weighted loss"
_SHARE_OF_STEPS, _SHARE, _RATIO = "share of steps", "squared cosine", "natural logarithm of a ratio"
_SEEDS = "mean over the n seeds that no draft had used"
_FIG_4 = "in a cascade of the run of Fig. 4"
_STATIC = "with the static loss at the edge of stability"

_Measure = Callable[[Evidence], Measurement]

_QUESTIONS: list[tuple[str, str, str, Range, _Measure, str]] = [
    (
        "sharpness_tells_rise_dynamical",
        f"{_FIG_4} a step raises the loss if, and only if, λ_max > 2/η",
        _SHARES,
        above(_NEARLY_ALWAYS),
        partial(_agreement, "sharpness", False),
        _SHARE_OF_STEPS,
    ),
    (
        "sharpness_tells_rise_static",
        f"{_STATIC} a step raises the loss if, and only if, λ_max > 2/η",
        _SHARES,
        above(_NEARLY_ALWAYS),
        partial(_agreement, "sharpness", True),
        _SHARE_OF_STEPS,
    ),
    (
        "principal_flow_tells_rise_static",
        f"{_STATIC} the principal flow's rates of change, summed over five eigenvectors, predict whether a "
        "step raises the loss",
        _SHARES,
        above(_MOSTLY),
        partial(_agreement, "principal", True),
        _SHARE_OF_STEPS,
    ),
    (
        "quadratic_tells_rise_static",
        f"{_STATIC} the quadratic model's changes, summed over five eigenvectors, predict whether a step "
        "raises the loss",
        _SHARES,
        above(_MOSTLY),
        partial(_agreement, "quadratic", True),
        _SHARE_OF_STEPS,
    ),
    (
        "cascade_costs_emphasised_class",
        f"{_FIG_4} the class with the largest Γ gains nothing: repeating the stretch with small steps leaves "
        "this class with a lower static loss",
        f"its static loss less that of the same stretch with η/8, {_LAST}",
        above(0.0),
        partial(_small_steps, "emphasised"),
        _LOSS,
    ),
    (
        "cascade_costs_other_classes",
        f"{_FIG_4} the classes without the largest Γ gain nothing: repeating the stretch with small steps "
        "leaves these classes with a lower static loss",
        f"their static loss less that of the same stretch with η/8, {_LAST}",
        above(0.0),
        partial(_small_steps, "others"),
        _LOSS,
    ),
    (
        "cascade_limits_sharpness",
        "after a cascade of the run of Fig. 4, λ_max of the static loss is smaller than after the same "
        "stretch in small steps",
        f"ln of λ_max of the static loss over that of the same stretch with η/8, {_LAST}",
        below(0.0),
        partial(_small_steps, "sharpness"),
        _RATIO,
    ),
    (
        "gradient_aligned_in_cascade",
        f"{_FIG_4} the gradient lies more along the first eigenvector of the Hessian than {_STATIC}",
        "squared cosine of the two, mean over steps, dynamical less static",
        above(0.0),
        partial(_difference, "top_gradient_share"),
        _SHARE,
    ),
    (
        "eigenvector_kept_in_cascade",
        f"{_FIG_4} the first eigenvector of the Hessian changes less from step to step than {_STATIC}",
        "squared cosine of it with that one step before, mean over steps, dynamical less static",
        above(0.0),
        partial(_difference, "top_overlap"),
        _SHARE,
    ),
    (
        "emphasised_class_makes_sharpness",
        f"{_FIG_4} the samples of the class with the largest Γ contribute more than half of λ_max",
        "share of λ_max that they add, mean over steps",
        above(0.5),
        partial(_mean, "emphasised_share", False),
        "share of λ_max",
    ),
    (
        "other_classes_sharper_per_weight",
        f"{_FIG_4} the samples of the class with the largest Γ contribute less to λ_max per unit of Γ than "
        "the samples of the other classes",
        "ln of what the class with the largest Γ adds to it per unit of Γ, over what the others add; mean "
        "over steps",
        below(0.0),
        partial(_mean, "emphasised_per_weight", False),
        _RATIO,
    ),
]
"""Each entry: id, statement, what is measured, criterion, measuring function, and kind of the number."""


def _source(identity: str) -> str:
    if "_tells_" in identity:
        return "arXiv 2302.01952, abstract (Fig. F5)"
    return f"this project (Fig. {'F11' if identity.startswith('cascade_') else 'F9'})"


CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        identity,
        _source(identity),
        statement,
        math.nan,
        f"{measured}; {_SEEDS}",
        criterion,
        ("edge",),
        measure,
        quantity,
    )
    for identity, statement, measured, criterion, measure, quantity in _QUESTIONS
)
"""The rules were registered before the seeds that measure were run (docs/flow.md)."""
