"""Claims about the gain that remains without a part of the loss, on made-up accuracies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from claim_results import changed, phase
from dynamical_loss import claims
from dynamical_loss.claims import ingredients
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.evidence import UntestedError
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.paper.variants import VARIANTS, variant_of

SETTINGS = BootstrapSettings(resamples=2000)


def study(accuracy, *, amplitudes=(1, 10), period=200, seeds=20, **loss):
    """Return a study with one dynamical cell; the static loss (A = 1) reaches 0.5."""
    item = phase(
        lambda _, amplitude: 0.5 if amplitude == 1 else accuracy,
        periods=(period,),
        amplitudes=amplitudes,
        seeds=seeds,
    )
    return changed(item, loss=loss)


def loss_of(item):
    return json.loads(item.attrs["settings"])["loss"]


WHOLE = study(0.9)
IN_PHASE = {"emphasis": "all", "normalisation": "cycle"}


def rows(*items):
    return {row.id: row for row in claims.evaluate({"ingredients": list(items)}, SETTINGS)}


def test_the_share_that_is_left_decides():
    found = rows(
        WHOLE,
        study(0.88, amplitudes=(10,), emphasis="random_class"),
        study(0.52, amplitudes=(10,), **IN_PHASE),
        study(0.7, amplitudes=(10,), normalisation="cycle"),
    )
    assert found["without_random_order_train"].measured_value == pytest.approx(0.38 / 0.4, abs=0.01)
    assert found["without_random_order_train"].verdict is Verdict.REPRODUCED
    assert found["without_in_phase_validation"].measured_value == pytest.approx(0.02 / 0.4, abs=0.01)
    assert found["without_in_phase_validation"].verdict is Verdict.CONTRADICTED
    assert found["without_random_groups_train"].verdict is Verdict.NOT_TESTED
    assert "no study of the variant 'random_groups'" in found["without_random_groups_train"].rule


def test_the_interval_is_of_pairs():
    """If every seed keeps half of its gain, the share is one half, whatever the gains are."""
    gains = np.random.default_rng(0).uniform(0.1, 0.5, 30)
    found = ingredients.remaining(0.5 + gains / 2, 0.5 + gains, np.full(30, 0.5), resamples=500, seed=0)
    assert found.value == pytest.approx(0.5)
    assert found.interval == pytest.approx((0.5, 0.5))
    shuffled = np.random.default_rng(1).permutation(gains)
    found = ingredients.remaining(0.5 + shuffled / 2, 0.5 + gains, np.full(30, 0.5), resamples=500, seed=0)
    assert found.interval[1] - found.interval[0] > 0.02


def test_without_a_gain_there_is_nothing_to_share():
    flat = np.random.default_rng(0).normal(0.5, 0.1, 20)
    with pytest.raises(UntestedError, match="gains nothing"):
        ingredients.remaining(flat, flat, flat[::-1], resamples=500, seed=0)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (study(0.9, amplitudes=(5,), **IN_PHASE), "at another T or A"),
        (study(0.9, period=100, **IN_PHASE), "at another T or A"),
        (study(0.9, amplitudes=(5, 10), **IN_PHASE), "more than one cell"),
        (study(0.9, waveform="sine", **IN_PHASE), "loss.waveform is sine"),
    ],
)
def test_other_studies_are_no_variant(item, words):
    assert words in rows(WHOLE, item)["without_in_phase_train"].rule


def test_every_variant_is_told_from_the_others():
    for name, (_, without) in VARIANTS.items():
        loss = {key.removeprefix("loss."): value for key, value in without.items()}
        assert variant_of(loss_of(study(0.9, **loss))) == name
    assert variant_of(loss_of(WHOLE)) == "whole"
    assert variant_of(loss_of(study(0.9, emphasis="all", cycles=3))) is None
    # Files from before the variants existed have the paper's loss.
    settings = json.loads(WHOLE.attrs["settings"])
    for key in ("weighting", "emphasis", "normalisation", "cycles"):
        del settings["loss"][key]
    assert variant_of(settings["loss"]) == "whole"


def test_a_variant_is_off_the_paper_s_protocol():
    row = {
        row.id: row
        for row in claims.evaluate({"phase_narrow": [study(0.9, emphasis="random_class")]}, SETTINGS)
    }["static_narrow_fails"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "loss.emphasis is random_class, in the paper class" in row.rule
