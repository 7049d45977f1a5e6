"""Claims of Fig. 1 at a size that a CPU can train: Myrtle5 of 20 channels on 5000 images (Fig. S9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.cells import runs_of_cell
from dynamical_loss.claims.cells import ACCURACY
from dynamical_loss.claims.criteria import above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.claims.images import BEST_AMPLITUDE, BEST_PERIOD, with_remark
from dynamical_loss.notation import exact
from dynamical_loss.paper.departures import COPIES, facts_of
from dynamical_loss.paper.protocols import (
    EPOCHS,
    LEARNING_RATE,
    PEAK_EPOCH,
    REGIME,
    REGIME_CHANNELS,
    REGIME_IMAGES,
    REGIME_STEPS,
    WEIGHT_DECAY,
)
from dynamical_loss.results import recorded

Floats = npt.NDArray[np.float64]

STATIC = (None, 1.0)
BEST = (BEST_PERIOD, BEST_AMPLITUDE)
REGION = ((100, 25.0), BEST, (250, 50.0))
"""Cells in the region where the paper's dynamical loss helps."""

LONGER = 4 * REGIME_STEPS
OTHER_RATES = (LEARNING_RATE / 2, 2 * LEARNING_RATE)
DECAY = 5e-4

WINDOW = 0.05
"""Half-width of the window about the largest learning rate, as a share of the run."""

_DRAW = "sample_seed"
_FINAL, _CURVE = "validation_accuracy", "validation_accuracy_curve"


def runs(
    evidence: Evidence,
    cell: tuple[int | None, float],
    variable: str = _FINAL,
    *,
    steps: int = REGIME_STEPS,
    learning_rate: float = LEARNING_RATE,
    weight_decay: float = 0.0,
) -> tuple[xr.DataArray, xr.Dataset]:
    """Return a variable in one cell, shape (seed, …), and the file that holds it.

    Args:
        evidence: files by role.
        cell: T and A; T is None for the static loss.
        variable: name of the variable.
        steps: number of steps of the runs.
        learning_rate: largest learning rate of the runs.
        weight_decay: weight decay of the runs.

    Raises:
        UntestedError: if there is not exactly one such study, or if it departs from the protocol.
    """
    wanted = steps, learning_rate, weight_decay
    matching = []
    for item in evidence.files("regime"):
        facts = facts_of(item)
        decay = recorded.setting(facts, WEIGHT_DECAY, 0.0)
        found = runs_of_cell(item, variable, *cell)
        if (facts["steps"], facts["learning_rate"], decay) == wanted and found is not None:
            require(REGIME, facts, but=[COPIES, WEIGHT_DECAY])
            matching.append((_with_draws(found, facts), item))
    period, amplitude = cell
    where = "A = 1" if period is None else f"T = {period}, A = {exact(amplitude)}"
    more = f" and weight decay {weight_decay:g}" if weight_decay else ""
    if len(matching) == 1:
        return matching[0]
    some = "more than one study" if matching else "no study"
    raise UntestedError(f"there is {some} of {where} with {steps} steps at η = {learning_rate:g}{more}")


def _with_draws(runs: xr.DataArray, facts: Mapping[str, Any]) -> xr.DataArray:
    """Add the coordinate `sample_seed`, the seed that chose each run's images.

    Raises:
        UntestedError: if the runs of a study share one choice of images.
    """
    draws = recorded.setting(facts, f"{recorded.DATASET_SETTINGS}.{_DRAW}")
    if not isinstance(draws, list) or len(draws) != runs.sizes["seed"] or facts.get("draws") != "paired":
        raise UntestedError("the runs of a study share one choice of images; each run needs its own choice")
    return runs.assign_coords({_DRAW: ("seed", draws)})


def gain(first: xr.DataArray, second: xr.DataArray) -> Floats:
    """Return the differences between runs of equal seeds, for the seeds that both have, shape (seed,).

    Raises:
        UntestedError: if the runs have no seed in common, or runs of equal seeds have different images.
    """
    one, other = xr.align(first, second, join="inner")
    if one.sizes["seed"] == 0:
        raise UntestedError("the runs have no seed in common")
    if not np.array_equal(one[_DRAW], other[_DRAW]):
        raise UntestedError("runs of equal seeds have different images")
    return np.asarray(one.values - other.values, dtype=np.float64)


def _static_fits(evidence: Evidence) -> Measurement:
    values, item = runs(evidence, STATIC, "train_accuracy")
    return with_remark(evidence.mean(values.values, ACCURACY), item)


def _improves(evidence: Evidence, *, steps: int = REGIME_STEPS) -> Measurement:
    dynamical, item = runs(evidence, BEST, steps=steps)
    return with_remark(evidence.mean(gain(dynamical, runs(evidence, STATIC, steps=steps)[0])), item)


def _region_improves(evidence: Evidence) -> Measurement:
    cells = [runs(evidence, cell) for cell in REGION]
    mean = xr.concat(xr.align(*(values for values, _ in cells), join="inner"), "cell").mean("cell")
    return with_remark(evidence.mean(gain(mean, runs(evidence, STATIC)[0])), cells[0][1])


def _slower(evidence: Evidence) -> Measurement:
    early = []
    for cell in (BEST, STATIC):
        curve, item = runs(evidence, cell, _CURVE)
        distance = abs(curve["step"] - round(REGIME_STEPS * PEAK_EPOCH / EPOCHS))
        early.append(curve.sel(step=distance <= WINDOW * REGIME_STEPS).mean("step", skipna=False))
    return with_remark(evidence.mean(gain(*early)), item)


