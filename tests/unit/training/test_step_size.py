"""Compare the drift-adjusted learning rate with dense Hessians and closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from dynamical_loss import losses
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.spiral import spiral
from dynamical_loss.losses.weights import Oscillation, class_weights
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import initial_parameters, stateless
from dynamical_loss.models.network import network as network_of
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.step_size import DriftAdjusted
from dynamical_loss.training.types import Perceptron, Problem, Runs, Schedule
from interruption import Kept

PERIOD, AMPLITUDE, END = 20, 8.0, 80


def perceptron(rule, *, loss="cross_entropy", size=None, options=None, **model):
    settings = MLPSettings(**{"width": 13, **model})
    parts = {}
    for name, seed in (("train", 0), ("validation", 1)):
        inputs, labels = spiral(classes=3, points_per_class=17, turns=1, noise=0.2, seed=seed)
        parts |= {f"{name}_inputs": inputs, f"{name}_targets": np.eye(3)[labels]}
    module = settings.build(3)
    layer = settings.hidden_layer
    return module, Problem(
        network=network_of(settings, module, (2,)),
        loss=losses.sample_loss(loss),
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", options or {}),
        perceptron=None if size else Perceptron(layer.width, loss, layer.bias),
        batch_size=size,
        step_size=rule,
        **parts,
    )


def runs(module, seeds=(3, 8), rate=0.7, leaders=None):
    # With weights three times as large as usual, the rule stays below its cap at most steps.
    start, lead = (
        None
        if these is None
        else jax.tree.map(lambda leaf: 3 * leaf, initial_parameters(module, (2,), these))
        for these in (seeds, leaders)
    )
    count = len(seeds)
    ends, rates = [END] * count, np.full(count, rate)
    return Runs(start, [PERIOD] * count, [AMPLITUDE] * count, rates, ends, np.asarray(seeds), lead)


def wanted_rates(p, module, history, rule, run=0, rate=0.7):
    """Compute η(t) at each snapshot from the dense Hessian."""
    one = jax.tree.map(lambda leaf: leaf[0], initial_parameters(module, (2,), [0]))
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), one))

    def loss(flat, weight):
        logits = p.network.evaluate(unravel(flat), (), jnp.asarray(p.train_inputs))
        return losses.weighted_loss(p.loss, logits, jnp.asarray(p.train_targets), weight)

    @jax.jit
    def curvature(flat, weight):
        gradient = jax.grad(loss)(flat, weight)
        return jnp.linalg.norm(jax.hessian(loss)(flat, weight) @ gradient) / jnp.linalg.norm(gradient)

    found = []
    for step, flat in zip(history.snapshot_step, history.parameters[run], strict=True):
        amplitude = AMPLITUDE if step < END else 1.0
        weight = class_weights(jnp.asarray(step), PERIOD, jnp.asarray(amplitude), 3, Oscillation(), 0)
        found.append(rate * min(rule.constant / float(curvature(flat, weight)) ** rule.power, rule.cap))
    return np.array(found)


@pytest.mark.parametrize("engine", ["fused", "xla"])
@pytest.mark.parametrize(
    ("power", "loss", "initialisation"),
    [(1.0, "cross_entropy", "lecun"), (0.5, "cross_entropy", "no_bias"), (1.5, "mse", "glorot")],
)
def test_each_step_is_as_long_as_the_dense_hessian_asks(engine, power, loss, initialisation):
    rule = DriftAdjusted(power, 0.3, 0.4)
    module, p = perceptron(rule, loss=loss, initialisation=initialisation)
    history = train_ensemble(p, runs(module), Schedule.regular(100, 1, 1), precision="float64", engine=engine)
    for run in range(2):
        with jax.enable_x64(True):
            wanted = wanted_rates(p, module, history, rule, run)
        assert (wanted < 0.7 * 0.399).any()  # the cap does not decide everywhere
        np.testing.assert_allclose(history.learning_rate[run], wanted, rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("static", [None, False, True])
def test_both_engines_take_the_same_steps(precision, static):
    """The rule is combined with a schedule; replayed learning rates equal those of the leader bit by bit."""
    rule = DriftAdjusted(0.75, 0.3, 0.4, static is not None, bool(static))
    module, p = perceptron(rule, width=14)
    p = dataclasses.replace(p, learning_rate_points=((0.0, 1.0), (60.0, 0.5)))
    here = runs(module, leaders=None if static is None else (4, 9))
    schedule = Schedule.regular(60, 1, 30)
    ours, reference = (
        train_ensemble(p, here, schedule, precision=precision, engine=engine) for engine in ("fused", "xla")
    )
    tolerance = 1e-9 if precision == "float64" else 2e-3
    np.testing.assert_allclose(ours.parameters, reference.parameters, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ours.learning_rate, reference.learning_rate, rtol=tolerance)
    if static is not None:
        alone = dataclasses.replace(p, step_size=rule._replace(replayed=False))
        other = runs(module, (4, 9))._replace(amplitude=[1.0 if static else AMPLITUDE] * 2)
        for engine, history in (("fused", ours), ("xla", reference)):
            led = train_ensemble(alone, other, schedule, precision=precision, engine=engine)
            np.testing.assert_array_equal(history.learning_rate, led.learning_rate)
            assert np.ptp(led.learning_rate) > 0.01


@pytest.mark.parametrize("engine", ["fused", "xla"])
def test_a_schedule_is_followed(engine):
    """Each step of a linear decay is the gradient at its start, times the learning rate of this step."""
    module, p = perceptron(None)
    decaying = dataclasses.replace(p, learning_rate_points=((0.0, 2.0), (8.0, 0.0)))
    whole = train_ensemble(
        decaying, runs(module), Schedule.regular(8, 1, 1), precision="float64", engine=engine
    )
    np.testing.assert_allclose(whole.learning_rate[0], 0.7 * np.linspace(2, 0, 9), atol=1e-12)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], runs(module).parameters))

    def loss(flat, weight):
        logits = p.network.evaluate(unravel(flat), (), jnp.asarray(p.train_inputs))
        return losses.weighted_loss(p.loss, logits, jnp.asarray(p.train_targets), weight)

    with jax.enable_x64(True):
        for step in range(8):
            here = jnp.asarray(whole.parameters[0, step])
            wanted = -0.7 * (2 - step / 4) * jax.grad(loss)(here, whole.class_weight[0, step])
            moved = whole.parameters[0, step + 1] - here
            np.testing.assert_allclose(moved, wanted, rtol=1e-6, atol=1e-12)


def descended(eigenvalues, start, rule, steps):
    """Descend on ½ Σ λ_i w_i², written as the loss of a network without hidden layers.

    Returns the history, and the parameters relative to the minimum.
    """
    scale = np.sqrt(len(eigenvalues) * np.asarray(eigenvalues))
    parts = {"inputs": np.diag(scale), "targets": np.ones((len(eigenvalues), 1))}
    p = Problem(
        network=stateless(lambda parameters, x: x @ parameters["w"]),
        loss=losses.mse,
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", {}),
        step_size=rule,
        **{f"{name}_{part}": values for name in ("train", "validation") for part, values in parts.items()},
    )
    shift = 1 / scale
    here = Runs({"w": (start + shift)[None, :, None]}, [9], [1.0], [1.0], [0], [0])
    history = train_ensemble(p, here, Schedule.regular(steps, 1, 1), precision="float64")
    return history, history.parameters[0] - shift


def test_on_a_quadratic_the_loss_never_rises_and_stalls_at_two_over_the_largest_eigenvalue():
    history, _ = descended([4.0, 1.0, 0.3], [0.3, 1.0, -2.0], DriftAdjusted(1.0, 2.0, 1e6), 400)
    assert (np.diff(history.loss[0]) <= 1e-12).all()
    assert history.learning_rate[0, -1] == pytest.approx(0.5, rel=1e-3)
    assert history.loss[0, -1] > 0.01


def test_along_an_eigenvector_the_step_is_two_over_its_eigenvalue():
    history, place = descended([4.0, 1.0], [0.0, 0.7], DriftAdjusted(1.0, 2.0, 1e6), 3)
    np.testing.assert_allclose(history.learning_rate[0], 2.0, rtol=1e-12)
    np.testing.assert_allclose(place[:, 1], [0.7, -0.7, 0.7, -0.7], rtol=1e-9)
    capped, _ = descended([4.0, 1.0], [0.0, 0.7], DriftAdjusted(1.0, 2.0, 1.5), 3)
    np.testing.assert_array_equal(capped.learning_rate[0], 1.5)


def test_at_rest_the_step_is_the_cap():
    # Powers of two make the arithmetic exact, so that the error is exactly 0.
    history, place = descended([2.0, 0.5], [0.0, 0.0], DriftAdjusted(1.0, 2.0, 1.5), 2)
    np.testing.assert_array_equal(history.learning_rate[0], 1.5)
    np.testing.assert_array_equal(place, 0.0)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_only_with_power_one_the_scale_of_the_loss_is_nothing(power):
    rule = DriftAdjusted(power, 2.0, 1e6)
    _, small = descended([4.0, 1.0, 0.3], [0.3, 1.0, -2.0], rule, 5)
    _, large = descended([12.0, 3.0, 0.9], [0.3, 1.0, -2.0], rule, 5)
    assert np.allclose(small, large, rtol=1e-9) == (power == 1.0)


def test_momentum_takes_gradients_that_are_scaled_and_of_the_step_s_batch():
    """v ← μv + h(θ)g, with h from the same batch as g, as in the authors' published code of the rule."""
    rule = DriftAdjusted(1.0, 0.3, 0.4)
    module, p = perceptron(rule, size=20, options={"momentum": 0.9})
    history = train_ensemble(p, runs(module), Schedule.regular(6, 1, 1), precision="float64")
    # The velocity gains h times the gradient of the batch; both factors are compared with their definitions.
    steps = -np.diff(history.parameters[0], axis=0)
    velocity = np.vstack([steps[:1], steps[1:] - 0.9 * steps[:-1]])
    one = jax.tree.map(lambda leaf: leaf[0], initial_parameters(module, (2,), [0]))
    key = jax.random.fold_in(jax.random.key(np.uint32(3)), 1)
    with jax.enable_x64(True):
        _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), one))
        for step in range(3):  # the last batch has 11 of the 51 samples
            order = jax.random.permutation(jax.random.fold_in(key, 0), jnp.arange(51, dtype=jnp.int32))
            batch = order[20 * step : 20 * (step + 1)]
            weight = class_weights(jnp.asarray(step), PERIOD, jnp.asarray(AMPLITUDE), 3, Oscillation(), 0)

            def loss(flat, batch=batch, weight=weight):
                logits = p.network.evaluate(unravel(flat), (), jnp.asarray(p.train_inputs)[batch])
                return losses.weighted_loss(p.loss, logits, jnp.asarray(p.train_targets)[batch], weight)

            flat = jnp.asarray(history.parameters[0, step])
            gradient = jax.grad(loss)(flat)
            product = jax.hessian(loss)(flat) @ gradient
            rate = 0.7 * min(0.3 * jnp.linalg.norm(gradient) / jnp.linalg.norm(product), 0.4)
            np.testing.assert_allclose(history.learning_rate[0, step], rate, rtol=1e-6)
            np.testing.assert_allclose(velocity[step], rate * gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("engine", ["fused", "xla"])
def test_a_run_that_is_cut_goes_on_as_if_it_had_not_been(engine, monkeypatch):
    monkeypatch.setattr(f"dynamical_loss.training.{engine}._STRETCH", 9)
    module, p = perceptron(DriftAdjusted(1.0, 0.3, 0.4, True, True))
    arguments = (p, runs(module, leaders=(4, 9)), Schedule.regular(40, 7, 20))
    whole = train_ensemble(*arguments, precision="float32", engine=engine)
    checkpoint = Kept(3)
    with pytest.raises(InterruptedError):
        train_ensemble(*arguments, precision="float32", engine=engine, checkpoint=checkpoint)
    joined = train_ensemble(
        *arguments, precision="float32", engine=engine, checkpoint=Kept(kept=checkpoint.kept)
    )
    for name, found, expected in zip(whole._fields, joined, whole, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_leaders_are_given_where_steps_are_replayed():
    module, p = perceptron(DriftAdjusted(1.0, 0.3, 0.4, True))
    with pytest.raises(ValueError, match="give leaders if and only if"):
        train_ensemble(p, runs(module), Schedule.regular(3, 1), precision="float32")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"learning_rate_rule": {"kind": "dal"}}, "cap: dal needs a cap.*ten of ten trial runs diverged"),
        ({"learning_rate_rule": {"kind": "dal", "cap": 0}}, "cap"),
        ({"learning_rate_rule": {"kind": "dal", "cap": 2, "power": -1}}, "power"),
        ({"learning_rate_rule": {"kind": "dal", "cap": 2, "power": 0}}, "power"),
        ({"learning_rate_rule": {"cap": 2}}, "kind: constant takes no power, constant"),
        (
            {"learning_rate_rule": {"kind": "dal", "cap": 2}, "optimiser": {"kind": "adam"}},
            "take sgd, and leave weight_decay out",
        ),
        (
            {"learning_rate_rule": {"kind": "dal", "cap": 2}, "optimiser": {"weight_decay": 0.1}},
            "take sgd, and leave weight_decay out",
        ),
        (
            {"learning_rate_rule": {"kind": "dal", "cap": 2, "steps_of": "next_seed"}, "batch_size": 5},
            "learning_rate_rule.steps_of: .*leave batch_size out",
        ),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        TrainingSettings(**changed)
