"""Claims about learning rates that follow the curvature, on made-up accuracies."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import changed
from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.paper.learning_rates import learning_rate_of
from learning_rate_results import DECAY, dal, study


def rows(*items):
    found = claims.evaluate(
        {"learning_rates": list(items)}, BootstrapSettings(resamples=500), given_only=True
    )
    return {row.id: row for row in found}


WHOLE = [
    study(0.5, 0.9),
    study(0.6, 0.7, learning_rate=2.0),
    study(0.45, 0.6, learning_rate=0.5),
    study(0.65, 0.8, learning_rate_schedule=DECAY),
    # This rule is the best on the seeds that choose, but not on the seeds that measure.
    dal(0.7, 0.85, cap=2.0, choosing=(0.9, 0.9)),
    dal(0.8, 0.95, cap=5.0, choosing=(0.1, 0.1)),
    dal(0.75, 0.6, power=0.5, cap=5.0, choosing=(0.2, 0.2)),
    dal(0.69, 0.8, steps_of="next_seed"),
    dal(0.66, 0.72, steps_of="static_next_seed"),
]


def test_the_seeds_that_choose_do_not_measure():
    found = rows(*WHOLE)
    expected = {
        "adjusted_rate_static": 0.2,
        "adjusted_rate_dynamical": -0.05,
        "adjusted_rate_static_fixed": 0.1,
        "adjusted_rate_dynamical_fixed": -0.05,
        "adjusted_rate_authors_cap": 0.05,
        "adjusted_rate_half_power": -0.05,
        "adjusted_rate_own_steps": 0.01,
        "adjusted_rate_decay": 0.05,
        "adjusted_rate_adds": 0.15,
        "same_steps_amplitude_10": 0.06,
    }
    for name, value in expected.items():
        row = found[name]
        assert row.measured_value == pytest.approx(value, abs=1e-9), name
        assert row.n == 15, name
        assert row.verdict is (Verdict.REPRODUCED if value > 0 else Verdict.CONTRADICTED), name
    assert "on other seeds: DAL, p = 1, cap 2; η = 2)" in found["adjusted_rate_static_fixed"].statement
    assert "no study of" in found["same_steps_amplitude_5"].rule
    assert found["adjusted_rate_cascade"].verdict is Verdict.NOT_TESTED


def test_the_loss_of_figure_4_has_runs_as_long_as_there():
    cell = {"cell": (5000, 70)}
    short = [study(None, 0.9, **cell), dal(None, 0.95, **cell), dal(None, 0.94, cap=5.0, **cell)]
    assert rows(*WHOLE, *short)["adjusted_rate_cascade"].verdict is Verdict.NOT_TESTED
    long = [
        study(None, 0.9, steps=70_000, **cell),
        dal(None, 0.95, steps=70_000, **cell),
        dal(None, 0.94, cap=5.0, steps=70_000, **cell),
    ]
    row = rows(*WHOLE, *long)["adjusted_rate_cascade"]
    assert row.measured_value == pytest.approx(0.05)
    assert (row.verdict, row.n) == (Verdict.REPRODUCED, 15)


def test_differences_are_paired_by_seed():
    """Seeds that are missing in one of the two studies do not count."""
    first, second, *others = WHOLE
    found = rows(first.isel(seed=slice(0, 12)), second, *others)
    assert found["adjusted_rate_static"].n == 7
    assert found["adjusted_rate_decay"].n == 15


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 50}, "batch_size is 50"),
        ({"steps": 1000}, "steps is 1000"),
        ({"model": {"kind": "mlp", "width": 50, "depth": 1}}, "model.width is 50"),
    ],
)
def test_another_training_is_not_the_study_s(settings, words):
    found = rows(*(changed(item, **settings) for item in WHOLE))
    assert words in found["adjusted_rate_static"].rule


def test_two_studies_of_one_rate_are_refused():
    assert "have the learning rate η = 1 in one cell" in rows(*WHOLE, WHOLE[0])["adjusted_rate_static"].rule


def test_another_schedule_is_none_of_the_study_s():
    other = study(0.99, 0.99, learning_rate_schedule=[[0.0, 1.0], [1.0, 0.5]])
    assert rows(*WHOLE, other)["adjusted_rate_static_fixed"].measured_value == pytest.approx(0.1)
    assert np.isnan(rows(other)["adjusted_rate_static"].measured_value)


def test_without_the_seeds_that_choose_nothing_is_chosen():
    late = [item.isel(seed=slice(5, None)) for item in WHOLE]
    row = rows(*late)["adjusted_rate_static"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "lacks some of the first 5 seeds" in row.rule


def test_a_rule_of_another_form_does_not_compete():
    """A rule with another η or another constant takes no part in the choice, and its words say so."""
    others = [
        dal(0.99, 0.99, choosing=(0.99, 0.99), learning_rate=0.5),
        dal(0.99, 0.99, choosing=(0.99, 0.99), constant=1.0),
    ]
    assert rows(*WHOLE, *others)["adjusted_rate_static"].measured_value == pytest.approx(0.2)
    words = [learning_rate_of(item).words() for item in others]
    assert words == ["DAL, p = 1, cap 2, times 0.5", "DAL, p = 1, cap 2, c = 1"]