def _beats(
    controls: Sequence[Mapping[str, Any]], evidence: Evidence, *, at_any_time: bool = False
) -> Measurement:
    """Measure the final accuracy of the dynamical loss minus the best one of some static runs.

    Args:
        controls: settings in which the static runs differ from the dynamical ones; arguments of `runs`.
        evidence: files by role.
        at_any_time: whether the largest accuracy along the static runs counts instead of the final one.
    """
    dynamical, item = runs(evidence, BEST)
    others = []
    for control in controls:
        found, _ = runs(evidence, STATIC, _CURVE if at_any_time else _FINAL, **control)
        others.append(found.max("step") if at_any_time else found)
    best = xr.concat(xr.align(*others, join="inner"), "control").max("control")
    return with_remark(evidence.mean(gain(dynamical, best)), item)


_WHO = f"Myrtle5 of {REGIME_CHANNELS} channels on {REGIME_IMAGES} images of CIFAR-10"
_SOURCE = "Fig. 1, at a smaller size (Fig. S9)"
_MINUS = "final validation accuracy at T = 100, A = 50 minus"
_PAIRED = "of the same seed and images, mean over n seeds"
_CHOSEN = f"chosen on the very same images, {_PAIRED}"
_LATER = f"{_WHO}; a rule added when the first controls had been seen"
_DECAYED = [{"weight_decay": DECAY}]
_RATES = [{"learning_rate": rate} for rate in OTHER_RATES]

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(identity, _SOURCE, statement, paper, measured, criterion, ("regime",), measure, quantity)
    for identity, statement, paper, measured, criterion, measure, quantity in (
        (
            "regime_static_fits",
            f"with the static loss the network fits its training images ({_WHO}, {REGIME_STEPS} steps)",
            1.0,
            "mean final training accuracy at A = 1 over n seeds",
            above(0.99),
            _static_fits,
            "accuracy",
        ),
        (
            "regime_cell_improves",
            f"at T ~ 100, A ~ 50 {_WHO} generalises better than with the static loss",
            0.06,
            f"{_MINUS} that at A = 1 {_PAIRED}",
            above(0.0),
            _improves,
            "difference of accuracies",
        ),
        (
            "regime_region_improves",
            f"{_WHO} generalises better with the dynamical loss in the paper's region of T and A than with "
            "the static loss",
            float("nan"),
            "final validation accuracy, mean over (T, A) = (100, 25), (100, 50) and (250, 50), minus that at "
            f"A = 1 {_PAIRED}",
            above(0.0),
            _region_improves,
            "difference of accuracies",
        ),
        (
            "regime_slower",
            "slower but better: when the learning rate peaks, the dynamical loss generalises worse than the "
            f"static loss ({_WHO})",
            float("nan"),
            f"validation accuracy at T = 100, A = 50 minus that at A = 1 {_PAIRED}, each the mean over the "
            f"records within {100 * WINDOW:g} % of the run about its {PEAK_EPOCH}/{EPOCHS}",
            below(0.0),
            _slower,
            "difference of accuracies",
        ),
        (
            "regime_beats_early_stopping",
            "at no time during training does the static loss reach the final accuracy of the dynamical loss "
            f"({_WHO})",
            float("nan"),
            f"{_MINUS} the largest along the run at A = 1, {_CHOSEN}",
            above(0.0),
            partial(_beats, [{}], at_any_time=True),
            "difference of accuracies",
        ),
        (
            "regime_beats_weight_decay",
            "at the end of its run the static loss with weight decay does not reach the accuracy of the "
            f"dynamical loss ({_WHO})",
            float("nan"),
            f"{_MINUS} that at A = 1 with weight decay {DECAY:g} {_PAIRED}",
            above(0.0),
            partial(_beats, _DECAYED),
            "difference of accuracies",
        ),
        (
            "regime_beats_stopped_weight_decay",
            "at no time during training does the static loss with weight decay reach the final accuracy of "
            f"the dynamical loss ({_LATER})",
            float("nan"),
            f"{_MINUS} the largest along the run at A = 1 with weight decay {DECAY:g}, {_CHOSEN}",
            above(0.0),
            partial(_beats, _DECAYED, at_any_time=True),
            "difference of accuracies",
        ),
        (
            "regime_beats_other_rates",
            "at the end of its run the static loss with half or twice the learning rate does not reach the "
            f"accuracy of the dynamical loss ({_WHO})",
            float("nan"),
            f"{_MINUS} the better of those at A = 1 with η = {OTHER_RATES[0]:g} and {OTHER_RATES[1]:g} "
            f"{_PAIRED}",
            above(0.0),
            partial(_beats, _RATES),
            "difference of accuracies",
        ),
        (
            "regime_beats_stopped_other_rates",
            "at no time during training does the static loss with half or twice the learning rate reach the "
            f"final accuracy of the dynamical loss ({_LATER})",
            float("nan"),
            f"{_MINUS} the largest along the runs at A = 1 with η = {OTHER_RATES[0]:g} and "
            f"{OTHER_RATES[1]:g}, {_CHOSEN}",
            above(0.0),
            partial(_beats, _RATES, at_any_time=True),
            "difference of accuracies",
        ),
        (
            "regime_long_improves",
            f"in four times as many steps {_WHO} still generalises better with the dynamical loss than with "
            "the static loss",
            float("nan"),
            f"{_MINUS} that at A = 1 {_PAIRED}, {LONGER} steps",
            above(0.0),
            partial(_improves, steps=LONGER),
            "difference of accuracies",
        ),
    )
)
"""The rules were registered before the runs (docs/choices.md), except those that say so."""
