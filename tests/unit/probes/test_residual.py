"""Change of the residual of the squared error, compared with dense kernels and with linear networks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss import losses
from dynamical_loss.probes import residual

SAMPLES, CLASSES, INPUTS, UNITS, RATE = 12, 3, 4, 5, 0.7
GAMMA = np.array([2.2, 0.5, 0.3])


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with jax.enable_x64(True):
        yield


DRAW = np.random.default_rng(5)
POINTS = DRAW.normal(size=(SAMPLES, INPUTS))
LABELS = np.arange(SAMPLES) % CLASSES
TARGETS = np.eye(CLASSES)[LABELS]
PLACE = DRAW.normal(size=INPUTS * UNITS + UNITS * CLASSES) / 2


def smooth(flat):
    """Outputs of a network with one hidden layer of tanh units."""
    first = flat[: INPUTS * UNITS].reshape(INPUTS, UNITS)
    return jnp.tanh(POINTS @ first) @ flat[INPUTS * UNITS :].reshape(UNITS, CLASSES)


def linear(flat):
    """Outputs that are linear in the parameters, so that their kernel is constant."""
    return jnp.asarray(POINTS) @ flat.reshape(INPUTS, CLASSES)


def loss(outputs, flat, weight):
    return jnp.sum(weight * (outputs(flat) - TARGETS) ** 2) / (2 * SAMPLES)


def weights(by_output=False):
    return losses.squared_error_weight(jnp.asarray(TARGETS), jnp.asarray(GAMMA), by_output=by_output)


def modes(outputs, flat, weight, count):
    return residual.residual_modes(
        outputs, jnp.asarray(TARGETS), weight, flat, jnp.asarray(RATE),
        modes=count, order=SAMPLES * CLASSES, key=jax.random.key(1),
    )  # fmt: skip


@pytest.mark.parametrize("by_output", [False, True])
def test_the_weights_make_the_loss_that_is_trained(by_output):
    trained = losses.weighted_loss(
        losses.mse, smooth(PLACE), jnp.asarray(TARGETS), jnp.asarray(GAMMA), by_output=by_output
    )
    assert float(loss(smooth, PLACE, weights(by_output))) == pytest.approx(float(trained), rel=1e-13)


@pytest.mark.parametrize("by_output", [pytest.param(False, marks=pytest.mark.long), True])
def test_modes_are_those_of_the_dense_kernel(by_output):
    weight = weights(by_output)
    found = modes(smooth, jnp.asarray(PLACE), weight, 6)
    root = np.sqrt(np.asarray(weight)).ravel()
    jacobian = np.asarray(jax.jacobian(smooth)(jnp.asarray(PLACE))).reshape(SAMPLES * CLASSES, -1)
    values, vectors = np.linalg.eigh(root[:, None] * (jacobian @ jacobian.T) * root)
    values, vectors = values[::-1][:6], vectors[:, ::-1][:, :6]
    np.testing.assert_allclose(found.multiple, RATE * values / SAMPLES, rtol=1e-9)
    scaled = root * np.asarray(smooth(PLACE) - TARGETS).ravel()
    np.testing.assert_allclose(found.share, (scaled @ vectors) ** 2 / (scaled @ scaled), rtol=1e-7)
    plain = np.linalg.svd(jacobian, compute_uv=False)[0] ** 2
    assert float(found.unweighted) == pytest.approx(RATE * plain / SAMPLES, rel=1e-9)
    # The Gauss-Newton matrix of the loss has the same eigenvalues.
    gauss_newton = (jacobian * root[:, None] ** 2).T @ jacobian / SAMPLES
    np.testing.assert_allclose(RATE * np.linalg.eigvalsh(gauss_newton)[::-1][:6], found.multiple, rtol=1e-9)


def test_a_step_is_that_of_gradient_descent_and_the_kernel_s_is_its_first_order():
    weight, place = weights(), jnp.asarray(PLACE)
    found = modes(smooth, place, weight, 3)
    gradient = jax.grad(lambda flat: loss(smooth, flat, weight))(place)
    before, after = (float(loss(smooth, flat, weight)) for flat in (place, place - RATE * gradient))
    assert float(found.step_change) == pytest.approx(after - before, rel=1e-10)
    linearised = jax.jvp(smooth, (place,), (-RATE * gradient,))
    change = float(jnp.sum(weight * (linearised[0] + linearised[1] - TARGETS) ** 2) / (2 * SAMPLES)) - before
    assert float(found.kernel_change) == pytest.approx(change, rel=1e-10)
    assert change != pytest.approx(after - before, rel=1e-2)


def test_with_a_kernel_that_rests_both_are_the_same():
    place = jnp.asarray(DRAW.normal(size=INPUTS * CLASSES))
    found = modes(linear, place, weights(), 3)
    assert float(found.kernel_change) == pytest.approx(float(found.step_change), rel=1e-10)
    # Each mode of the residual is multiplied by 1 − x.
    values = np.asarray(modes(linear, place, weights(), 12).multiple)
    shares = np.asarray(modes(linear, place, weights(), 12).share)
    start = float(loss(linear, place, weights()))
    expected = start * np.sum(((1 - values) ** 2 - 1) * shares)
    assert float(found.step_change) == pytest.approx(expected, rel=1e-9)


def descend(outputs, place, gammas, rate):
    """Parameters along gradient descent with separate class weights for each step."""
    path = [jnp.asarray(place)]
    for gamma in gammas[:-1]:
        weight = losses.squared_error_weight(jnp.asarray(TARGETS), jnp.asarray(gamma))
        path.append(path[-1] - rate * jax.grad(lambda flat, w=weight: loss(outputs, flat, w))(path[-1]))
    return jnp.stack(path)


def followed(outputs, path, gammas, steps, rate=RATE, restart=20):
    targets = jnp.asarray(TARGETS)
    return jax.jit(
        lambda: residual.follow(
            outputs, targets, jnp.asarray(steps), path,
            lambda gamma: losses.squared_error_weight(targets, gamma),
            jnp.asarray(gammas), jnp.full(len(path), rate), restart=restart,
        )
    )()  # fmt: skip


def test_linear_outputs_are_followed_to_rounding():
    gammas = DRAW.uniform(0.2, 2.0, size=(9, CLASSES))
    path = descend(linear, DRAW.normal(size=INPUTS * CLASSES), gammas, RATE)
    found = followed(linear, path, gammas, np.arange(40, 49))
    assert found.age.tolist() == list(range(9))
    assert np.isnan(found.error[0]).all()
    np.testing.assert_allclose(found.error[1:], 0.0, atol=1e-12)


def test_the_kernels_lead_where_dense_products_do():
    gammas = DRAW.uniform(0.2, 2.0, size=(5, CLASSES))
    path = descend(smooth, PLACE, gammas, RATE)
    found = followed(smooth, path, gammas, np.arange(5))
    jacobians = [np.asarray(jax.jacobian(smooth)(flat)).reshape(SAMPLES * CLASSES, -1) for flat in path]
    true = [np.asarray(smooth(flat) - TARGETS).ravel() for flat in path]
    for column, name in enumerate(residual.KERNELS):
        led = true[0]
        for step in range(4):
            jacobian = jacobians[0 if name == "fixed" else step]
            pull = np.repeat(gammas[step][LABELS], CLASSES) * led
            led = led - RATE / SAMPLES * jacobian @ (jacobian.T @ pull)
            farthest = max(np.linalg.norm(place - true[0]) for place in true[1 : step + 2])
            error = np.linalg.norm(led - true[step + 1]) / farthest
            assert float(found.error[step + 1, column]) == pytest.approx(error, rel=1e-9)


def test_both_start_anew_after_some_steps_and_where_snapshots_have_a_gap():
    gammas = np.ones((9, CLASSES))
    path = descend(smooth, PLACE, gammas, RATE)
    found = followed(smooth, path, gammas, [3, 4, 5, 6, 7, 30, 31, 32, 33], restart=2)
    assert found.age.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 0]
    assert np.isnan(np.asarray(found.error)[np.asarray(found.age) == 0]).all()
    # After one step the predictions of the two kernels agree.
    first = np.asarray(found.error)[np.asarray(found.age) == 1]
    np.testing.assert_allclose(first[:, 0], first[:, 1], rtol=1e-9)


def test_its_error_is_of_second_order_in_the_learning_rate():
    gammas = np.ones((2, CLASSES))
    errors = []
    for rate in (1e-3, 5e-4):
        path = descend(smooth, PLACE, gammas, rate)
        errors.append(float(followed(smooth, path, gammas, [0, 1], rate).error[1, 0]))
    # The error is relative to the distance, which is of first order in the learning rate.
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.02)
