"""Claims about size, learning rate and λ_max, on made-up runs."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import gathered_runs
from dynamical_loss import claims
from dynamical_loss.claims.averages import at_the_end, share_above
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.config.analysis import BootstrapSettings

STATIC = {"amplitude": 1.0}


def rows(*items):
    found = claims.evaluate({"runs": list(items)}, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def test_ratios_are_those_of_the_ends_of_the_range():
    found = rows(
        gathered_runs(loss=1.0, sharpness=2.0, width=20, **STATIC),
        gathered_runs(loss=1.0, sharpness=4.0, width=20, rate=0.5, **STATIC),
        gathered_runs(loss=0.2, sharpness=1.0, width=1000, **STATIC),
        gathered_runs(loss=0.5, sharpness=8.0, width=1000, rate=0.5, **STATIC),
        # This width does not count, because it is neither the smallest nor the largest.
        gathered_runs(loss=9.0, sharpness=1.0, width=100, **STATIC),
    )
    rate = found["learning_rate_lowers_sharpness"]
    assert rate.measured_value == pytest.approx((np.log(1 / 2) + np.log(1 / 8)) / 2, abs=1e-6)
    assert (rate.verdict, rate.n) == (Verdict.REPRODUCED, 10)
    width = found["width_lowers_loss"]
    assert width.measured_value == pytest.approx((np.log(0.2) + np.log(0.5)) / 2, abs=1e-6)
    assert found["oscillation_exceeds_threshold"].verdict is Verdict.NOT_TESTED


def test_a_sharper_place_at_a_larger_rate_contradicts():
    found = rows(
        gathered_runs(loss=1.0, sharpness=4.0, width=20, **STATIC),
        gathered_runs(loss=1.0, sharpness=2.0, width=20, rate=0.5, **STATIC),
    )
    assert found["learning_rate_lowers_sharpness"].verdict is Verdict.CONTRADICTED
    assert "no learning rate has static runs at two widths" in found["width_lowers_loss"].rule


def test_the_share_above_the_threshold_is_counted_before_the_static_end():
    item = gathered_runs(loss=1.0, sharpness=1.0, width=20)
    before = np.flatnonzero(item["snapshot_step"] < item["oscillation_end"])
    item["sharpness"][:, before[::4]] = 5.0
    item["sharpness"][:, before[-1] + 1 :] = 5.0
    np.testing.assert_allclose(share_above(item, 1.0), len(before[::4]) / len(before))
    found = rows(item, gathered_runs(loss=1.0, sharpness=1.0, width=20, **STATIC))
    row = found["oscillation_exceeds_threshold"]
    assert row.measured_value == pytest.approx(len(before[::4]) / len(before))
    assert row.verdict is Verdict.REPRODUCED


def test_snapshots_whose_sharpness_is_not_known_do_not_count():
    item = gathered_runs(loss=1.0, sharpness=5.0, width=20)
    before = np.flatnonzero(item["snapshot_step"] < item["oscillation_end"])
    item["sharpness"][:, before[: len(before) // 2]] = 1.0
    item["sharpness_residual"][:, before[: len(before) // 2]] = 1.0
    np.testing.assert_allclose(share_above(item, 1.0), 1.0)


def test_the_end_is_the_last_tenth():
    item = gathered_runs(loss=1.0, sharpness=1.0, width=20)
    steps = item["snapshot_step"].values
    item["loss"][:] = np.where(steps >= 0.9 * steps[-1], 3.0, 1.0)
    np.testing.assert_allclose(at_the_end(item["loss"]), 3.0)


def test_runs_of_other_data_or_too_short_are_not_taken():
    short = rows(*(gathered_runs(loss=1.0, sharpness=1.0, width=width, steps=10_000, **STATIC)
                   for width in (20, 100)))  # fmt: skip
    assert "steps is 10000" in short["width_lowers_loss"].rule
    twice = [gathered_runs(loss=1.0, sharpness=1.0, width=20, **STATIC)] * 2
    assert "two studies have width 20, η = 1" in rows(*twice)["width_lowers_loss"].rule
