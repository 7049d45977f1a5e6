"""Curvature along gradients of batches, compared with dense matrices and with all possible batches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss import losses
from dynamical_loss.config.probes import BatchSettings
from dynamical_loss.probes import batches

SAMPLES, INPUTS, HIDDEN, CLASSES = 5, 2, 3, 3
WEIGHTS = jnp.array([0.4, 1.8, 0.8])


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def problem():
    """Smooth network with one hidden layer: samples, parameters, and functions for logits and losses."""
    generator = np.random.default_rng(0)
    inputs = jnp.asarray(generator.normal(size=(SAMPLES, INPUTS)))
    targets = jax.nn.one_hot(
        jnp.asarray(generator.integers(CLASSES, size=SAMPLES)), CLASSES, dtype=inputs.dtype
    )
    first = INPUTS * HIDDEN
    parameters = jnp.asarray(generator.normal(size=first + HIDDEN * CLASSES))

    def logits_of(flat, inputs):
        hidden = jnp.tanh(inputs @ flat[:first].reshape(INPUTS, HIDDEN))
        return hidden @ flat[first:].reshape(HIDDEN, CLASSES)

    def of_logits(logits, targets):
        return losses.weighted_loss(losses.cross_entropy, logits, targets, WEIGHTS)

    def of_some(flat, chosen):
        return of_logits(logits_of(flat, inputs[chosen]), targets[chosen])

    return (inputs, targets), parameters, logits_of, of_logits, of_some


def measured(problem, size, rate=0.3, most=2, **settings):
    samples, parameters, logits_of, of_logits, of_some = problem
    everything = jnp.arange(SAMPLES)
    return batches.curvature(
        lambda flat: of_some(flat, everything),
        of_some,
        batches.gauss_newton_product(logits_of, of_logits, parameters, samples, most),
        parameters,
        jnp.asarray(rate),
        settings=BatchSettings(**{"count": 3, "vectors": 200, "order": 20, **settings}),
        samples=SAMPLES,
        size=size,
        key=jax.random.key(1),
    )


def derivatives(problem, chosen):
    """Gradient and Hessian of the loss of some samples, as NumPy arrays."""
    of_some, parameters = problem[-1], problem[1]
    index = jnp.asarray(chosen)
    return (
        np.asarray(derive(lambda flat: of_some(flat, index))(parameters))
        for derive in (jax.grad, jax.hessian)
    )


@pytest.mark.long
def test_with_all_samples_in_a_batch_both_are_the_curvature_along_the_gradient(problem):
    gradient, hessian = derivatives(problem, range(SAMPLES))
    found = measured(problem, SAMPLES)
    expected = gradient @ hessian @ gradient / (gradient @ gradient)
    assert float(found.batch_sharpness) == pytest.approx(expected, rel=1e-10)
    assert float(found.gradient_noise_interaction) == pytest.approx(expected, rel=1e-10)
    loss, parameters = problem[-1], problem[1]
    everything = jnp.arange(SAMPLES)
    change = loss(parameters - 0.3 * gradient, everything) - loss(parameters, everything)
    assert float(found.one_step_change) == pytest.approx(float(change), rel=1e-10)


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.long), 2])
def test_means_over_batches_are_those_of_all_that_can_be_drawn(problem, size):
    gradient, hessian = derivatives(problem, range(SAMPLES))
    own, through, squared, changes = [], [], [], []
    loss, parameters = problem[-1], problem[1]
    everything = jnp.arange(SAMPLES)
    for chosen in itertools.combinations(range(SAMPLES), size):
        of_batch, curved = derivatives(problem, chosen)
        own.append(of_batch @ curved @ of_batch)
        through.append(of_batch @ hessian @ of_batch)
        squared.append(of_batch @ of_batch)
        changes.append(float(loss(parameters - 0.3 * of_batch, everything) - loss(parameters, everything)))
    found = measured(problem, size, count=4000)
    # With 4000 draws the standard error of a mean is less than two per cent of the spread of the values.
    for value, values, unit in (
        (found.batch_sharpness, own, np.mean(squared)),
        (found.gradient_noise_interaction, through, gradient @ gradient),
        (found.one_step_change, changes, 1.0),
    ):
        assert float(value) == pytest.approx(np.mean(values) / unit, abs=0.08 * np.std(values) / unit)


def test_the_trace_is_known_to_its_error(problem):
    _, hessian = derivatives(problem, range(SAMPLES))
    found = measured(problem, SAMPLES, vectors=400)
    assert abs(float(found.hessian_trace) - np.trace(hessian)) < 4 * float(found.hessian_trace_error)
    # Only the off-diagonal entries contribute to the variance of the estimate with random signs.
    off = hessian - np.diag(np.diag(hessian))
    assert float(found.hessian_trace_error) == pytest.approx(np.sqrt(2 * (off**2).sum() / 400), rel=0.15)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_gauss_newton_matrix_is_the_outputs_curvature_alone(problem, most):
    (inputs, targets), parameters, logits_of, of_logits, _ = problem
    jacobian = jax.jacobian(lambda flat: logits_of(flat, inputs))(parameters).reshape(-1, parameters.size)
    outputs = logits_of(parameters, inputs)
    curvature = jax.hessian(lambda flat: of_logits(flat.reshape(outputs.shape), targets))(outputs.ravel())
    expected = np.linalg.eigvalsh(jacobian.T @ curvature @ jacobian)[-1]
    found = measured(problem, SAMPLES, most=most)
    assert float(found.gauss_newton_eigenvalue) == pytest.approx(expected, rel=1e-9)
    assert float(found.gauss_newton_residual) < 1e-8
