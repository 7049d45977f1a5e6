"""Claims about the residual's modes, on made-up runs."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from claim_results import with_settings
from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.residual import EXPLORED, WINDOW
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.config.training import LossSettings, TrajectorySettings


def runs(*, amplitude, multiple=2.0, agreement=0.75, ratio=2.0, seeds=12, **settings):
    """Return measurements of runs with a small scatter over seeds that cancels in the mean."""
    scatter = np.concatenate([np.zeros(EXPLORED), np.linspace(-1e-3, 1e-3, seeds - EXPLORED)])
    errors = np.full((seeds, 3, 2), 9.0)  # only the last age counts
    errors[:, -1, 0], errors[:, -1, 1] = 0.1, 0.1 * ratio * np.exp(scatter)
    dataset = xr.Dataset(
        {
            "top_multiple": ("seed", multiple + scatter),
            "instability_agreement": ("seed", agreement + scatter),
            "kernel_error": (("seed", "kernel_age", "kernel"), errors),
        },
        coords={"seed": range(seeds), "kernel_age": [1.0, 2.0, 20.0], "kernel": ["fixed", "moving"]},
    )
    chosen = {
        "loss": LossSettings(kind="mse"),
        "learning_rate": 0.3,
        "steps": 20_000,
        "snapshots": {"every": 20_001, "windows": [WINDOW]},
        **settings,
    }
    return with_settings(
        dataset, {"trajectory": TrajectorySettings(amplitude=amplitude, **chosen).model_dump()}
    )


def rows(*items):
    found = claims.evaluate({"residuals": list(items)}, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def test_what_holds_at_the_bound():
    found = rows(runs(amplitude=1.0, multiple=2.02), runs(amplitude=70.0, multiple=1.9))
    expected = {
        "kernel_at_its_bound_static": (2.02, Verdict.REPRODUCED),
        "weighted_kernel_at_its_bound_dynamical": (1.9, Verdict.CONTRADICTED),
        "unstable_mode_tells_rise_static": (0.75, Verdict.CONTRADICTED),
        "fixed_kernel_leads_nearer_static": (np.log(2.0), Verdict.REPRODUCED),
    }
    for name, (value, verdict) in expected.items():
        assert found[name].measured_value == pytest.approx(value, abs=1e-6), name
        assert (found[name].verdict, found[name].n) == (verdict, 12 - EXPLORED), name


def test_seeds_that_had_been_looked_at_do_not_measure():
    item = runs(amplitude=1.0)
    item["top_multiple"][:EXPLORED] = 0.0
    assert rows(item)["kernel_at_its_bound_static"].measured_value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([runs(amplitude=1.0), runs(amplitude=1.0)], "exactly one study is needed with the static loss"),
        ([runs(amplitude=1.0, learning_rate=1.0)], "learning_rate is 1"),
        (
            [runs(amplitude=1.0, snapshots={"every": 25})],
            "the snapshots are not those of every step from 11400 to 11600",
        ),
        ([runs(amplitude=1.0, loss=LossSettings(kind="cross_entropy"))], "loss.kind is cross_entropy"),
    ],
)
def test_other_runs_are_not_taken(items, words):
    row = rows(*items)["kernel_at_its_bound_static"]
    assert row.verdict is Verdict.NOT_TESTED
    assert words in row.rule


@pytest.mark.parametrize("ages", [2, 0])
def test_kernels_have_to_lead_for_as_many_steps_as_the_rule_says(ages):
    row = rows(runs(amplitude=1.0).isel(kernel_age=slice(ages)))["fixed_kernel_leads_nearer_static"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "lacks predictions of the residual by the kernels for 20 steps" in row.rule
