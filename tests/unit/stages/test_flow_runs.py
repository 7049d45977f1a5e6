"""Flows from snapshots of a trajectory, compared with scipy's integrator, the probes and the run."""

import json

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from dynamical_loss import losses
from dynamical_loss.datasets import loading
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figF4_networks, style
from dynamical_loss.flows.names import KINDS, KINDS_OF_PIECES
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs
from figure_parts import drawn, panel, require_legible_texts
from stage_commands import command, small_spiral

START, STEPS, RATE = 30, 2, 0.4
RUN = {
    "period": 40,
    "amplitude": 5,
    "steps": 200,
    "learning_rate": RATE,
    "snapshots": {"every": 201, "windows": [{"start": START, "stop": START + STEPS, "every": 1}]},
}
MODELS = {"tanh": {"width": 4, "activation": "tanh"}, "relu": {"width": 4}}
FLOW = {"trajectory": "run", "starts": [START], "steps": STEPS, "order": 20, "tolerance": 1e-10}


def trace(folder, name, output, **flow):
    command(
        "trace-flow", "--trajectory", folder / f"{name}.nc", "--dataset", folder / "data.nc",
        "--settings", json.dumps({**FLOW, **flow}), "--output", output,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a dataset, and a run, its curvature and its flows for each network."""
    path = tmp_path_factory.mktemp("flows")
    data = small_spiral(path)
    for name, model in MODELS.items():
        command(
            "train-trajectory", "--dataset", data, "--seed", 0,
            "--settings", json.dumps({**RUN, "model": model}), "--output", path / f"{name}.nc",
        )  # fmt: skip
        command(
            "probe-spectrum", "--dataset", data, "--trajectory", path / f"{name}.nc",
            "--settings", '{"hessian": {"modes": 1, "order": 40}}', "--output", path / f"{name}_spectrum.nc",
        )  # fmt: skip
        # The field jumps at the kinks of ReLU, where an integrator of high order takes small steps.
        trace(path, name, path / f"{name}_flow.nc", tolerance={"tanh": 1e-10, "relu": 1e-5}[name])
    return path


def test_the_gradient_flow_is_as_far_from_the_run_as_another_integrator_says(folder):
    name = "tanh"
    run, data = netcdf.read(folder / f"{name}.nc"), loading.load(folder / "data.nc", Inputs())
    model = MLPSettings(**MODELS[name]).build(3)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (2,), [0])))
    apply, targets = apply_function(model), data.one_hot(data.train_labels)
    found = netcdf.read(folder / f"{name}_flow.nc").sel(flow="gradient", start=START, seed=0)
    with jax.enable_x64(True):
        slope = jax.jit(
            jax.grad(
                lambda flat, weights: losses.weighted_loss(
                    losses.cross_entropy, apply(unravel(flat), data.train_inputs), targets, weights
                )
            )
        )
        place = run["parameters"].sel(snapshot_step=START).values
        for step in range(STEPS):
            weights = run["class_weight"].values[START + step]
            place = solve_ivp(
                lambda _, at, weights=weights: -np.asarray(slope(at, weights)),
                (0, RATE), place, method="DOP853", rtol=1e-12, atol=1e-12,
            ).y[:, -1]  # fmt: skip
            descended = run["parameters"].sel(snapshot_step=START + step + 1).values
            expected = np.linalg.norm(place - descended)
            assert float(found["error"][step + 1]) == pytest.approx(expected, rel=1e-6)


def test_what_is_stored(folder):
    for name, kinds in (("tanh", KINDS), ("relu", KINDS_OF_PIECES)):
        found = netcdf.read(folder / f"{name}_flow.nc")
        assert found["flow"].values.tolist() == list(kinds)
        spectrum = netcdf.read(folder / f"{name}_spectrum.nc").sel(snapshot_step=START)
        expected = RATE * float(spectrum["hessian_eigenvalue"][0])
        assert float(found["multiple"][0, 0]) == pytest.approx(expected, rel=1e-9)
        assert not found["stuck"].any()
        assert (found["error"].isel(step=0) == 0).all()
        assert (found["evaluations"].diff("step") > 0).all()
        assert (found["imaginary"].sel(flow=["gradient", "regularised"]) == 0).all()
        # η λ_max is far below 1, so each higher-order flow is nearer than the gradient flow.
        errors = found["error"].isel(step=1, start=0, seed=0)
        assert float(errors.sel(flow="regularised")) < 0.5 * float(errors.sel(flow="gradient"))
        assert float(errors.sel(flow="principal")) < 0.5 * float(errors.sel(flow="gradient"))


def test_a_flow_without_enough_evaluations_is_stored_as_stuck_and_marked(folder, tmp_path):
    trace(folder, "relu", tmp_path / "stuck.nc", evaluations=14, tolerance=1e-5)
    found = netcdf.read(tmp_path / "stuck.nc")
    assert found["stuck"].isel(step=slice(1, None)).all()
    assert found["error"].isel(step=slice(1, None)).isnull().all()
    with style.style():
        whole = netcdf.read(folder / "relu_flow.nc")
        # Three networks, as in the published figure.
        require_legible_texts(drawn(figF4_networks.render({"flows": [whole] * 3}, {})))
        figure = drawn(figF4_networks.render({"flows": [whole]}, {}))
        require_legible_texts(figure)
        marked = drawn(figF4_networks.render({"flows": [found]}, {}))
    lines = {line.get_label(): line for line in panel(figure, "a").lines}
    for kind in KINDS_OF_PIECES:
        np.testing.assert_allclose(lines[KINDS[kind]].get_ydata(), whole["error"].sel(flow=kind)[0, 0, 1:])
    marks = [line for line in panel(marked, "a").lines if line.get_ydata()[0] == 0.94]
    assert len(marks) == STEPS * len(KINDS_OF_PIECES)


def test_a_run_that_diverged_is_drawn_empty(folder):
    whole = netcdf.read(folder / "relu_flow.nc")
    lost = whole.assign(error=np.nan * whole["error"], multiple=np.nan * whole["multiple"])
    with style.style():
        require_legible_texts(drawn(figF4_networks.render({"flows": [lost]}, {})))


def test_a_start_without_a_snapshot_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"starts: there is no snapshot at step 20; add one"):
        trace(folder, "relu", tmp_path / "no.nc", starts=[20])
    assert not (tmp_path / "no.nc").exists()


def test_runs_of_another_study_or_of_one_seed_are_refused(folder, tmp_path):
    def traced(*names):
        given = [word for name in names for word in ("--trajectory", folder / name)]
        command(
            "trace-flow", *given, "--dataset", folder / "data.nc", "--settings", json.dumps(FLOW),
            "--output", tmp_path / "no.nc",
        )  # fmt: skip

    with pytest.raises(UserError, match=r"relu\.nc belongs to another study than .*tanh\.nc"):
        traced("tanh.nc", "relu.nc")
    with pytest.raises(UserError, match="another given run has seed 0 too"):
        traced("tanh.nc", "tanh.nc")
    assert not (tmp_path / "no.nc").exists()
