"""Claims about networks of images: Myrtle5 (Fig. 1), its learning curves (talk), Wide ResNet (supplement)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import xarray as xr

from dynamical_loss.claims.cells import (
    ACCURACY,
    COVERED,
    best_cell,
    cell_accuracy,
    dynamical_cells,
    gain,
    region_accuracy,
    static_accuracy,
)
from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.paper.departures import COPIES, EXACT, LOSSY, facts_of
from dynamical_loss.paper.protocols import CHANNELS, EPOCHS, MYRTLE5, PEAK_EPOCH, WIDE_RESNET
from dynamical_loss.results import recorded

BEST_PERIOD, BEST_AMPLITUDE = 100, 50.0
"""The paper's best cell: T ~ 100 steps and A ~ 50."""

REGION = ((25.0, 70.0), 250)
"""Region where the dynamical loss helps: (smallest A, largest A), and the longest T in steps (Fig. 1)."""

WINDOW_RECORDS = 3
"""Smallest number of records about an epoch; fewer records may all lie at one phase of the period."""

MATTERING_GAIN = 0.01
"""Smallest gain in accuracy that counts as a gain."""

# A window reaches 1/100 of the run to either side.  This is short, and yet more than one cycle of all classes
# at T = 100.
_WINDOW = 100

_COPY_REMARKS = {
    LOSSY: "trained on lossy copies of the images",
    EXACT: "trained on copies of the images, not on an official archive",
}


# Protocols and data --------------------------------------------------------------------------------


def _myrtle5(role: str, evidence: Evidence) -> xr.Dataset:
    """Return the study of a role.  Raises `UntestedError` unless it follows the protocol of Fig. 1."""
    item = evidence.files(role)[0]
    require(MYRTLE5, facts_of(item), but=[COPIES])
    return item


def _wide_resnet(normalisation: str, evidence: Evidence) -> xr.Dataset:
    """Return the first study of a Wide ResNet with the given normalisation.

    Raises:
        UntestedError: if there is no such study, or if it departs from the published part of the protocol.
    """
    for item in evidence.files("wide_resnet"):
        model = recorded.settings_of(item).get("model", {})
        if model.get("kind") == "wide_resnet" and model.get("normalisation") == normalisation:
            require(WIDE_RESNET, facts_of(item), but=[COPIES])
            return item
    raise UntestedError(f"no study of a Wide ResNet with normalisation: {normalisation}")


def _remark_on(facts: Mapping[str, Any]) -> str:
    """Return what a reader must know about a result: images from no official archive, or rounded products."""
    words = [_COPY_REMARKS[facts[COPIES]]] if facts[COPIES] in _COPY_REMARKS else []
    arithmetic = facts["arithmetic"]
    if arithmetic != "full":
        words.append(f"with convolutions in {arithmetic}")
    return f"here {', and '.join(words)}" if words else ""


def with_remark(
    found: Measurement, item: xr.Dataset, training: Mapping[str, Any] | None = None
) -> Measurement:
    """Return the measurement with a remark on what a reader must know about the result; see `_remark_on`.

    Args:
        found: the measurement.
        item: the result, or one of several alike.
        training: settings of the training, if they are a part of the file's settings.
    """
    words = _remark_on(facts_of(item, training))
    return replace(found, remark=words) if words else found


# Measurements --------------------------------------------------------------------------------------


def _static(variable: str, evidence: Evidence) -> Measurement:
    item = _myrtle5("phase_images", evidence)
    return with_remark(evidence.mean(static_accuracy(item[variable]), ACCURACY), item)


def _best(evidence: Evidence) -> Measurement:
    item = _myrtle5("phase_images", evidence)
    cells = dynamical_cells(item["validation_accuracy"])
    # With a single cell there is nothing to choose, so all seeds measure.
    single = cells.sizes["period"] * cells.sizes["amplitude"] == 1
    found = cells.values.ravel() if single else best_cell(item["validation_accuracy"])[0]
    return with_remark(evidence.mean(found, ACCURACY), item)


def _cell_improvement(evidence: Evidence) -> Measurement:
    item = _myrtle5("phase_images", evidence)
    accuracy = item["validation_accuracy"]
    dynamical = cell_accuracy(accuracy, BEST_PERIOD, BEST_AMPLITUDE)
    return with_remark(evidence.mean(dynamical - static_accuracy(accuracy)), item)


def _region_improvement(evidence: Evidence) -> Measurement:
    item = _myrtle5("phase_images", evidence)
    accuracy = item["validation_accuracy"]
    dynamical = region_accuracy(accuracy, *REGION)
    return with_remark(evidence.mean(dynamical - static_accuracy(accuracy)), item)


