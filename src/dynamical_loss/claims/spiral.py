"""Claims about the phase diagrams of the spiral (Fig. 3)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import xarray as xr

from dynamical_loss.claims.cells import (
    ACCURACY,
    COVERED,
    best_cell,
    mean_accuracy,
    region_accuracy,
    static_accuracy,
)
from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.notation import exact
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.protocols import NARROW, WIDE, phase_of_spiral
from dynamical_loss.results.recorded import DATASET_SETTINGS

NARROW_REGION = ((5.0, 20.0), 300)
WIDE_REGION = ((5.0, 25.0), 700)
"""Regions where the dynamical loss helps: (smallest A, largest A), and the longest T in steps (Fig. 3)."""

_REGIONS = {"phase_narrow": NARROW_REGION, "phase_wide": WIDE_REGION}

TOO_LARGE = 60.0
"""Smallest A that counts as "too large": twice the paper's optimum, A ~ 30."""

_OF_TRAINING = (
    DATASET_SETTINGS,
    "model",
    "loss",
    "output_scale",
    "optimiser",
    "batch_size",
    "learning_rate",
    "learning_rate_schedule",
    "learning_rate_rule",
    "steps",
)


def _phase(evidence: Evidence, role: str) -> xr.Dataset:
    dataset = evidence.files(role)[0]
    require(phase_of_spiral(NARROW if role == "phase_narrow" else WIDE), facts_of(dataset))
    return dataset


def _static(role: str, variable: str, evidence: Evidence) -> Measurement:
    return evidence.mean(static_accuracy(_phase(evidence, role)[variable]), ACCURACY)


def _static_narrow(variable: str, evidence: Evidence) -> Measurement:
    """Measure the accuracy of the narrow network at A = 1.

    Among all studies with the same training, the study with the most seeds is used.
    """
    main = _phase(evidence, "phase_narrow")
    training = _training(main)
    # The main study records all these facts, so a study that lacks one of them does not compare equal.
    others = [item for item in evidence.inputs.get("initialisation", ()) if _training(item) == training]
    largest = max([main, *others], key=lambda dataset: dataset.sizes["seed"])
    return evidence.mean(static_accuracy(largest[variable]), ACCURACY)


def _training(item: xr.Dataset) -> dict[str, Any]:
    """Return the facts that must be equal in two studies for their static runs to be interchangeable."""
    facts = facts_of(item)
    return {name: facts[name] for name in _OF_TRAINING if name in facts}


def _best(variable: str, evidence: Evidence) -> Measurement:
    return evidence.mean(best_cell(_phase(evidence, "phase_narrow")[variable])[0], ACCURACY)


def _best_improvement(variable: str, evidence: Evidence) -> Measurement:
    found, static = best_cell(_phase(evidence, "phase_wide")[variable])
    return evidence.mean(found - static)


def _region(role: str, variable: str, evidence: Evidence) -> Measurement:
    return evidence.mean(region_accuracy(_phase(evidence, role)[variable], *_REGIONS[role]), ACCURACY)


def _improvement(role: str, variable: str, evidence: Evidence) -> Measurement:
    accuracy = _phase(evidence, role)[variable]
    return evidence.mean(region_accuracy(accuracy, *_REGIONS[role]) - static_accuracy(accuracy))


def _harm(variable: str, evidence: Evidence) -> Measurement:
    accuracy = _phase(evidence, "phase_narrow")[variable]
    largest = float(accuracy["amplitude"].max())
    if largest < TOO_LARGE:
        raise UntestedError(
            f"the largest A in the grid is {exact(largest)}, and {exact(TOO_LARGE)} is needed"
        )
    amplitudes, longest = NARROW_REGION
    at_largest = mean_accuracy(accuracy, (largest, largest), longest)
    return evidence.mean(at_largest - region_accuracy(accuracy, amplitudes, longest))


