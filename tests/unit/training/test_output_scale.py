"""Training with predictions α(f − f₀) equals explicit descent, closed forms, and the other engine."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from dynamical_loss import losses
from dynamical_loss.config.flow import FlowStudy
from dynamical_loss.config.training import TrainingSettings, TrajectorySettings
from dynamical_loss.datasets.spiral import spiral
from dynamical_loss.losses.weights import Oscillation, class_weights
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import initial_parameters, stateless
from dynamical_loss.models.network import network as network_of
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training import xla
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.step_size import DriftAdjusted
from dynamical_loss.training.types import Perceptron, Problem, Runs, Schedule
from interruption import Kept

PERIOD, AMPLITUDE, END = 10, 8.0, 30
ALPHAS = [0.05, 1.0, 30.0]
ENGINES = ["fused", "xla"]


def problem(*, loss="cross_entropy", **model):
    settings = MLPSettings(**{"width": 13, **model})
    module, parts = settings.build(3), {}
    for name, seed in (("train", 0), ("validation", 1)):
        inputs, labels = spiral(classes=3, points_per_class=17, turns=1, noise=0.2, seed=seed)
        parts |= {f"{name}_inputs": inputs, f"{name}_targets": np.eye(3)[labels]}
    layer = settings.hidden_layer
    return module, Problem(
        network=network_of(settings, module, (2,)),
        loss=losses.sample_loss(loss),
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", {}),
        perceptron=Perceptron(layer.width, loss, layer.bias),
        **parts,
    )


def runs(module, alphas=ALPHAS, rate=0.3):
    """Return one run for each α, with different seeds and with learning rates proportional to min(α, 1)."""
    count = len(alphas)
    start = initial_parameters(module, (2,), range(3, 3 + count))
    rates = rate * np.minimum(1, np.asarray(alphas))
    scales = np.asarray(alphas, np.float64)
    amplitudes = [AMPLITUDE] * count
    return Runs(
        start, [PERIOD] * count, amplitudes, rates, [END] * count, np.arange(count), output_scale=scales
    )


def written_out(p, here, run, steps, batches=None):
    """Compute parameters and losses of F at each step, with gradients of the loss of F divided by α²."""
    alpha, rate = float(here.output_scale[run]), float(here.learning_rate[run])
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf[run], jnp.float64), here.parameters)
    flat, unravel = ravel_pytree(one)
    inputs, targets = jnp.asarray(p.train_inputs), jnp.asarray(p.train_targets)

    def outputs(flat):
        return p.network.evaluate(unravel(flat), (), inputs)

    start = outputs(flat)

    def loss(flat, weight, chosen):
        found = alpha * (outputs(flat) - start)[chosen]
        return losses.weighted_loss(p.loss, found, targets[chosen], weight)

    slope = jax.jit(jax.grad(lambda *arguments: loss(*arguments) / alpha**2))
    value = jax.jit(loss)
    places, found = [flat], []
    for step in range(steps + 1):
        amplitude = jnp.asarray(AMPLITUDE if step < END else 1.0)
        weight = class_weights(jnp.asarray(step), PERIOD, amplitude, 3, Oscillation(), 0)
        found.append(value(places[-1], weight, jnp.arange(len(inputs))))
        chosen = jnp.arange(len(inputs)) if batches is None else batches(step)
        places.append(places[-1] - rate * slope(places[-1], weight, chosen))
    return np.array(places[:-1]), np.array(found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("loss", "initialisation"), [("cross_entropy", "glorot"), ("mse", "lecun"), ("cross_entropy", "no_bias")]
)
def test_a_scaled_run_descends_as_it_is_written_out(engine, loss, initialisation):
    module, p = problem(loss=loss, initialisation=initialisation)
    here = runs(module)
    history = train_ensemble(p, here, Schedule.regular(40, 1, 1), precision="float64", engine=engine)
    with jax.enable_x64(True):
        for run in range(len(ALPHAS)):
            places, found = written_out(p, here, run, 40)
            np.testing.assert_allclose(history.parameters[run], places, rtol=1e-8, atol=1e-9)
            np.testing.assert_allclose(history.weighted_loss[run], found, rtol=1e-7)
            assert np.abs(places[-1] - places[0]).max() > 1e-3  # the run moved
    np.testing.assert_allclose(history.learning_rate[:, 0], here.learning_rate)


def test_of_a_batch_the_rows_of_the_start_are_those_of_its_samples():
    module, p = problem()
    here = runs(module)
    batched = dataclasses.replace(p, batch_size=20)
    history = train_ensemble(batched, here, Schedule.regular(6, 1, 1), precision="float64")
    for run, seed in enumerate(here.seed):
        key = jax.random.fold_in(jax.random.key(np.uint32(seed)), 1)

        def batch(step, key=key):
            order = jax.random.permutation(
                jax.random.fold_in(key, step // 3), jnp.arange(51, dtype=jnp.int32)
            )
            return order[20 * (step % 3) : 20 * (step % 3 + 1)]

        with jax.enable_x64(True):
            places, _ = written_out(p, here, run, 6, batch)
        np.testing.assert_allclose(history.parameters[run], places, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 3e-4), ("float64", 1e-11)])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_both_engines_are_alike(precision, tolerance, loss):
    # Biases are needed: without them the sample at the origin lies on the kink of every unit, and its
    # gradient may be zero up to rounding, because all errors are alike where F = 0.
    module, p = problem(loss=loss, initialisation="glorot", bias_scale=0.1)
    ours, reference = (
        train_ensemble(p, runs(module), Schedule.regular(100, 7, 30), precision=precision, engine=engine)
        for engine in ENGINES
    )
    assert (ours.engine, reference.engine) == tuple(ENGINES)
    for name in ("parameters", "loss", "weighted_loss"):
        found, expected = getattr(ours, name), getattr(reference, name)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)
    for name in ("train_accuracy", "validation_accuracy"):
        np.testing.assert_allclose(getattr(ours, name)[:, 1:], getattr(reference, name)[:, 1:], atol=0.02)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_prediction_starts_at_zero_to_the_bit(engine, precision):
    """At F = 0 all samples are assigned to the first class, and the loss is ln C, at any α."""
    module, p = problem()
    here = runs(module, [1e-3, 1.0, 1e6])
    history = train_ensemble(p, here, Schedule.regular(5, 1), precision=precision, engine=engine)
    real = np.dtype(precision).type
    np.testing.assert_allclose(history.loss[:, 0], np.log(3), rtol=4 * np.finfo(real).eps)
    assert np.ptp(history.loss[:, 0]) == 0
    for name in ("train", "validation"):
        share = np.mean(getattr(p, f"{name}_targets").argmax(axis=1) == 0)
        np.testing.assert_allclose(getattr(history, f"{name}_accuracy")[:, 0], share, rtol=1e-6)
    assert (history.loss[0, 1:] < history.loss[0, 0]).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_doubling_a_large_scale_halves_the_way(engine):
    """In the lazy regime F(t) does not depend on α, and the parameters move in proportion to 1/α."""
    module, p = problem()
    alphas = [1e3, 2e3, 4e3]
    here = runs(module, alphas)
    same = jax.tree.map(lambda leaf: np.repeat(leaf[:1], 3, axis=0), here.parameters)
    history = train_ensemble(
        p, here._replace(parameters=same), Schedule.regular(60, 20, 60), precision="float64", engine=engine
    )
    way = np.linalg.norm(history.parameters[:, 1] - history.parameters[:, 0], axis=1)
    np.testing.assert_allclose(way[:-1] / way[1:], 2, rtol=5e-3)
    np.testing.assert_allclose(history.loss[1:], history.loss[:-1], rtol=5e-3)
    assert history.loss[0, -1] < 0.95 * history.loss[0, 0]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_of_a_network_linear_in_its_parameters_the_scale_is_nothing(loss):
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(20, 4)), np.eye(3)[np.arange(20) % 3]
    p = Problem(
        network=stateless(lambda parameters, x: x @ parameters["w"]),
        loss=losses.sample_loss(loss),
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", {}),
        train_inputs=inputs,
        train_targets=targets,
        validation_inputs=inputs[:7],
        validation_targets=targets[:7],
    )
    alphas = np.array([1e-2, 1.0, 1e3])
    start = {"w": np.repeat(rng.normal(size=(1, 4, 3)), 3, axis=0)}
    here = Runs(start, [9] * 3, [AMPLITUDE] * 3, [0.3] * 3, [40] * 3, [0] * 3, output_scale=alphas)
    history = train_ensemble(p, here, Schedule.regular(50, 5, 50), precision="float64")
    for name in ("loss", "weighted_loss", "validation_accuracy"):
        values = getattr(history, name)
        np.testing.assert_allclose(values, values[[1, 1, 1]], rtol=1e-9, err_msg=name)
    moved = (history.parameters[:, 1] - history.parameters[:, 0]) * alphas[:, None]
    np.testing.assert_allclose(moved, moved[[1, 1, 1]], rtol=1e-8)
    # A run without a scale has initial outputs; if its initial parameters are zero, it equals the scaled run.
    zero = here._replace(parameters={"w": np.zeros_like(start["w"])}, output_scale=None)
    plain = train_ensemble(p, zero, Schedule.regular(50, 5, 50), precision="float64")
    np.testing.assert_allclose(plain.loss, history.loss, rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_scaled_run_that_is_cut_goes_on_as_if_it_had_not_been(engine, monkeypatch):
    monkeypatch.setattr(f"dynamical_loss.training.{engine}._STRETCH", 9)
    module, p = problem()
    arguments = (p, runs(module), Schedule.regular(40, 7, 20))
    whole = train_ensemble(*arguments, precision="float32", engine=engine)
    for offers in (1, 3, 7):  # the interruption falls into the first or the second run
        checkpoint = Kept(offers)
        with pytest.raises(InterruptedError):
            train_ensemble(*arguments, precision="float32", engine=engine, checkpoint=checkpoint)
        joined = train_ensemble(
            *arguments, precision="float32", engine=engine, checkpoint=Kept(kept=checkpoint.kept)
        )
        for name, found, expected in zip(whole._fields, joined, whole, strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=name)


def test_runs_side_by_side_and_parts_of_the_samples_change_nothing(monkeypatch):
    module, p = problem()
    schedule = Schedule.regular(30, 10, 30)
    whole = train_ensemble(p, runs(module), schedule, precision="float64")
    monkeypatch.setattr(xla, "_EVALUATED", 20)
    for batching in ("sequential", "parallel"):
        found = train_ensemble(p, runs(module), schedule, precision="float64", batching=batching)
        np.testing.assert_allclose(found.parameters, whole.parameters, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found.loss, whole.loss, rtol=1e-9)


def test_what_an_engine_does_not_scale_is_refused():
    module, p = problem()
    here = runs(module)
    with pytest.raises(ValueError, match="let the schedule record step 0"):
        train_ensemble(p, here, Schedule((3, 5)), precision="float32")
    rule = dataclasses.replace(p, step_size=DriftAdjusted(1.0, 0.3, 0.4))
    with pytest.raises(ValueError, match="not possible with a step_size rule"):
        train_ensemble(rule, here, Schedule.regular(5, 1), precision="float32")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"output_scale": 0}, "greater than 0"),
        ({"output_scale": -1.0}, "greater than 0"),
        ({"output_scale": float("inf")}, "finite"),
        ({"output_scale": True}, "must not be true"),
        ({"kernel_samples": 0}, "greater than or equal to 1"),
        (
            {"output_scale": 2.0, "learning_rate_rule": {"kind": "dal", "cap": 2}},
            "output_scale: dal uses .* take a constant learning_rate_rule, or null",
        ),
        (
            {"output_scale": 2.0, "model": {"kind": "wide_resnet"}},
            "output_scale: a wide_resnet has statistics",
        ),
    ],
)
def test_scales_that_cannot_be_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        TrainingSettings(**changed)


def test_flows_do_not_follow_a_scaled_output():
    run = TrajectorySettings(output_scale=2.0, steps=300, period=50, amplitude=1)
    with pytest.raises(ValueError, match="trajectory: scaled has an output_scale"):
        FlowStudy(trajectory="scaled", starts=[0]).require_possible(run, 3)