def _slower(evidence: Evidence) -> Measurement:
    item = _myrtle5("learning_curves", evidence)
    if "validation_accuracy_curve" not in item:
        raise UntestedError("the study keeps no learning curves")
    steps = recorded.settings_of(item)["steps"]
    curve = item["validation_accuracy_curve"]
    distance = abs(curve["step"] - round(steps * PEAK_EPOCH / EPOCHS))
    curve = curve.sel(step=distance <= steps // _WINDOW)
    if curve.sizes["step"] < WINDOW_RECORDS:
        raise UntestedError(
            f"{curve.sizes['step']} of the records lie within {steps // _WINDOW} steps of epoch "
            f"{PEAK_EPOCH}, fewer than {WINDOW_RECORDS}"
        )
    early = curve.mean("step", skipna=False)
    difference = cell_accuracy(early, BEST_PERIOD, BEST_AMPLITUDE) - static_accuracy(early)
    return with_remark(evidence.mean(difference), item)


def _gain(normalisation: str, evidence: Evidence) -> Measurement:
    item = _wide_resnet(normalisation, evidence)
    return with_remark(evidence.mean(gain(item["validation_accuracy"])), item)


# Claims --------------------------------------------------------------------------------------------

_REGION_WORDS = "25 <= A <= 70, T <= 250"
_GAIN_WORDS = (
    "final validation accuracy minus that of the same seed at A = 1, mean over the grid's cells with A > 1, "
    "then over n seeds"
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "images_static_train",
        "Fig. 1",
        f"Myrtle5 ({CHANNELS} channels) learns CIFAR-10 with the static loss (A = 1): training accuracy ~1",
        1.0,
        "mean final training accuracy at A = 1 over n seeds",
        above(0.95),
        ("phase_images",),
        partial(_static, "train_accuracy"),
    ),
    Claim(
        "images_static_validation_value",
        "Fig. 1",
        "with the static loss (A = 1) Myrtle5 reaches validation accuracy ~0.73 on CIFAR-10",
        0.73,
        "mean final validation accuracy at A = 1 over n seeds",
        Range(0.725, 0.735),
        ("phase_images",),
        partial(_static, "validation_accuracy"),
    ),
    Claim(
        "images_best_validation_value",
        "Fig. 1",
        "the best validation accuracy of Myrtle5 on CIFAR-10 over the (T, A) plane is ~0.79",
        0.79,
        "final validation accuracy in the cell with A > 1 that is best on the even seeds, mean over the n "
        "odd ones (in a grid with one such cell: over all n seeds)",
        Range(0.785, 0.795),
        ("phase_images",),
        _best,
    ),
    Claim(
        "images_cell_improves",
        "Fig. 1",
        "at T ~ 100, A ~ 50 Myrtle5 generalises better on CIFAR-10 than with the static loss (~0.79 against "
        "~0.73)",
        0.06,
        f"final validation accuracy at T = {BEST_PERIOD}, A = {BEST_AMPLITUDE:g} minus that of the same seed "
        "at A = 1, mean over n seeds",
        above(0.0),
        ("phase_images",),
        _cell_improvement,
    ),
    Claim(
        "images_region_improves",
        "Fig. 1",
        f"with the dynamical loss in the region {_REGION_WORDS} Myrtle5 generalises better on CIFAR-10 than "
        "with the static loss",
        math.nan,
        "final validation accuracy minus that of the same seed at A = 1, mean over the grid's cells with "
        f"{_REGION_WORDS} ({COVERED}), then over n seeds",
        above(0.0),
        ("phase_images",),
        _region_improvement,
    ),
)
"""Claims about Fig. 1."""

SUPPLEMENT_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "images_slower",
        "talk (Fig. S4 here)",
        "slower but better: early in training Myrtle5 generalises worse with the dynamical loss (T ~ 100, "
        "A ~ 50) than with the static loss",
        math.nan,
        f"validation accuracy at T = {BEST_PERIOD}, A = {BEST_AMPLITUDE:g} minus that of the same seed at "
        f"A = 1, mean over the records within 1 % of the run (at least {WINDOW_RECORDS}) about epoch "
        f"{PEAK_EPOCH} of {EPOCHS}, where the learning rate peaks, then over n seeds",
        below(0.0),
        ("learning_curves",),
        _slower,
    ),
    Claim(
        "wide_resnet_no_gain",
        "supplement (Fig. S3 here)",
        f"a Wide ResNet with batch norm gains less than {MATTERING_GAIN:g} (no significant gain) on CIFAR-10 "
        "from the dynamical loss",
        0.0,
        _GAIN_WORDS,
        below(MATTERING_GAIN),
        ("wide_resnet",),
        partial(_gain, "batch"),
    ),
    Claim(
        "wide_resnet_without_batch_norm",
        "talk, open question (Fig. S3 here)",
        "the dynamical loss raises the validation accuracy of a Wide ResNet without batch norm (an open "
        "question of the talk, not a claim of the paper)",
        math.nan,
        _GAIN_WORDS,
        above(0.0),
        ("wide_resnet",),
        partial(_gain, "none"),
    ),
)
"""Claims of the supplement and the talk."""