_NARROW_WORDS = "5 <= A <= 20, T <= 300"
_WIDE_WORDS = "5 <= A <= 25, T <= 700"
_SEEDS = "n seeds"
_ACCURACY, _DIFFERENCE = "accuracy", "difference of accuracies"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "static_narrow_fails",
        "Fig. 3a",
        "the narrow network (width 100) does not learn the spiral with the static loss (A = 1)",
        0.65,
        f"mean final training accuracy at A = 1 over {_SEEDS}",
        below(0.8),
        ("phase_narrow", "initialisation"),
        partial(_static_narrow, "train_accuracy"),
        _ACCURACY,
        spare=("initialisation",),
    ),
    Claim(
        "static_narrow_train_value",
        "Fig. 3a",
        "with the static loss (A = 1) the narrow network (width 100) reaches training accuracy ~0.65 on the "
        "spiral",
        0.65,
        f"mean final training accuracy at A = 1 over {_SEEDS}",
        Range(0.6, 0.7),
        ("phase_narrow", "initialisation"),
        partial(_static_narrow, "train_accuracy"),
        _ACCURACY,
        spare=("initialisation",),
    ),
    Claim(
        "static_narrow_validation_value",
        "Fig. 3b",
        "with the static loss (A = 1) the narrow network (width 100) reaches validation accuracy ~0.65 on "
        "the spiral",
        0.65,
        f"mean final validation accuracy at A = 1 over {_SEEDS}",
        Range(0.6, 0.7),
        ("phase_narrow", "initialisation"),
        partial(_static_narrow, "validation_accuracy"),
        _ACCURACY,
        spare=("initialisation",),
    ),
    Claim(
        "narrow_region_train",
        "Fig. 3a",
        f"with the dynamical loss in the region {_NARROW_WORDS} the narrow network (width 100) reaches "
        "training accuracy ~1",
        1.0,
        f"final training accuracy, mean over the grid's cells with {_NARROW_WORDS} ({COVERED}), then "
        f"over {_SEEDS}",
        above(0.95),
        ("phase_narrow",),
        partial(_region, "phase_narrow", "train_accuracy"),
        _ACCURACY,
    ),
    Claim(
        "narrow_region_validation",
        "Fig. 3b",
        f"with the dynamical loss in the region {_NARROW_WORDS} the narrow network (width 100) reaches "
        "validation accuracy ~0.9",
        0.9,
        f"final validation accuracy, mean over the grid's cells with {_NARROW_WORDS} ({COVERED}), then "
        f"over {_SEEDS}",
        above(0.85),
        ("phase_narrow",),
        partial(_region, "phase_narrow", "validation_accuracy"),
        _ACCURACY,
    ),
    Claim(
        "narrow_region_improves",
        "Fig. 3b",
        f"with the dynamical loss in the region {_NARROW_WORDS} the narrow network (width 100) "
        "generalises better than with the static loss (~0.9 against ~0.65)",
        0.25,
        "final validation accuracy minus that of the same seed at A = 1, mean over the grid's cells with "
        f"{_NARROW_WORDS} ({COVERED}), then over {_SEEDS}",
        above(0.0),
        ("phase_narrow",),
        partial(_improvement, "phase_narrow", "validation_accuracy"),
        _DIFFERENCE,
    ),
    *(
        Claim(
            f"narrow_best_{short}",
            source,
            f"somewhere in the (T, A) plane the narrow network (width 100) reaches {words} "
            "(this row was added after first results had been seen)",
            paper,
            "final accuracy in the cell that is best on the even seeds, mean over the n odd ones",
            above(limit),
            ("phase_narrow",),
            partial(_best, variable),
            _ACCURACY,
        )
        for short, source, words, paper, limit, variable in (
            ("train", "Fig. 3a", "training accuracy ~1", 1.0, 0.95, "train_accuracy"),
            ("validation", "Fig. 3b", "validation accuracy ~0.9", 0.9, 0.85, "validation_accuracy"),
        )
    ),
    Claim(
        "static_wide_train",
        "Fig. 3c",
        "with the static loss the wide network (width 1000) learns the spiral to training accuracy ~1",
        1.0,
        f"mean final training accuracy at A = 1 over {_SEEDS}",
        above(0.95),
        ("phase_wide",),
        partial(_static, "phase_wide", "train_accuracy"),
        _ACCURACY,
    ),
    Claim(
        "wide_region_improves",
        "Fig. 3d",
        f"with the dynamical loss in the region {_WIDE_WORDS} the wide network (width 1000) generalises "
        "better than with the static loss",
        math.nan,
        "final validation accuracy minus that of the same seed at A = 1, mean over the grid's cells with "
        f"{_WIDE_WORDS} ({COVERED}), then over {_SEEDS}",
        above(0.0),
        ("phase_wide",),
        partial(_improvement, "phase_wide", "validation_accuracy"),
        _DIFFERENCE,
    ),
    Claim(
        "wide_best_improves",
        "Fig. 3d",
        "somewhere in the (T, A) plane the wide network (width 1000) generalises better than with the static "
        "loss (this row was added after first results had been seen)",
        math.nan,
        "final validation accuracy minus that at A = 1 in the cell that is best on the even seeds, "
        "mean over the n odd ones",
        above(0.0),
        ("phase_wide",),
        partial(_best_improvement, "validation_accuracy"),
        _DIFFERENCE,
    ),
    *(
        Claim(
            f"too_large_amplitude_{short}",
            "Fig. 3a,b",
            f"too large an amplitude lowers the {words} accuracy of the narrow network (width 100)",
            math.nan,
            f"final {words} accuracy at the grid's largest A (at least {TOO_LARGE:g}, T <= 300) minus that "
            f"of the same seed over the cells with {_NARROW_WORDS} ({COVERED}), mean over {_SEEDS}",
            below(0.0),
            ("phase_narrow",),
            partial(_harm, f"{short}_accuracy"),
            _DIFFERENCE,
        )
        for short, words in (("train", "training"), ("validation", "validation"))
    ),
)
"""Claims about Fig. 3, in the order of its panels."""
