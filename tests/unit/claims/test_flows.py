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
    """Errors after one step of the three flows, with a little seed noise; the last step does not matter."""
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


def test_networks_with_kinks_are_not_taken():
    row = rows(traced(8.0, 4.0, 1.0, activation="relu"))["principal_flow_beats_gradient_flow_spiral"]
    assert row.verdict is Verdict.NOT_TESTED
    assert "model.activation is relu, in the paper tanh" in row.rule
    assert (
        "no flows along networks on the breast cancer"
        in rows(traced(8.0, 4.0, 1.0))["principal_flow_beats_gradient_flow_cancer"].rule
    )
