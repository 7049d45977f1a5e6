"""The loss in Keras 3 against the reference in JAX, over a whole cycle, on the backends JAX and torch."""

import os
import subprocess
import sys

import numpy as np
import pytest

from adapter_reference import CYCLE, INPUTS, KERNEL, LABELS, LEARNING_RATE, PERIOD, SCHEDULE, descent
from dynamical_loss import api

keras = pytest.importorskip("keras", reason="Keras is not installed")
from dynamical_loss.adapters.keras import DynamicalLoss, StepCounter  # noqa: E402

# Keras converts tensors of torch by a way that numpy gives up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def made(loss_options=None, **optimiser):
    counter = StepCounter()
    model = keras.Sequential([keras.layers.Dense(3, use_bias=False), counter])
    model.build((None, 4))
    model.layers[0].set_weights([KERNEL])
    loss = DynamicalLoss(SCHEDULE, counter, **(loss_options or {}))
    model.compile(keras.optimizers.SGD(LEARNING_RATE, **optimiser), loss, metrics=["accuracy"])
    return model, counter, loss


def trained(model, epochs, labels=LABELS, **options):
    fitted = model.fit(INPUTS, labels, batch_size=10, epochs=epochs, shuffle=False, verbose=0, **options)
    return fitted.history["loss"]


def test_the_backend_is_the_one_that_was_asked_for():
    assert keras.backend.backend() == os.environ["KERAS_BACKEND"]


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], np.eye(3, dtype=np.float32)[LABELS]])
def test_training_follows_the_reference_over_a_cycle(labels):
    model, counter, _ = made()
    # Validation between the epochs must not move the weights.
    found = trained(model, CYCLE, labels, validation_data=(INPUTS, labels))
    np.testing.assert_allclose(found, descent(CYCLE)[0], rtol=1e-6)
    assert int(counter.count) == CYCLE


@pytest.mark.parametrize("own", [None, "mse"])
def test_a_saved_model_resumes_in_the_middle_of_a_period_with_its_optimiser(tmp_path, own):
    whole = trained(made({"loss": own}, momentum=0.9)[0], 14)
    model, *_ = made({"loss": own}, momentum=0.9)
    first = trained(model, 8)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="this loss has no counter"):
        trained(again, 1)
    again.loss.counter = again.layers[-1]
    np.testing.assert_allclose(first + trained(again, 6), whole, rtol=1e-6)


def test_accumulated_gradients_move_the_weights_once():
    model, _, loss = made({"gradient_accumulation_steps": 2}, gradient_accumulation_steps=2)
    found = trained(model, 2 * PERIOD)
    np.testing.assert_allclose(found[::2], descent(PERIOD)[0], rtol=1e-5)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(loss.class_weights()), SCHEDULE(PERIOD - 1), rtol=1e-6
    )


def test_smoothing_does_not_change_the_weight_of_a_sample():
    counter = StepCounter()
    loss = DynamicalLoss(SCHEDULE, counter, label_smoothing=0.2, reduction="none")
    counter(INPUTS)
    counter.count.assign(3)  # three batches: steps 0, 1 and 2
    logits = INPUTS[:, :3]
    known = api.dynamical(api.cross_entropy, SCHEDULE)(logits, LABELS, 2, label_smoothing=0.2)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss(LABELS, logits)), known, rtol=1e-5)


def test_a_loss_of_ones_own():
    counter = StepCounter()
    counter(INPUTS)
    loss = DynamicalLoss(
        SCHEDULE, counter, lambda targets, logits: keras.ops.sum(abs(targets - logits), -1), reduction="none"
    )
    found = keras.ops.convert_to_numpy(loss(LABELS, INPUTS[:, :3]))
    known = np.abs(np.eye(3)[LABELS] - INPUTS[:, :3]).sum(-1)  # at step 0 all weights are 1
    np.testing.assert_allclose(found, known, rtol=1e-5)


def test_what_does_not_fit_is_named():
    counter = StepCounter()
    with pytest.raises(ValueError, match="gradient_accumulation_steps must be at least 1, not 0"):
        DynamicalLoss(SCHEDULE, counter, gradient_accumulation_steps=0)
    with pytest.raises(ValueError, match="have 4 classes on axis -1, and the schedule has 3"):
        DynamicalLoss(SCHEDULE, counter)(LABELS, INPUTS)
    with pytest.raises(ValueError, match=r"labels \S+ \(5,\) must be whole numbers in the shape \(10,\)"):
        DynamicalLoss(SCHEDULE, counter)(LABELS[:5], INPUTS[:, :3])
    with pytest.raises(ValueError, match=r"label_smoothing must lie between 0 and 1, not 1\.5"):
        DynamicalLoss(SCHEDULE, counter, label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"the counter of this loss is no layer of the model"):
        DynamicalLoss(SCHEDULE, counter)(LABELS, INPUTS[:, :3])
    counter(INPUTS)
    averaged = keras.losses.CategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match=r"the loss has the shape \(\), and the samples have \(10,\)"):
        DynamicalLoss(SCHEDULE, counter, averaged)(LABELS, INPUTS[:, :3])


def test_a_class_that_is_masked_out_has_no_share():
    counter = StepCounter()
    counter(INPUTS)
    logits = np.array([[1.0, 2.0, -np.inf]], np.float32)
    found = DynamicalLoss(SCHEDULE, counter)(np.array([[1.0, 0.0, 0.0]], np.float32), logits)
    assert float(keras.ops.convert_to_numpy(found)) == pytest.approx(np.log(1 + np.e))


@pytest.mark.parametrize("wrong", [[3, -1], [0.4]])
def test_a_label_that_is_no_class_is_not_counted_as_another(wrong):
    counter = StepCounter()
    counter(INPUTS)
    labels = np.array([0, 1, 2, *wrong], np.float32)
    found = DynamicalLoss(SCHEDULE, counter, reduction="none")(labels, INPUTS[: labels.size, :3])
    unknown = np.isnan(keras.ops.convert_to_numpy(found))
    np.testing.assert_array_equal(unknown, [False] * 3 + [True] * len(wrong))


def test_the_counter_leaves_logits_as_they_are_under_mixed_precision():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        shown = StepCounter()(np.array([[70_000.0]], np.float32))
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert float(keras.ops.convert_to_numpy(shown)[0, 0]) == 70_000.0


@pytest.mark.skipif(os.environ["KERAS_BACKEND"] == "torch", reason="this is the run on the other backend")
def test_all_of_this_holds_on_the_backend_torch():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "passed, 1 skipped" in done.stdout
