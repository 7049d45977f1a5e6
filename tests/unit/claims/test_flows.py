"""Claims about flows on networks, on made-up errors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from claim_results import with_settings
from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.flows import EXPLORED
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.models.kinds.mlp import MLPSettings

KINDS = ["gradient", "regularised", "principal"]


def traced(*errors, dataset="spiral", activation="tanh", seeds=8, starts=1):
    """Return the errors of three flows after one step, with a small scatter over seeds.

    The errors after the last step must not count.
    """
    scatter = np.exp(np.linspace(-0.01, 0.01, seeds - EXPLORED))
    scatter = np.concatenate([np.ones(EXPLORED), scatter])
    after = np.array(errors)[:, None, None]
    values = np.zeros((3, seeds, starts, 3))
    values[..., 1] = after
    values[2, :, :, 1] *= scatter[:, None]
    values[..., 2] = 9.0
    item = xr.Dataset(
        {
            "error": (("flow", "seed", "start", "step"), values),
            "stuck": (("flow", "seed", "start", "step"), np.zeros(values.shape, np.int8)),
        },
        coords={"flow": KINDS, "seed": range(seeds), "start": range(starts)},
    )
    layers = {"width": 10, "depth": 2} if dataset == "breast cancer" else {}
    model = MLPSettings(activation=activation, **layers)
    settings = TrajectorySettings(model=model, amplitude=1.0, period=10)
    return with_settings(item, {"trajectory": settings.model_dump()}).assign_attrs(dataset=dataset)


def rows(*items):
    found = claims.evaluate({"flows": list(items)}, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def test_ratios_are_logarithms_averaged_over_studies_and_starts():
    found = rows(
        traced(8.0, 4.0, 1.0), traced(2.0, 0.5, 1.0, starts=2), traced(1.0, 1.0, 5.0, dataset="breast cancer")
    )
    near = found["principal_flow_beats_gradient_flow_spiral"]
    assert near.measured_value == pytest.approx(np.log(8 * 2) / 2, abs=1e-6)
    assert (near.verdict, near.n) == (Verdict.REPRODUCED, 8 - EXPLORED)
    regularised = found["principal_flow_beats_regularisation_spiral"]
    assert regularised.measured_value == pytest.approx(np.log(4 * 0.5) / 2, abs=1e-6)
    assert found["principal_flow_beats_gradient_flow_cancer"].verdict is Verdict.CONTRADICTED


def test_where_the_principal_flow_is_stuck_it_is_no_nearer():
    item = traced(8.0, 4.0, 1.0, starts=2)
    item["error"].loc[{"flow": "principal", "start": 1}] = np.nan
    item["stuck"].loc[{"flow": "principal", "start": 1, "step": [1, 2]}] = 1
    found = rows(item)["principal_flow_beats_gradient_flow_spiral"]
    assert found.measured_value == pytest.approx(np.log(8) / 2, abs=1e-6)
    assert found.n == 8 - EXPLORED


def test_a_row_names_the_network_and_data_that_it_is_about_and_no_reading():
    found = rows(traced(8.0, 4.0, 1.0), traced(1.0, 1.0, 5.0, dataset="breast cancer"))
    assert found["principal_flow_beats_gradient_flow_spiral"].network == "width 100"
    row = found["principal_flow_beats_gradient_flow_cancer"]
    assert (row.network, row.reading) == ("width 10, 2 hidden layers", "")


def known(principal=(0.0, 1e-12), others=0.2, growth=1.1, tolerance=1e-10):
    """Return paths at hλ = 0.5, 1.8 and 2.1: of gradient descent, and of flows at a distance from it."""
    steps = np.arange(9)
    descent = np.zeros((3, 9, 2))
    descent[0, :, 0], descent[1, :, 0] = 0.5**steps, (-0.8) ** steps
    descent[2, :, 0] = (-growth) ** steps
    flows = np.broadcast_to(descent, (3, 3, 9, 2)).copy()
    for row, apart in enumerate((others, 2 * others, 0.0)):
        flows[row, 1:, 1:, 1] += apart
    flows[2, 1:, 1:3, 1] += principal
    flows[0, 2, :, 0] = 0.5**steps
    # Steps after the fifth and the path at hλ = 0.5 must not count.
    flows[:, :, 6:, 1] += 7.0
    flows[2, 0] += 3.0
    item = xr.Dataset(
        {
            "path_error": (("flow", "path", "step"), np.linalg.norm(flows - descent, axis=-1)),
            "path_real": (("flow", "path", "step", "coordinate"), flows),
            "path_sharpness": ("path", [0.5, 1.8, 2.1]),
        },
        coords={"flow": KINDS},
    )
    return with_settings(item, {"tolerance": tolerance, "evaluations": 100})


def known_rows(item):
    found = claims.evaluate({"known": [item]}, BootstrapSettings(resamples=500), given_only=True)
    return {row.id: row for row in found}


def test_on_the_quadratic_the_largest_distance_counts_and_of_the_others_the_smallest():
    found = known_rows(known())
    for name, value, n in (
        ("principal_flow_follows_quadratic", 1e-12, 10),
        ("other_flows_miss_quadratic", 0.2, 20),
        ("principal_flow_leaves_minimum", np.log(1.1), 5),
        ("gradient_flow_rests_at_minimum", np.log(0.5), 5),
    ):
        row = found[name]
        assert row.measured_value == pytest.approx(value, rel=1e-3), name
        assert row.interval_lower == row.measured_value == row.interval_upper
        assert (row.verdict, row.n) == (Verdict.REPRODUCED, n), name


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"principal": (0.0, 1e-9)}, "principal_flow_follows_quadratic"),
        ({"others": 0.05}, "other_flows_miss_quadratic"),
        ({"growth": 0.9}, "principal_flow_leaves_minimum"),
    ],
)
def test_on_the_quadratic_a_flow_may_fail(changed, name):
    assert known_rows(known(**changed))[name].verdict is Verdict.CONTRADICTED


def test_a_calculation_is_no_matter_of_chance_but_of_the_integrator():
    assert known_rows(known())["other_flows_miss_quadratic"].chance_of_error == 0
    row = known_rows(known(tolerance=1e-9))["principal_flow_follows_quadratic"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "integrated with tolerance 1e-09; at most 1e-10 is allowed" in row.rule


def test_networks_with_kinks_are_not_taken():
    row = rows(traced(8.0, 4.0, 1.0, activation="relu"))["principal_flow_beats_gradient_flow_spiral"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "model.activation is relu, in the paper tanh" in row.rule
    assert (
        "no file has the flows of networks trained on the breast cancer data"
        in rows(traced(8.0, 4.0, 1.0))["principal_flow_beats_gradient_flow_cancer"].rule
    )
