"""Compare the training engine with closed forms and with a plain loop in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from dynamical_loss import losses
from dynamical_loss.datasets.spiral import spiral
from dynamical_loss.grid import last_period_boundary
from dynamical_loss.losses.weights import Oscillation, class_weights
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import initial_parameters, stateless
from dynamical_loss.models.network import network as network_of
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Perceptron, Problem, Runs, Schedule
from interruption import Kept

SETTINGS = MLPSettings(width=7)
MODEL = SETTINGS.build(3)


def problem(**changes):
    parts = {}
    for name, seed in (("train", 0), ("validation", 1)):
        inputs, labels = spiral(classes=3, points_per_class=15, turns=1, noise=0.2, seed=seed)
        parts |= {f"{name}_inputs": inputs, f"{name}_targets": np.eye(3)[labels]}
    defaults = {
        "network": network_of(SETTINGS, MODEL, (2,)),
        "loss": losses.cross_entropy,
        "oscillation": Oscillation(),
        "optimiser": optimiser("sgd", {}),
    }
    return Problem(**{**defaults, **parts, **changes})


def runs(seeds, period=20, amplitude=8.0, learning_rate=0.7, end=10**6):
    count = len(seeds)
    return Runs(
        initial_parameters(MODEL, (2,), seeds),
        np.full(count, period),
        np.full(count, amplitude),
        np.full(count, learning_rate),
        np.full(count, end),
    )


def least_squares(apply, inputs):
    """Return a problem with one class whose loss is half the squared output, (sample, 1).

    The one-hot target of the only class is 1, so 1 is added to the output.
    """
    targets = np.ones((len(inputs), 1))
    return Problem(
        network=stateless(lambda parameters, x: apply(parameters, x) + 1.0),
        loss=losses.mse,
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", {}),
        train_inputs=inputs,
        train_targets=targets,
        validation_inputs=inputs,
        validation_targets=targets,
    )


def test_gradient_descent_is_the_plain_loop():
    """The forward and the backward pass are written out in numpy, with Γ(t) from `class_weights`."""
    p, steps, rate, period, amplitude, end = problem(), 45, 0.7, 20, 8.0, 40
    history = train_ensemble(
        p, runs([3], period, amplitude, rate, end), Schedule.regular(steps, 1, 1), precision="float64"
    )
    weight = jax.tree.map(lambda leaf: leaf[0].copy(), initial_parameters(MODEL, (2,), [3]))
    hidden_layer, output_layer = weight["hidden_0"], weight["output"]
    x, y = p.train_inputs, p.train_targets
    for t in range(steps + 1):
        with jax.enable_x64(True):
            gamma = np.asarray(class_weights(t, period, amplitude if t < end else 1.0, 3))
        before = x @ hidden_layer["kernel"] + hidden_layer["bias"]
        hidden = np.maximum(before, 0)
        logits = hidden @ output_layer["kernel"] + output_layer["bias"]
        exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability = exponential / exponential.sum(axis=1, keepdims=True)
        each = -np.log((probability * y).sum(axis=1))
        np.testing.assert_allclose(history.class_weight[0, t], gamma, rtol=1e-12)
        np.testing.assert_allclose(history.weighted_loss[0, t], (y @ gamma * each).mean(), rtol=1e-9)
        np.testing.assert_allclose(history.loss[0, t], each.mean(), rtol=1e-9)
        right = logits.argmax(axis=1) == y.argmax(axis=1)
        assert history.train_accuracy[0, t] == pytest.approx(right.mean())
        error = (probability - y) * (y @ gamma)[:, None] / len(x)
        back = (error @ output_layer["kernel"].T) * (before > 0)
        flat = np.concatenate(
            [
                hidden_layer["bias"],
                hidden_layer["kernel"].ravel(),
                output_layer["bias"],
                output_layer["kernel"].ravel(),
            ]
        )
        np.testing.assert_allclose(history.parameters[0, t], flat, rtol=1e-8, atol=1e-10)
        output_layer["kernel"] -= rate * hidden.T @ error
        output_layer["bias"] -= rate * error.sum(axis=0)
        hidden_layer["kernel"] -= rate * x.T @ back
        hidden_layer["bias"] -= rate * back.sum(axis=0)


def test_catapult_map():
    """f = n^-1/2 v·u at x = 1, y = 0 follows the two-variable map of Lewkowycz et al. 2020 exactly."""
    width, rate, steps = 8, 0.9, 60
    generator = np.random.default_rng(5)
    u, v = 1.3 * generator.normal(size=(2, width))

    def apply(parameters, inputs):
        return (inputs * (parameters["v"] @ parameters["u"]) / np.sqrt(width)).reshape(-1, 1)

    history = train_ensemble(
        least_squares(apply, np.ones((1, 1))),
        Runs({"u": u[None], "v": v[None]}, [10], [1.0], [rate], [0]),
        Schedule.regular(steps, 1, 1),
        precision="float64",
    )
    f, curvature = u @ v / np.sqrt(width), (u @ u + v @ v) / width
    assert rate * curvature > 2  # the catapult regime: above the threshold, but not divergent
    assert rate * curvature < 4
    for t in range(steps + 1):
        first, second = np.split(history.parameters[0, t], 2)
        assert first @ second / np.sqrt(width) == pytest.approx(f, rel=1e-9, abs=1e-12)
        assert (first @ first + second @ second) / width == pytest.approx(curvature, rel=1e-10)
        f, curvature = (
            f * (1 - rate * curvature + rate**2 * f**2 / width),
            curvature + rate * f**2 / width * (rate * curvature - 4),
        )
    assert rate * curvature < 2  # training converged in a wider valley


@given(st.floats(0.05, 3.95), st.integers(0, 1000))
@settings(max_examples=15)
def test_gradient_descent_on_a_quadratic_diverges_beyond_2_over_the_learning_rate(product, seed):
    """With ηλ_max = `product`, each step multiplies the top mode by 1 − ηλ_max."""
    if abs(product - 2) < 0.02:
        return
    generator = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(generator.normal(size=(4, 4)))
    curvature = np.array([1.0, 0.5, 0.2, 0.1])
    design = np.sqrt(curvature)[:, None] * basis * 2  # mean over 4 samples: Hessian XᵀX/4
    history = train_ensemble(
        least_squares(lambda p, x: x @ p["w"], design),
        Runs({"w": basis.sum(axis=0)[None, :, None]}, [10], [1.0], [product], [0]),
        Schedule.regular(30, 30),
        precision="float64",
    )
    expected = 0.5 * (curvature * (1 - product * curvature) ** 60).sum()
    assert history.loss[0, -1] == pytest.approx(expected, rel=1e-6)
    assert (history.loss[0, -1] > history.loss[0, 0]) == (expected > 0.5 * curvature.sum())


def test_a_run_is_the_same_in_whatever_company_and_order():
    schedule = Schedule.regular(30, 10, 15)
    alone = train_ensemble(problem(), runs([2]), schedule, precision="float32")
    many = train_ensemble(problem(), runs([5, 2, 9]), schedule, precision="float32")
    np.testing.assert_array_equal(alone.parameters[0], many.parameters[1])
    np.testing.assert_array_equal(alone.weighted_loss[0], many.weighted_loss[1])


def test_parallel_batching_agrees_to_rounding():
    schedule = Schedule.regular(30, 10, 15)
    one, other = (
        train_ensemble(problem(), runs([2, 3]), schedule, precision="float64", batching=kind)
        for kind in ("sequential", "parallel")
    )
    np.testing.assert_allclose(one.parameters, other.parameters, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(one.train_accuracy, other.train_accuracy)


def test_snapshots_do_not_depend_on_how_often_they_are_taken():
    dense = train_ensemble(problem(), runs([1]), Schedule.regular(30, 1, 1), precision="float64")
    sparse = train_ensemble(
        problem(), runs([1]), Schedule.regular(30, 7, 15, [(3, 9, 2)]), precision="float64"
    )
    assert sparse.snapshot_step.tolist() == [0, 3, 5, 7, 9, 15, 30]
    np.testing.assert_array_equal(sparse.parameters[0], dense.parameters[0, sparse.snapshot_step])
    np.testing.assert_array_equal(sparse.step, sorted({*range(0, 31, 7), 0, 3, 5, 7, 9, 15, 30}))
    np.testing.assert_array_equal(sparse.loss[0], dense.loss[0, sparse.step])


def test_divergence_is_recorded_and_does_not_touch_the_other_runs():
    def apply(parameters, inputs):
        return inputs @ parameters["w"]

    inputs = np.ones((2, 1))
    history = train_ensemble(
        least_squares(apply, inputs),
        Runs({"w": np.ones((2, 1, 1))}, [10, 10], [1.0, 1.0], [1e30, 0.5], [0, 0]),
        Schedule.regular(40, 1),
        precision="float64",
    )
    assert history.diverged.tolist() == [True, False]
    # |w| = 10^30t, and the squared loss overflows beyond 10^308: at t = 6.
    assert history.divergence_step.tolist() == [6, -1]
    assert history.loss[1, -1] == pytest.approx(0.5 * 0.5**80)


def test_learning_rate_period_and_amplitude_are_traced_per_run():
    mixed = Runs(initial_parameters(MODEL, (2,), [0, 0]), [20, 11], [8.0, 30.0], [0.7, 0.2], [10**6, 15])
    schedule = Schedule.regular(33, 33, 33)
    both = train_ensemble(problem(), mixed, schedule, precision="float64")
    for index, arguments in enumerate([(20, 8.0, 0.7, 10**6), (11, 30.0, 0.2, 15)]):
        alone = train_ensemble(problem(), runs([0], *arguments), schedule, precision="float64")
        np.testing.assert_array_equal(both.parameters[index], alone.parameters[0])


def test_momentum_keeps_its_state_between_records():
    p = problem(optimiser=optimiser("sgd", {"momentum": 0.9}))
    rare = train_ensemble(p, runs([0]), Schedule.regular(20, 20, 20), precision="float64")
    often = train_ensemble(p, runs([0]), Schedule.regular(20, 1, 20), precision="float64")
    plain = train_ensemble(problem(), runs([0]), Schedule.regular(20, 20, 20), precision="float64")
    np.testing.assert_array_equal(rare.parameters[0, -1], often.parameters[0, -1])
    assert not np.allclose(rare.parameters[0, -1], plain.parameters[0, -1])


def test_progress_rises_to_one(monkeypatch):
    monkeypatch.setattr("dynamical_loss.training.xla._STRETCH", 4)
    seen = []
    train_ensemble(
        problem(), runs([0, 1]), Schedule.regular(50, 1), precision="float32", progress=seen.append
    )
    assert seen[-1] == 1.0
    assert len(seen) == 2 * 13  # two runs; 13 stretches of four steps cover the steps 0 … 50
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("optimiser_name", "options", "offers", "cuts"),
    [
        ("sgd", {"engine": "fused"}, 7, range(1, 8)),
        ("sgd", {"engine": "xla", "batching": "sequential"}, 7, (1, 4, 7)),
        ("adam", {"engine": "xla", "batching": "sequential"}, 7, (3, 4)),
        # States with numbers of other types: bfloat16, a random key, truth values.
        (("adam", {"mu_dtype": "bfloat16"}), {"engine": "xla", "batching": "sequential"}, 7, (3,)),
        (("noisy_sgd", {"key": 1}), {"engine": "xla", "batching": "sequential"}, 7, (3,)),
        ("optimistic_adam_v2", {"engine": "xla", "batching": "sequential"}, 7, (3,)),
        ("adam", {"engine": "xla", "batching": "parallel"}, 3, (1, 3)),
    ],
)
def test_an_interrupted_ensemble_ends_with_the_same_bits(monkeypatch, optimiser_name, options, offers, cuts):
    """The cuts fall within a run, at its end (4 of 7), and before the last stretch."""
    for engine in ("xla", "fused"):
        monkeypatch.setattr(f"dynamical_loss.training.{engine}._STRETCH", 8)
    chosen = (optimiser_name, {}) if isinstance(optimiser_name, str) else optimiser_name
    p = problem(optimiser=optimiser(*chosen), perceptron=Perceptron(7, "cross_entropy", bias=True))
    arguments = (p, runs([1, 2], learning_rate=0.3), Schedule.regular(30, 3, 5))
    counter = Kept()
    whole = train_ensemble(*arguments, precision="float32", checkpoint=counter, **options)
    assert counter.offers == offers
    for cut in cuts:
        checkpoint = Kept(cut)
        with pytest.raises(InterruptedError):
            train_ensemble(*arguments, precision="float32", checkpoint=checkpoint, **options)
        resumed = Kept(kept=checkpoint.kept)
        joined = train_ensemble(*arguments, precision="float32", checkpoint=resumed, **options)
        assert resumed.offers == counter.offers - cut  # no stretch was trained twice
        for name, found, expected in zip(whole._fields, joined, whole, strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=f"{name}, cut {cut}")


@given(
    st.integers(1, 120),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 50),
)
@settings(max_examples=50)
def test_stretches_cover_a_schedule_once(steps, record_every, snapshot_every, length):
    schedule = Schedule.regular(steps, record_every, snapshot_every)
    stretches = schedule.stretches(length)
    assert [stretch.start for stretch in stretches] == list(range(0, steps + 1, length))
    assert [stretch.end for stretch in stretches[:-1]] == [stretch.start for stretch in stretches[1:]]
    assert stretches[-1].end == steps
    for kept in ("record", "snapshot"):
        whole = getattr(schedule, f"{kept}_steps")
        parts = [whole[getattr(stretch, f"{kept}s")] for stretch in stretches]
        assert sum(parts, ()) == whole
        for stretch, part in zip(stretches, parts, strict=True):
            assert all(stretch.start <= step < stretch.start + length for step in part)


@pytest.mark.parametrize(
    ("steps", "period", "end"), [(35_000, 200, 34_800), (70_000, 5000, 65_000), (35_000, 3000, 30_000)]
)
def test_the_last_period_is_static(steps, period, end):
    assert last_period_boundary(steps, period) == end


@pytest.mark.parametrize(("steps", "period"), [(100, 0), (100, 51), (100, -5)])
def test_a_period_without_a_static_one_is_refused(steps, period):
    with pytest.raises(ValueError, match="leaves no static period"):
        last_period_boundary(steps, period)


@pytest.mark.parametrize(
    "schedule", [Schedule(()), Schedule((0, 5), (3,)), Schedule((-1, 5)), Schedule((0, 5), (0,))]
)
def test_impossible_schedules_are_refused(schedule):
    with pytest.raises(ValueError, match="schedule"):
        train_ensemble(problem(), runs([0]), schedule, precision="float32")


def test_precision_is_as_asked():
    for precision in ("float32", "float64"):
        history = train_ensemble(problem(), runs([0]), Schedule.regular(3, 1, 1), precision=precision)
        assert history.parameters.dtype == jnp.dtype(precision)


def test_a_schedule_ends_with_the_last_step():
    schedule = Schedule.regular(10, 4, 4)
    assert schedule.record_steps == (0, 4, 8, 10)
    assert schedule.snapshot_steps == (0, 4, 8, 10)


# Variants of the loss ------------------------------------------------------------------------------


def first_step(p, seed=3, amplitude=8.0, rate=0.7):
    """Train two steps with a period of two steps, so that the second step has the largest weight."""
    given = runs([seed], 2, amplitude, rate)._replace(seed=np.array([seed]))
    return train_ensemble(p, given, Schedule.regular(2, 1, 1), precision="float64", engine="xla")


def descended(p, weighted, before, rate):
    """Return the parameters after one gradient step on a function of (logits, targets)."""
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], initial_parameters(MODEL, (2,), [0])))

    def objective(flat):
        return weighted(p.network.evaluate(unravel(flat), {}, p.train_inputs), p.train_targets)

    with jax.enable_x64(True):
        return np.asarray(before - rate * jax.grad(objective)(jnp.asarray(before)))


def test_weights_of_outputs_multiply_each_output_s_error():
    p = problem(loss=losses.mse, by_output=True)
    history = first_step(p)
    gamma = history.class_weight[0, 1]
    assert np.ptp(gamma) > 1

    def weighted(logits, targets):
        return jnp.mean(0.5 * jnp.sum(gamma * (logits - targets) ** 2, axis=1))

    found = history.parameters[0]
    np.testing.assert_allclose(found[2], descended(p, weighted, found[1], 0.7), rtol=1e-9, atol=1e-12)
    # Γ = 1 at the start.
    assert history.weighted_loss[0, 0] == pytest.approx(history.loss[0, 0])
    assert history.weighted_loss[0, 1] != pytest.approx(history.loss[0, 1])


def test_random_groups_are_as_large_as_classes_and_differ_from_seed_to_seed():
    p = problem(oscillation=Oscillation(emphasis="random_group"))
    groups = {}
    for seed in (3, 4):
        history = first_step(p, seed)
        gamma, found = history.class_weight[0, 1], history.parameters[0]
        key = jax.random.fold_in(jax.random.key(seed), 3)
        owners = p.train_targets[np.asarray(jax.random.permutation(key, len(p.train_targets)))]
        groups[seed] = owners
        assert owners.sum(axis=0).tolist() == p.train_targets.sum(axis=0).tolist()
        assert 0 < (owners * p.train_targets).sum() < len(owners)

        def weighted(logits, targets, owners=owners, gamma=gamma):
            return jnp.mean((owners @ gamma) * losses.cross_entropy(logits, targets))

        np.testing.assert_allclose(found[2], descended(p, weighted, found[1], 0.7), rtol=1e-9, atol=1e-12)
    assert not np.array_equal(groups[3], groups[4])


@pytest.mark.parametrize(
    "variant", [{"emphasis": "random_class"}, {"emphasis": "all", "normalisation": "cycle"}]
)
def test_both_engines_train_variants_of_the_weights(variant):
    perceptron = Perceptron(7, "cross_entropy", bias=True)
    p = problem(oscillation=Oscillation(**variant), perceptron=perceptron)
    given = runs([1, 2])._replace(seed=np.array([1, 2]))
    both = [
        train_ensemble(p, given, Schedule.regular(90, 10), precision="float64", engine=engine)
        for engine in ("xla", "fused")
    ]
    np.testing.assert_array_equal(both[0].class_weight, both[1].class_weight)
    np.testing.assert_allclose(both[0].weighted_loss, both[1].weighted_loss, rtol=1e-9)
