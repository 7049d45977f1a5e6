"""Hessian probes, compared with the dense Hessian of the paper's narrow network with 603 parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamical_loss.probes.hessian import (
    extreme_eigenvalues,
    hessian_vector_product,
    spectral_density,
)

WIDTH, CLASSES, SAMPLES = 100, 3, 300
PARAMETERS = 2 * WIDTH + WIDTH + WIDTH * CLASSES + CLASSES
CLASS_WEIGHT = (2.4, 0.3, 0.3)
KEY = jax.random.key(3)


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def data() -> tuple[np.ndarray, np.ndarray]:
    """Points on three noisy arms of a spiral and their one-hot labels, sorted by class."""
    rng = np.random.default_rng(0)
    radius = np.linspace(0.0, 1.0, SAMPLES // CLASSES)
    angle = np.concatenate([4 * np.pi * radius + 2 * np.pi * j / CLASSES for j in range(CLASSES)])
    angle += 0.2 * rng.standard_normal(SAMPLES)
    radius = np.tile(radius, CLASSES)
    inputs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return inputs, np.repeat(np.eye(CLASSES), SAMPLES // CLASSES, axis=0)


def loss(flat: jax.Array) -> jax.Array:
    """Class-weighted mean cross-entropy of a 2-100-3 ReLU network."""
    inputs, targets = (jnp.asarray(array, flat.dtype) for array in data())
    splits = np.cumsum([2 * WIDTH, WIDTH, WIDTH * CLASSES])
    w1, b1, w2, b2 = jnp.split(flat, splits)
    hidden = jax.nn.relu(inputs @ w1.reshape(2, WIDTH) + b1)
    logits = hidden @ w2.reshape(WIDTH, CLASSES) + b2
    nats = -jnp.sum(targets * jax.nn.log_softmax(logits), axis=1)
    return jnp.mean((targets @ jnp.asarray(CLASS_WEIGHT, flat.dtype)) * nats)


class Dense(NamedTuple):
    parameters: np.ndarray
    hessian: np.ndarray
    eigenvalue: np.ndarray


@pytest.fixture(scope="module")
def dense() -> Dense:
    """Parameters after 200 steps of gradient descent, their Hessian, and its eigenvalues."""
    with jax.enable_x64(True):
        start = 0.3 * jax.random.normal(jax.random.key(0), (PARAMETERS,))
        step = jax.jit(lambda _, flat: flat - jax.grad(loss)(flat))
        flat = jax.lax.fori_loop(0, 200, step, start)
        hessian = np.asarray(jax.jit(jax.hessian(loss))(flat))
    return Dense(np.asarray(flat), hessian, np.linalg.eigvalsh(hessian)[::-1])


def test_product_is_that_of_the_dense_hessian(dense: Dense) -> None:
    vector = np.random.default_rng(1).standard_normal(PARAMETERS)
    product = jax.jit(lambda flat, v: hessian_vector_product(loss, flat)(v))(
        jnp.asarray(dense.parameters), jnp.asarray(vector)
    )
    np.testing.assert_allclose(product, dense.hessian @ vector, rtol=0, atol=1e-12)


def test_extreme_eigenvalues_are_those_of_the_dense_hessian(dense: Dense) -> None:
    probe = jax.jit(lambda flat: extreme_eigenvalues(loss, flat, modes=5, order=60, key=KEY))
    found = probe(jnp.asarray(dense.parameters))
    assert found.eigenvalue.shape == found.residual.shape == (5,)
    assert found.min_eigenvalue.shape == found.min_residual.shape == ()
    np.testing.assert_allclose(found.eigenvalue, dense.eigenvalue[:5], rtol=1e-10)
    np.testing.assert_allclose(found.min_eigenvalue, dense.eigenvalue[-1], rtol=1e-8)
    assert np.all(np.asarray(found.residual) < 1e-8)


@pytest.mark.parametrize("order", [5, 10, 20])
def test_residuals_are_honest_before_convergence(dense: Dense, order: int) -> None:
    found = jax.jit(lambda flat: extreme_eigenvalues(loss, flat, modes=3, order=order, key=KEY))(
        jnp.asarray(dense.parameters)
    )
    value = np.append(found.eigenvalue, found.min_eigenvalue)
    residual = np.append(found.residual, found.min_residual)
    distance = np.abs(value[:, None] - dense.eigenvalue).min(axis=1)
    assert np.all(distance <= residual + 1e-13)
    # For an isolated top eigenvalue the error is even of second order in the residual.
    gap = dense.eigenvalue[0] - dense.eigenvalue[1]
    assert abs(value[0] - dense.eigenvalue[0]) <= residual[0] ** 2 / gap * 2 + 1e-13


def test_twenty_steps_give_the_top_eigenvalue_to_rounding(dense: Dense) -> None:
    found = jax.jit(lambda flat: extreme_eigenvalues(loss, flat, modes=1, order=20, key=KEY))(
        jnp.asarray(dense.parameters)
    )
    np.testing.assert_allclose(found.eigenvalue[0], dense.eigenvalue[0], rtol=1e-10)


def test_runs_inside_a_map_over_snapshots(dense: Dense) -> None:
    snapshots = jnp.asarray(dense.parameters) * jnp.array([[1.0], [0.9]])
    keys = jax.random.split(KEY, 2)

    def probe(snapshot: jax.Array, key: jax.Array) -> jax.Array:
        return extreme_eigenvalues(loss, snapshot, modes=2, order=15, key=key).eigenvalue

    mapped = jax.jit(lambda s, k: jax.lax.map(lambda both: probe(*both), (s, k)))(snapshots, keys)
    single = [jax.jit(probe)(snapshot, key) for snapshot, key in zip(snapshots, keys, strict=True)]
    np.testing.assert_allclose(mapped, np.stack(single), rtol=1e-10)


def test_dead_network_leaves_the_hessian_of_the_output_biases() -> None:
    """If all ReLUs are inactive, the Hessian has rank two, because a shift of all logits changes no loss.

    All other eigenvalues are zero, and no result is NaN.
    """
    flat = jnp.zeros(PARAMETERS).at[2 * WIDTH : 3 * WIDTH].set(-10.0)
    found = jax.jit(lambda p: extreme_eigenvalues(loss, p, modes=5, order=20, key=KEY))(flat)
    # If all logits are zero, the softmax is uniform.  The class weights average to 1.
    biases = np.eye(CLASSES) / CLASSES - np.full((CLASSES, CLASSES), 1 / CLASSES**2)
    expected = np.append(np.linalg.eigvalsh(biases)[:0:-1], np.zeros(3))
    assert np.mean(CLASS_WEIGHT) == pytest.approx(1.0)
    # The two eigenvalues are equal, and a Krylov space holds one of them; the second one comes from the
    # completion.
    np.testing.assert_allclose(found.eigenvalue[0], expected[0], atol=1e-12)
    assert np.all(np.isfinite(found.eigenvalue)) and np.all(np.isfinite(found.residual))
    distance = np.abs(np.asarray(found.eigenvalue)[:, None] - expected).min(axis=1)
    assert np.all(distance <= np.asarray(found.residual) + 1e-12)
    np.testing.assert_allclose(found.min_eigenvalue, 0.0, atol=1e-12)


def test_parameters_that_are_not_finite_give_nan() -> None:
    flat = jnp.full(PARAMETERS, jnp.nan)
    found = jax.jit(lambda p: extreme_eigenvalues(loss, p, modes=2, order=5, key=KEY))(flat)
    assert all(np.all(np.isnan(array)) for array in found)


@jax.jit
def top_of_quadratic(curvature: jax.Array) -> jax.Array:
    def quadratic(flat: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(curvature * flat**2)

    start = jnp.ones_like(curvature)
    return extreme_eigenvalues(quadratic, start, modes=1, order=6, key=KEY).eigenvalue[0]


@settings(max_examples=40)
@given(
    curvature=st.lists(st.floats(0.01, 50.0), min_size=6, max_size=6, unique=True),
    excess=st.floats(1.001, 1.2),
)
def test_gradient_descent_on_a_quadratic_is_lost_just_past_two_over_lambda(
    curvature: list[float], excess: float
) -> None:
    with jax.enable_x64(True):
        top = float(top_of_quadratic(jnp.array(curvature)))
    np.testing.assert_allclose(top, max(curvature), rtol=1e-10)
    for rate, grows in ((2 * excess / top, True), (2 / (excess * top), False)):
        factor = np.abs(1 - rate * np.array(curvature)).max()
        assert (factor > 1) == grows


def test_quadrature_moments_are_those_of_the_dense_hessian(dense: Dense) -> None:
    probes = 200
    rule = jax.jit(lambda flat: spectral_density(loss, flat, order=10, probes=probes, key=KEY))(
        jnp.asarray(dense.parameters)
    )
    assert rule.node.shape == rule.weight.shape == (probes, 10)
    for power in (1, 2):
        sample = np.asarray(jnp.sum(rule.weight * rule.node**power, axis=1))
        error = sample.std(ddof=1) / np.sqrt(probes)
        exact = np.sum(dense.eigenvalue**power) / PARAMETERS
        assert error < 0.3 * exact
        assert abs(sample.mean() - exact) < 4 * error


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="flat"):
        hessian_vector_product(loss, jnp.zeros((3, 2)))
    for modes in (0, 6):
        with pytest.raises(ValueError, match="modes must lie between 1 and 5"):
            extreme_eigenvalues(loss, jnp.zeros(PARAMETERS), modes=modes, order=5, key=KEY)
