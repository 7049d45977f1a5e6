"""Claims about the talk's open questions, tested on a small Wide ResNet (Fig. S10).

The questions concern batch norm, weight decay, the batch size, and the conditioning of the loss.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.ritz import CONDITIONING_MODES, condition_ratio
from dynamical_loss.claims.cells import gain, with_common_seeds
from dynamical_loss.claims.criteria import above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.claims.images import with_remark
from dynamical_loss.grid import oscillation_end
from dynamical_loss.paper.departures import COPIES, facts_of
from dynamical_loss.paper.protocols import QUESTIONS_RUN, QUESTIONS_STUDY, WEIGHT_DECAY
from dynamical_loss.results import recorded

Floats = npt.NDArray[np.float64]


class Condition(NamedTuple):
    """Conditions of training in which the studies differ.

    Attributes:
        normalised: whether the network has batch norm.
        decayed: whether the optimiser has weight decay.
        batch: number of images in a batch.
    """

    normalised: bool
    decayed: bool
    batch: int


def condition_of(item: xr.Dataset) -> Condition:
    """Return the conditions of training of a phase diagram of a Wide ResNet."""
    settings = recorded.settings_of(item)
    decay = float(recorded.setting(settings, WEIGHT_DECAY, 0.0))
    return Condition(settings["model"]["normalisation"] == "batch", decay > 0, int(settings["batch_size"]))


def _studies(evidence: Evidence) -> dict[Condition, xr.Dataset]:
    found: dict[Condition, xr.Dataset] = {}
    for item in evidence.files("questions"):
        require(QUESTIONS_STUDY, facts_of(item), but=[COPIES, WEIGHT_DECAY])
        condition = condition_of(item)
        if condition in found:
            raise UntestedError(f"two studies have the same conditions: {condition}")
        found[condition] = item
    return found


def _improves(evidence: Evidence) -> Measurement:
    used = with_common_seeds(_studies(evidence))
    gains = [gain(item["validation_accuracy"]) for item in used.values()]
    return with_remark(evidence.mean(np.mean(gains, axis=0)), next(iter(used.values())))


def _difference(name: str, first: Any, second: Any, evidence: Evidence) -> Measurement:
    """Measure the gain at the first value of a condition minus the gain at the second value.

    The difference is averaged over the other conditions.  A gain that does not exist cannot be reduced: with
    negative gains the difference would mean the opposite.

    Args:
        name: name of the condition.
        first: first value of this condition.
        second: second value of this condition.
        evidence: files by role.

    Raises:
        UntestedError: if no two studies differ in this condition alone, if two have the same conditions, or
            if the mean gain over the compared studies does not lie above 0.
    """
    studies = _studies(evidence)
    pairs = [
        (condition, other)
        for condition in studies
        if getattr(condition, name) == first and (other := condition._replace(**{name: second})) in studies
    ]
    if not pairs:
        raise UntestedError(f"no two studies differ in {name} alone")
    used = with_common_seeds({condition: studies[condition] for pair in pairs for condition in pair})
    gains = {condition: gain(item["validation_accuracy"]) for condition, item in used.items()}
    found = with_remark(
        evidence.mean(np.mean([gains[one] - gains[other] for one, other in pairs], axis=0)),
        next(iter(used.values())),
    )
    mean = evidence.mean(np.mean(list(gains.values()), axis=0))
    if not mean.interval[0] > 0:
        low, high = mean.interval
        words = f"the mean gain over these studies is {mean.value:.4f} [{low:.4f}, {high:.4f}]"
        raise UntestedError(f"{words}, so there is no gain that could be reduced", found)
    return found


def conditioning(item: xr.Dataset) -> float:
    """Return the mean of ln(λ₁/λ₅) of the weighted loss over the snapshots before the oscillation ends."""
    training = recorded.settings_of(item)["trajectory"]
    end = oscillation_end(training["steps"], recorded.cycle_of(training), stop=training["oscillation_stop"])
    before = item.where(item["snapshot_step"] < end, drop=True)
    if before.sizes["mode"] < CONDITIONING_MODES:
        raise UntestedError(
            f"the spectra hold {before.sizes['mode']} eigenvalues; {CONDITIONING_MODES} are needed"
        )
    ratio = condition_ratio(before)
    known = ratio.values[np.isfinite(ratio.values)]
    if not known.size:
        raise UntestedError("Lanczos has not converged to λ₅ at any snapshot; raise probes.hessian.order")
    return float(np.log(known).mean())


def _better_conditioned(evidence: Evidence) -> Measurement:
    runs: dict[tuple[bool, bool], dict[int, float]] = {}
    for item in evidence.files("conditioning"):
        training = recorded.settings_of(item)["trajectory"]
        require(QUESTIONS_RUN, facts_of(item, training), but=[COPIES])
        kind = training["model"]["normalisation"] == "batch", training["amplitude"] == 1
        own, seed = runs.setdefault(kind, {}), int(training["seed"])
        if seed in own:
            raise UntestedError(f"two runs have the same conditions and the seed {seed}")
        own[seed] = conditioning(item)
    kinds = itertools.product((True, False), (True, False))
    seeds = sorted(set.intersection(*(set(runs.get(kind, {})) for kind in kinds)))
    if not seeds:
        raise UntestedError("the static and dynamical runs of both networks have no seed in common")
    differences = [
        [runs[normalised, False][seed] - runs[normalised, True][seed] for seed in seeds]
        for normalised in (True, False)
    ]
    return with_remark(evidence.mean(np.mean(differences, axis=0)), item, training)


_SOURCE = "talk, open question (Fig. S10)"
_SIZE = "Wide ResNet on 16×16 images"
_GAINS = (
    "gain in final validation accuracy over A = 1 {first} minus that {second}, the same seed, mean over all "
    "other conditions, then over n seeds; not tested unless the mean gain of these studies lies above 0"
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "question_gain",
        _SOURCE,
        f"the dynamical loss raises validation accuracy ({_SIZE})",
        math.nan,
        "gain in final validation accuracy over A = 1, the same seed, mean over the conditions that were "
        "run, then over n seeds",
        above(0.0),
        ("questions",),
        _improves,
        "difference of accuracies",
    ),
    *(
        Claim(
            identity,
            _SOURCE,
            f"{statement} ({_SIZE})",
            math.nan,
            _GAINS.format(first=first_words, second=second_words),
            above(0.0),
            ("questions",),
            partial(_difference, name, first, second),
            "difference of accuracies",
        )
        for identity, statement, name, first, first_words, second, second_words in (
            (
                "question_batch_norm",
                "batch norm reduces the gain in accuracy from the dynamical loss",
                "normalised", False, "without batch norm", True, "with it",
            ),
            (
                "question_regularisation",
                "weight decay reduces the gain in accuracy from the dynamical loss",
                "decayed", False, "without weight decay", True, "with it",
            ),
            (
                "question_batch",
                "at an equal number of steps, small batches reduce the gain in accuracy from the dynamical "
                "loss",
                "batch", 512, "with batches of 512", 64, "with batches of 64",
            ),
        )
    ),
    Claim(
        "question_conditioning",
        _SOURCE,
        f"along a run the dynamical loss is better conditioned than the static loss ({_SIZE})",
        math.nan,
        "ln(λ₁/λ₅) of the weighted loss under the dynamical loss minus under the static one, the same seed, "
        "means over the snapshots before the static end, over networks with batch norm and without, and over "
        "n seeds",
        below(0.0),
        ("conditioning",),
        _better_conditioned,
        "natural logarithm of a ratio",
    ),
)  # fmt: skip
"""The rules were registered before the runs (docs/choices.md)."""
