"""Claims about steps at the edge of stability, on made-up runs."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import edge_runs
from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.edge import EXPLORED, EXPLORED_AGAIN
from dynamical_loss.config.analysis import BootstrapSettings


def rows(*items):
    found = claims.evaluate({"edge": list(items)}, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def test_what_holds_of_the_cascade_and_not_of_the_static_loss():
    found = rows(
        edge_runs(amplitude=70.0, agreement=(0.96, 0.95, 0.99), share=0.95, overlap=0.9, emphasised=0.8),
        edge_runs(amplitude=1.0, agreement=(0.5, 0.6, 0.88), share=0.4, overlap=0.1),
    )
    expected = {
        "sharpness_tells_rise_dynamical": (0.96, Verdict.REPRODUCED),
        "sharpness_tells_rise_static": (0.5, Verdict.CONTRADICTED),
        "principal_flow_tells_rise_static": (0.6, Verdict.CONTRADICTED),
        "quadratic_tells_rise_static": (0.88, Verdict.REPRODUCED),
        "gradient_aligned_in_cascade": (0.55, Verdict.REPRODUCED),
        "eigenvector_kept_in_cascade": (0.8, Verdict.REPRODUCED),
        "emphasised_class_makes_sharpness": (0.8, Verdict.REPRODUCED),
        "other_classes_sharper_per_weight": (0.8 - 1.5, Verdict.REPRODUCED),
    }
    for name, (value, verdict) in expected.items():
        assert found[name].measured_value == pytest.approx(value, abs=1e-6), name
        assert (found[name].verdict, found[name].n) == (verdict, 10), name


def test_seeds_that_had_been_looked_at_do_not_measure():
    item = edge_runs(amplitude=70.0, agreement=(0.96, 0.95, 0.99), share=0.95, overlap=0.9, emphasised=0.8)
    item["emphasised_share"][:EXPLORED] = 0.0
    assert rows(item)["emphasised_class_makes_sharpness"].measured_value == pytest.approx(0.8)


def test_a_cascade_is_held_against_small_steps():
    common = {"amplitude": 70.0, "agreement": (1, 1, 1), "share": 0.9, "overlap": 0.9, "emphasised": 0.8}
    item = edge_runs(**common, again=(0.05, -0.2, -1.1))
    # Seeds that had been examined with small steps do not measure.
    item["again_class_loss"][:EXPLORED_AGAIN] = 7.0
    found = rows(item)
    for name, value, verdict in (
        ("cascade_costs_emphasised_class", 0.05, Verdict.REPRODUCED),
        ("cascade_costs_other_classes", -0.2, Verdict.CONTRADICTED),
        ("cascade_limits_sharpness", -1.1, Verdict.REPRODUCED),
    ):
        row = found[name]
        # The scatter of the seeds that measure does not cancel in their mean.
        assert row.measured_value == pytest.approx(value, abs=1e-3), name
        assert (row.verdict, row.n) == (verdict, 13 - EXPLORED_AGAIN), name
    row = rows(edge_runs(**common))["cascade_limits_sharpness"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "not repeated with small steps (start 8900, steps 1100, divide 8)" in row.rule


def test_differences_are_of_the_same_seeds():
    dynamical = edge_runs(amplitude=70.0, agreement=(1, 1, 1), share=0.9, overlap=0.9, emphasised=0.8)
    static = edge_runs(amplitude=1.0, agreement=(0.5, 0.6, 0.88), share=0.4, overlap=0.1)
    scatter = np.linspace(-0.3, 0.3, dynamical.sizes["seed"])
    for item in (dynamical, static):
        item["top_gradient_share"] = item["top_gradient_share"] + scatter
    row = rows(dynamical, static.isel(seed=slice(0, 9)))["gradient_aligned_in_cascade"]
    assert row.measured_value == pytest.approx(0.5, abs=1e-6)
    assert row.n == 9 - EXPLORED
    assert row.interval_upper - row.interval_lower < 0.01


def test_other_runs_are_not_taken():
    static = edge_runs(amplitude=1.0, agreement=(0.5, 0.6, 0.88), share=0.4, overlap=0.1)
    found = rows(static, static)
    assert "exactly one study is needed with the static loss" in found["sharpness_tells_rise_static"].rule
    assert "with the dynamical loss of Fig. 4" in found["sharpness_tells_rise_dynamical"].rule
    other = edge_runs(amplitude=50.0, agreement=(1, 1, 1), share=0.9, overlap=0.9, emphasised=0.8)
    assert "amplitude is 50" in rows(other)["emphasised_class_makes_sharpness"].rule
