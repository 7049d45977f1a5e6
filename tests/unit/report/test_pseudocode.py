"""The pseudocode of the card, executed by hand step by step, makes the same run as the pipeline."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dynamical_loss.report.card import pseudocode
from dynamical_loss.results import netcdf
from stage_commands import command, small_spiral

PERIOD, AMPLITUDE, RATE, STEPS = 12, 7.0, 0.5, 60


def loss_of(parameters, inputs, classes, weights):
    """F(w) = (1/P) Σ_j Γ_{y_j} cross_entropy(f(x_j; w), y_j), written out."""
    outputs = network(parameters, inputs)
    entropy = jnp.log(jnp.exp(outputs).sum(axis=1)) - outputs[jnp.arange(len(classes)), classes]
    return jnp.mean(jnp.asarray(weights)[classes] * entropy)


def network(parameters, inputs):
    first, second = parameters
    hidden = jnp.maximum(inputs @ first[0] + first[1], 0)
    return hidden @ second[0] + second[1]


def weights_at(t, classes):
    """Γ_i(t), line by line as in the pseudocode."""
    end = max(multiple for multiple in range(0, STEPS + 1, PERIOD) if multiple <= STEPS - PERIOD)
    g = []
    for i in range(classes):
        if t < end and i == (t // PERIOD) % classes:
            s = t % PERIOD
            g.append(1 + (AMPLITUDE - 1) * (1 - abs(2 * s / PERIOD - 1)))
        else:
            g.append(1.0)
    return [classes * one / sum(g) for one in g]


def test_its_steps_by_hand_make_the_pipelines_run(tmp_path):
    data_file = small_spiral(tmp_path)
    settings = {
        "period": PERIOD, "amplitude": AMPLITUDE, "learning_rate": RATE, "steps": STEPS,
        "precision": "float64", "model": {"width": 5}, "record_every": 1, "snapshots": {"every": 1},
    }  # fmt: skip
    command(
        "train-trajectory", "--dataset", data_file, "--seed", 3, "--settings", json.dumps(settings),
        "--output", tmp_path / "run.nc",
    )  # fmt: skip
    made, data = netcdf.read(tmp_path / "run.nc"), netcdf.read(data_file)
    inputs = np.asarray(data["train_input"].values, float)
    classes = np.asarray(data["train_label"].values, int)
    shapes = ravel_pytree({"first": {"bias": np.zeros(5), "kernel": np.zeros((2, 5))},
                           "second": {"bias": np.zeros(3), "kernel": np.zeros((5, 3))}})[1]  # fmt: skip
    with jax.enable_x64(True):
        start = shapes(jnp.asarray(made["parameters"].values[0]))
        w = tuple((start[layer]["kernel"], start[layer]["bias"]) for layer in ("first", "second"))
        losses = []
        for t in range(STEPS):
            value, slope = jax.value_and_grad(loss_of)(w, inputs, classes, weights_at(t, 3))
            losses.append(float(value))
            w = jax.tree.map(lambda one, down: one - RATE * down, w, slope)
        end = np.concatenate([np.ravel(part) for kernel, bias in w for part in (bias, kernel)])
    np.testing.assert_allclose(made["class_weight"].values[:-1], [weights_at(t, 3) for t in range(STEPS)])
    np.testing.assert_allclose(made["weighted_loss"].values[:-1], losses, rtol=1e-9)
    np.testing.assert_allclose(made["parameters"].values[-1], end, rtol=1e-8, atol=1e-10)


def test_the_pseudocode_names_each_line_that_was_executed():
    """Each of these lines is executed above; another line in the pseudocode would need a test of its own."""
    lines = [line.partition("#")[0].strip() for line in pseudocode().splitlines()]
    steps = [line for line in lines if "←" in line]
    assert [re.sub(r"\s+", " ", line) for line in steps] == [
        "E ← the largest multiple of T that is at most S − T",
        "s ← t mod T",
        "g_i ← 1 + (A − 1) · (1 − |2 s / T − 1|)",
        "g_i ← 1",
        "Γ_i ← C · g_i / (g_1 + … + g_C)",
        "F(w) ← (1 / P) · Σ_j Γ_{y_j} · cross_entropy(f(x_j; w), y_j)",
        "w ← w − η · ∇F(w)",
    ]
