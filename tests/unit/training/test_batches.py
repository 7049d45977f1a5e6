"""Training with batches: their samples, their steps, and the records."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamical_loss import losses
from dynamical_loss.losses.weights import Oscillation, class_weights
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.models.kinds.wide_resnet import WideResNetSettings
from dynamical_loss.models.network import initial_parameters, stateless
from dynamical_loss.models.network import network as network_of
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Problem, Runs, Schedule
from interruption import Kept


def separate(count, size, rate_points=None, options=None):
    """Return a problem with one parameter per sample, f_i = w_i and target 1.

    A step changes only the parameters of the samples in its batch.
    """
    inputs = np.eye(count)
    return Problem(
        network=stateless(lambda parameters, x: x @ parameters["w"]),
        loss=losses.mse,
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", options or {}),
        train_inputs=inputs,
        train_targets=np.ones((count, 1)),
        validation_inputs=inputs,
        validation_targets=np.ones((count, 1)),
        batch_size=size,
        learning_rate_points=rate_points,
    )


def separate_runs(count, seeds, rate=0.1):
    ones = np.ones(len(seeds))
    start = {"w": np.full((len(seeds), count, 1), 3.0)}
    return Runs(start, 1000 * ones, ones, rate * ones, 0 * ones, seeds)


def batches(history, run=0):
    """Return which parameters each step changed, (step, sample) booleans."""
    return np.diff(history.parameters[run], axis=0) != 0


@given(st.integers(2, 23), st.data())
@settings(max_examples=4)  # each compiles a program
def test_an_epoch_sees_every_sample_once(count, data):
    size = data.draw(st.integers(1, count))
    per_epoch = -(-count // size)
    steps = 3 * per_epoch
    history = train_ensemble(
        separate(count, size), separate_runs(count, [5]), Schedule.regular(steps, 1, 1), precision="float64"
    )
    seen = batches(history)
    sizes = [size] * (count // size) + ([count % size] if count % size else [])
    assert seen.sum(axis=1).tolist() == 3 * sizes
    for epoch in range(3):
        assert (seen[epoch * per_epoch : (epoch + 1) * per_epoch].sum(axis=0) == 1).all()


@pytest.mark.parametrize("size", [4, 5])
def test_a_step_follows_the_mean_over_the_samples_that_are_there(size):
    """w ← w − η (w − 1)/n for the n samples of a batch, also in the last, smaller batch."""
    history = train_ensemble(
        separate(11, size), separate_runs(11, [0]), Schedule.regular(9, 1, 1), precision="float64"
    )
    seen = batches(history)
    w = np.full(11, 3.0)
    for step, present in enumerate(seen):
        w = w - 0.1 * present * (w - 1) / present.sum()
        np.testing.assert_allclose(history.parameters[0, step + 1], w, rtol=1e-13)
        np.testing.assert_allclose(history.loss[0, step + 1], np.mean((w - 1) ** 2) / 2, rtol=1e-12)


def test_the_order_is_the_seeds_alone():
    schedule = Schedule.regular(12, 1, 1)
    both = train_ensemble(separate(20, 5), separate_runs(20, [3, 4]), schedule, precision="float64")
    single = train_ensemble(separate(20, 5), separate_runs(20, [4]), schedule, precision="float32")
    assert (batches(both, 1) == batches(single)).all()
    assert (batches(both, 0) != batches(both, 1)).any()
    first, second = batches(both)[:4], batches(both)[4:8]
    assert (first != second).any()


@pytest.mark.parametrize("length", [1, 3, 7])
def test_where_a_run_is_cut_changes_no_batch(monkeypatch, length):
    arguments = (separate(17, 4), separate_runs(17, [2]), Schedule.regular(14, 1, 1))
    whole = train_ensemble(*arguments, precision="float64")
    monkeypatch.setattr("dynamical_loss.training.xla._STRETCH", length)
    cut = train_ensemble(*arguments, precision="float64")
    np.testing.assert_array_equal(cut.parameters, whole.parameters)


def test_runs_side_by_side_see_the_batches_of_runs_one_after_the_other():
    arguments = (separate(17, 4), separate_runs(17, [2, 9]), Schedule.regular(14, 1, 1))
    found = [
        train_ensemble(*arguments, precision="float64", batching=batching)
        for batching in ("sequential", "parallel")
    ]
    np.testing.assert_allclose(found[0].parameters, found[1].parameters, rtol=1e-13)


def test_nesterov_with_a_learning_rate_in_pieces():
    """v ← g + β v, w ← w − η(t) (g + β v), with η(t) interpolated linearly between its points."""
    count, beta, rate = 6, 0.9, 0.4
    points = ((0.0, 0.0), (8.0, 1.0), (20.0, 0.1))
    p = separate(count, 3, points, {"momentum": beta, "nesterov": True})
    history = train_ensemble(
        p, separate_runs(count, [1], rate), Schedule.regular(20, 1, 1), precision="float64"
    )
    # Momentum also moves parameters of samples outside the batch, so a run without momentum shows the
    # batches.
    plain = train_ensemble(
        separate(count, 3), separate_runs(count, [1]), Schedule.regular(20, 1, 1), precision="float64"
    )
    w, v = np.full(count, 3.0), np.zeros(count)
    for step, present in enumerate(batches(plain)):
        gradient = present * (w - 1) / present.sum()
        v = gradient + beta * v
        factor = step / 8 if step <= 8 else 1 - 0.9 * (step - 8) / 12
        w = w - rate * factor * (gradient + beta * v)
        np.testing.assert_allclose(history.parameters[0, step + 1], w, rtol=1e-12)


def test_batches_of_all_samples_are_full_batch_descent():
    whole = train_ensemble(
        separate(9, 9), separate_runs(9, [1]), Schedule.regular(7, 7, 7), precision="float64"
    )
    full = train_ensemble(
        separate(9, None), separate_runs(9, [1]), Schedule.regular(7, 7, 7), precision="float64"
    )
    np.testing.assert_allclose(whole.parameters, full.parameters, rtol=1e-13)


def test_records_of_many_samples_are_the_means_of_all(monkeypatch):
    """Evaluation in parts, the last of which overlaps with the part before it, equals evaluation at once."""
    generator = np.random.default_rng(0)
    inputs, labels = generator.normal(size=(83, 4)), generator.integers(0, 3, size=83)
    p = Problem(
        network=stateless(lambda parameters, x: x @ parameters["w"]),
        loss=losses.cross_entropy,
        oscillation=Oscillation(),
        optimiser=optimiser("sgd", {}),
        train_inputs=inputs,
        train_targets=np.eye(3)[labels],
        validation_inputs=inputs[:31],
        validation_targets=np.eye(3)[labels[:31]],
        batch_size=10,
    )
    start = Runs({"w": generator.normal(size=(1, 4, 3))}, [20], [6.0], [0.5], [10**6], [0])
    schedule = Schedule.regular(25, 5, 5)
    whole = train_ensemble(p, start, schedule, precision="float64")
    monkeypatch.setattr("dynamical_loss.training.xla._EVALUATED", 20)
    parts = train_ensemble(p, start, schedule, precision="float64")
    for name in ("weighted_loss", "loss", "train_accuracy", "validation_accuracy"):
        tolerance = 1e-6 if "accuracy" in name else 1e-12  # accuracies are float32
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=tolerance, err_msg=name)
    for position, step in enumerate(whole.step):
        logits = inputs @ whole.parameters[0, position].reshape(4, 3)
        each = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(83), labels]
        with jax.enable_x64(True):
            gamma = np.asarray(class_weights(int(step), 20, 6.0, 3))
        assert whole.weighted_loss[0, position] == pytest.approx((gamma[labels] * each).mean(), rel=1e-12)
        right = logits.argmax(axis=1) == labels
        assert whole.train_accuracy[0, position] == pytest.approx(right.mean())
        assert whole.validation_accuracy[0, position] == pytest.approx(right[:31].mean())
    few = train_ensemble(
        Problem(**{**vars(p), "evaluation_samples": 7}), start, schedule, precision="float64"
    )
    logits = inputs[:7] @ few.parameters[0, -1].reshape(4, 3)
    assert few.train_accuracy[0, -1] == pytest.approx((logits.argmax(axis=1) == labels[:7]).mean())
    np.testing.assert_array_equal(few.parameters, whole.parameters)


@pytest.mark.parametrize("batching", ["sequential", "parallel"])
def test_samples_are_looked_at_for_records_alone(monkeypatch, batching):
    """Few of the stretches of two steps have a record; each record evaluates each of the two sets once."""
    looks = []

    def loss(logits, targets):
        jax.debug.callback(lambda: looks.append(1))
        return losses.mse(logits, targets)

    monkeypatch.setattr("dynamical_loss.training.xla._STRETCH", 2)
    p = Problem(**{**vars(separate(12, 5)), "loss": loss})
    schedule = Schedule.regular(20, 7)
    train_ensemble(p, separate_runs(12, [1, 2]), schedule, precision="float32", batching=batching)
    jax.effects_barrier()
    # One call per step, and two per record at 0, 7, 14 and 20.  Batched runs share their calls.
    assert len(looks) == (20 + 2 * 4) * (2 if batching == "sequential" else 1)


@pytest.mark.parametrize("size", [0, 12])
def test_batches_that_cannot_be_are_refused(size):
    with pytest.raises(ValueError, match=f"batch_size: must be from 1 to 11, .* not {size}"):
        train_ensemble(separate(11, size), separate_runs(11, [0]), Schedule((0,)), precision="float32")


def test_batches_need_seeds():
    with pytest.raises(ValueError, match="need a seed for each run"):
        train_ensemble(
            separate(11, 2),
            separate_runs(11, [0])._replace(seed=None),
            Schedule((0,)),
            precision="float32",
        )


def images(settings, **changes):
    generator = np.random.default_rng(1)
    inputs, labels = generator.normal(size=(22, 8, 8, 1)), np.arange(22) % 3
    model = settings.build(3)
    parts = {
        "network": network_of(settings, model, (8, 8, 1)),
        "loss": losses.cross_entropy,
        "oscillation": Oscillation(),
        "optimiser": optimiser("sgd", {"momentum": 0.9, "nesterov": True}),
        "train_inputs": inputs,
        "train_targets": np.eye(3)[labels],
        "validation_inputs": inputs[:5],
        "validation_targets": np.eye(3)[labels[:5]],
        "batch_size": 8,
    }
    return Problem(**{**parts, **changes}), initial_parameters(model, (8, 8, 1), [4])


def test_an_interrupted_network_of_convolutions_ends_with_the_same_bits(monkeypatch):
    """Checkpoints include momentum and the statistics of batch norm; the cut falls within an epoch."""
    monkeypatch.setattr("dynamical_loss.training.xla._STRETCH", 4)
    p, start = images(WideResNetSettings(kind="wide_resnet", depth=10, widening=1, normalisation="batch"))
    arguments = (p, Runs(start, [4], [5.0], [0.02], [8], [4]), Schedule.regular(10, 2, 5))
    whole = train_ensemble(*arguments, precision="float32")
    checkpoint = Kept(2)
    with pytest.raises(InterruptedError):
        train_ensemble(*arguments, precision="float32", checkpoint=checkpoint)
    joined = train_ensemble(*arguments, precision="float32", checkpoint=Kept(kept=checkpoint.kept))
    for name, found, expected in zip(whole._fields, joined, whole, strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=name)
    assert np.isfinite(whole.loss).all()
    assert whole.loss[0, -1] < whole.loss[0, 0]


def test_a_stretch_of_long_steps_is_short(monkeypatch):
    """The length of a stretch follows from the products in a step, so that a stretch takes some seconds."""
    # A forward pass has 9 · (64·1·8 + 64·8·8 + 16·8·8 + 4·8·8) products per sample (9 pixels of the kernel),
    # with two operations each.  A step, with the gradients of kernels and images, has three times as many,
    # for 8 samples.
    forward = 9 * (64 * 8 + 64 * 64 + 16 * 64 + 4 * 64)
    p, start = images(Myrtle5Settings(kind="myrtle5", channels=8), products=forward)
    offers = Kept()
    arguments = (p, Runs(start, [4], [1.0], [0.01], [0], [4]), Schedule.regular(20, 20))
    train_ensemble(*arguments, precision="float32", checkpoint=offers)
    assert offers.offers == 0
    monkeypatch.setattr("dynamical_loss.training.xla._STRETCH_OPERATIONS", {"cpu": 4 * 3 * 2 * forward * 8})
    cut = Kept()
    train_ensemble(*arguments, precision="float32", checkpoint=cut)
    assert cut.offers == 20 // 4


def test_myrtle5_learns_what_can_be_learnt():
    """The network learns classes that differ in mean brightness in a few epochs, with the dynamical loss."""
    generator = np.random.default_rng(3)
    labels = np.arange(60) % 3
    inputs = generator.normal(size=(60, 8, 8, 1)) + np.array([-2.0, 0.0, 2.0])[labels][:, None, None, None]
    p, start = images(
        Myrtle5Settings(kind="myrtle5", channels=8),
        train_inputs=inputs,
        train_targets=np.eye(3)[labels],
        batch_size=16,
    )
    history = train_ensemble(
        p, Runs(start, [8], [5.0], [0.02], [100], [4]), Schedule.regular(120, 120), precision="float32"
    )
    assert history.train_accuracy[0, -1] > 0.95
    assert jnp.isfinite(history.loss).all()
