"""The library's surface against the pipeline's own functions, optax, and dense linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamical_loss import api, losses
from dynamical_loss.losses.weights import WAVEFORMS, Oscillation, class_weights

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(12, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 12)
SCHEDULE = api.class_weight_schedule(20, 10.0, 5)
WEIGHTED = api.dynamical(api.cross_entropy, SCHEDULE)


@given(
    step=st.integers(0, 10_000),
    period=st.integers(1, 300),
    amplitude=st.floats(1.0, 200.0),
    classes=st.integers(2, 12),
    waveform=st.sampled_from(WAVEFORMS),
)
def test_the_schedule_is_that_of_the_pipeline(step, period, amplitude, classes, waveform):
    schedule = api.class_weight_schedule(period, amplitude, classes, waveform)
    known = class_weights(step, period, amplitude, classes, Oscillation(waveform))
    np.testing.assert_allclose(schedule(step), known, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(jnp.sum(schedule(step)), classes, rtol=1e-5)
    np.testing.assert_allclose(schedule.numbers(step), known, rtol=2e-6, atol=1e-6)


def test_the_schedule_stops_and_can_be_compiled():
    schedule = api.class_weight_schedule(10, 5.0, 3, stop=25)
    steps = jnp.arange(40)
    traced = jax.jit(jax.vmap(schedule))(steps)
    np.testing.assert_allclose(
        traced[:25], [class_weights(step, 10, 5.0, 3) for step in range(25)], rtol=1e-6
    )
    np.testing.assert_array_equal(traced[25:], 1.0)


def test_numbers_of_numpy_are_taken():
    assert api.class_weight_schedule(np.int64(7), np.float32(3), np.int32(4)).period == 7


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"period": 0}, "period must be at least 1, not 0"),
        ({"period": 2.5}, "period must be a whole number, not 2.5"),
        ({"amplitude": 0.5}, "amplitude must be a finite number of at least 1, not 0.5"),
        ({"amplitude": float("nan")}, "amplitude must be a finite number of at least 1, not nan"),
        ({"classes": 1}, "classes must be at least 2, not 1"),
        ({"stop": -1}, "stop must be at least 0, not -1"),
        ({"waveform": "saw"}, "waveform must be one of triangle, sine, square, not 'saw'"),
    ],
)
def test_values_out_of_range_are_named(values, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        api.class_weight_schedule(**({"period": 10, "amplitude": 2.0, "classes": 3} | values))


def test_cross_entropy_is_that_of_optax():
    known = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
    np.testing.assert_allclose(api.cross_entropy(LOGITS, LABELS), known, rtol=1e-5)
    one_hot = np.eye(5)[LABELS]
    np.testing.assert_allclose(api.cross_entropy(LOGITS, one_hot), known, rtol=1e-5)
    smooth = optax.softmax_cross_entropy(LOGITS, optax.smooth_labels(one_hot, 0.2))
    np.testing.assert_allclose(api.cross_entropy(LOGITS, LABELS, label_smoothing=0.2), smooth, rtol=1e-5)
    np.testing.assert_allclose(
        api.squared_error(LOGITS, LABELS), 0.5 * np.sum((LOGITS - one_hot) ** 2, axis=1), rtol=1e-5
    )


def test_the_mean_is_the_papers_dynamical_loss_on_an_unbalanced_batch_without_all_classes():
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 3, 3, 3])
    schedule = api.class_weight_schedule(20, 10.0, 5)
    for step in range(0, 100, 7):
        found = jnp.mean(api.dynamical(api.cross_entropy, schedule)(LOGITS, labels, step))
        weights = class_weights(step, 20, 10.0, 5)
        known = losses.weighted_loss(losses.cross_entropy, LOGITS, np.eye(5)[labels], weights)
        np.testing.assert_allclose(found, known, rtol=1e-5)


def test_labels_of_images_and_labels_to_ignore():
    schedule = api.class_weight_schedule(20, 10.0, 3)
    logits = RANDOM.normal(size=(2, 3, 4, 5)).astype(np.float32)
    labels = RANDOM.integers(0, 3, (2, 4, 5))
    labels[0, 0, :2] = 255
    found = api.dynamical(api.cross_entropy, schedule)(logits, labels, 7, axis=1, ignore_index=255)
    assert found.shape == labels.shape
    weights = np.asarray(schedule(7))
    for place in np.ndindex(labels.shape):
        sample, row, column = place
        if labels[place] == 255:
            assert found[place] == 0
            continue
        outputs = logits[sample, :, row, column]
        known = np.log(np.exp(outputs).sum()) - outputs[labels[place]]
        np.testing.assert_allclose(found[place], weights[labels[place]] * known, rtol=1e-4, atol=1e-6)
    gradient = jax.grad(
        lambda logits: api.dynamical(api.cross_entropy, schedule)(
            logits, labels, 7, axis=1, ignore_index=255
        ).sum()
    )(jnp.asarray(logits))
    assert np.isfinite(gradient).all()
    assert (gradient[0, :, 0, :2] == 0).all()


def test_a_label_that_is_no_class_is_not_counted_as_another():
    for loss in (api.cross_entropy, api.dynamical(api.cross_entropy, api.class_weight_schedule(5, 2.0, 5))):
        more = () if loss is api.cross_entropy else (0,)
        found = loss(LOGITS[:3], np.array([0, 5, -1]), *more)
        np.testing.assert_array_equal(np.isnan(found), [False, True, True])


def test_half_precision_is_computed_in_single_precision():
    half = jnp.asarray(LOGITS, jnp.bfloat16)
    found = api.cross_entropy(half, LABELS)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, api.cross_entropy(half.astype(jnp.float32), LABELS), rtol=1e-6)


def test_weights_of_whole_numbers_are_no_less_exact():
    shares = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(api.sample_weights([1, 2, 3], shares, one_hot=True), [1.5, 3.0])
    np.testing.assert_array_equal(api.sample_weights([1, 2, 3], [2, 5]), [3.0, np.nan])


def test_a_distribution_has_the_mean_weight_of_its_classes():
    schedule = api.class_weight_schedule(20, 10.0, 5)
    mixed = RANDOM.dirichlet(np.ones(5), 12).astype(np.float32)
    found = api.dynamical(api.cross_entropy, schedule)(LOGITS, mixed, 10)
    known = (mixed @ np.asarray(schedule(10))) * np.asarray(optax.softmax_cross_entropy(LOGITS, mixed))
    np.testing.assert_allclose(found, known, rtol=1e-5)


def test_a_loss_of_ones_own_need_not_know_of_labels_to_ignore():
    own = optax.softmax_cross_entropy_with_integer_labels
    labels = np.where(LABELS == 1, -1, LABELS)
    found = api.dynamical(own, SCHEDULE)(LOGITS, labels, 7, ignore_index=-1)
    np.testing.assert_allclose(found, WEIGHTED(LOGITS, labels, 7, ignore_index=-1), rtol=1e-5)
    assert (found[labels == -1] == 0).all()


def test_a_small_type_of_steps_holds_a_long_period():
    schedule = api.class_weight_schedule(40_000, 10.0, 3)
    np.testing.assert_allclose(schedule(jnp.int16(30_000)), schedule(30_000))


def test_a_loss_of_ones_own_gets_its_options():
    schedule = api.class_weight_schedule(20, 10.0, 5)

    def distance(logits, labels, *, power):
        return jnp.abs(logits[jnp.arange(12), labels]) ** power

    found = api.dynamical(distance, schedule)(LOGITS, LABELS, 5, power=3)
    np.testing.assert_allclose(
        found, np.asarray(schedule(5))[LABELS] * np.abs(LOGITS[np.arange(12), LABELS]) ** 3, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: api.cross_entropy(LOGITS, LABELS[:3]),
            r"labels int64 \(3,\) must be whole numbers in the shape",
        ),
        (lambda: api.cross_entropy(LOGITS, LABELS.astype(float)), "must be whole numbers"),
        (
            lambda: api.cross_entropy(LOGITS, LABELS, label_smoothing=1.5),
            "label_smoothing must lie between 0 and 1",
        ),
        (lambda: api.cross_entropy(LOGITS, np.eye(5)[LABELS], ignore_index=0), "ignore_index needs labels"),
        (
            lambda: api.dynamical(api.cross_entropy, api.class_weight_schedule(5, 2.0, 3))(LOGITS, LABELS, 0),
            "have 5 classes on axis -1, and the schedule has 3",
        ),
        (lambda: WEIGHTED(LOGITS, LABELS.astype(float), 0), "must be whole numbers in the shape"),
        (lambda: WEIGHTED(LOGITS, np.eye(5)[LABELS], 0, ignore_index=1), "ignore_index needs labels"),
        (lambda: WEIGHTED(LOGITS, LABELS, 0.5), "step must be a whole number, not of type float"),
        (
            lambda: api.dynamical(optax.l2_loss, SCHEDULE)(LOGITS[:5], np.eye(5), 0),
            r"the loss has the shape \(5, 5\), and the samples have \(5,\)",
        ),
        (
            lambda: api.dynamical(lambda a, b: jnp.mean(api.cross_entropy(a, b)), SCHEDULE)(
                LOGITS, LABELS, 0
            ),
            r"the loss has the shape \(\), and the samples have \(12,\)",
        ),
        (
            lambda: api.drift_adjusted_learning_rate(jnp.sum, jnp.ones(2), cap=0.0),
            "cap must be positive, not 0",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with jax.enable_x64(True), pytest.raises(ValueError, match=words):
        call()


def network(parameters, inputs=LOGITS):
    return jnp.tanh(inputs @ parameters["first"]) @ parameters["second"]


PARAMETERS = {
    "first": jnp.asarray(RANDOM.normal(size=(5, 4)), jnp.float32),
    "second": jnp.asarray(RANDOM.normal(size=(4, 3)), jnp.float32),
}


def loss_of(parameters):
    return jnp.mean(api.cross_entropy(network(parameters), LABELS % 3))


def test_the_ends_of_the_hessian_are_those_of_the_dense_matrix():
    flat, unflatten = jax.flatten_util.ravel_pytree(PARAMETERS)
    dense = np.linalg.eigvalsh(jax.hessian(lambda vector: loss_of(unflatten(vector)))(flat))
    found = api.hessian_extremes(loss_of, PARAMETERS, modes=2, order=32)
    np.testing.assert_allclose(found.largest, dense[[-1, -2]], rtol=1e-3)
    np.testing.assert_allclose(found.smallest, dense[0], rtol=1e-3, atol=1e-5)
    assert (found.residual < 1e-3).all()


def test_the_ends_of_the_kernel_are_those_of_the_dense_matrix():
    flat, unflatten = jax.flatten_util.ravel_pytree(PARAMETERS)
    jacobian = jax.jacobian(lambda vector: network(unflatten(vector)).reshape(-1))(flat)
    singular = np.linalg.svd(jacobian, compute_uv=False)
    found = api.ntk_extremes(network, PARAMETERS, modes=2, order=36)
    np.testing.assert_allclose(found.largest, singular[:2] ** 2, rtol=1e-4)
    assert abs(found.smallest) < 1e-3 * found.largest[0]  # 36 outputs and 32 parameters


def test_the_adjusted_learning_rate_is_that_of_the_dense_hessian():
    flat, unflatten = jax.flatten_util.ravel_pytree(PARAMETERS)
    gradient = jax.grad(loss_of)(PARAMETERS)
    direction, _ = jax.flatten_util.ravel_pytree(gradient)
    dense = jax.hessian(lambda vector: loss_of(unflatten(vector)))(flat)
    bend = np.linalg.norm(dense @ direction) / np.linalg.norm(direction)
    rate = jax.jit(lambda p: api.drift_adjusted_learning_rate(loss_of, p, cap=1e6, power=0.5))(PARAMETERS)
    np.testing.assert_allclose(rate, 2 / bend**0.5, rtol=1e-4)
    assert float(api.drift_adjusted_learning_rate(loss_of, PARAMETERS, cap=0.01)) == pytest.approx(0.01)


def test_a_cascade_is_found_in_plain_arrays():
    """The sharpness splits into two branches where it passes 2/η = 2, and the loss alternates there."""
    step = np.arange(3000)
    rise = 1.0 + 1.5 * np.abs((step % 1000) / 500 - 1)
    unstable = rise > 2.0
    branch = np.where(step % 2 == 0, 1.0, -1.0) * unstable
    loss, sharpness = 1.0 + 0.2 * branch + 0.1 * np.sin(step / 300), rise + 0.3 * branch
    by_loss = api.events_from_loss(loss, period=1000)
    by_sharpness = api.events_from_sharpness(step, sharpness, period=1000)
    starts = [int(np.flatnonzero(np.diff(unstable.astype(int)) == 1)[k]) + 1 for k in range(3)]
    assert len(by_loss) >= 3
    for start in starts[:2]:
        assert min(abs(event.start - start) for event in by_loss) < 20
        assert min(abs(event.start - start) for event in by_sharpness) < 5
    assert api.threshold(by_sharpness).all.mean == pytest.approx(2.0, rel=0.1)


def test_all_that_is_promised_is_there():
    assert all(hasattr(api, name) for name in api.__all__)
    assert sorted(api.__all__) == api.__all__
