"""Lanczos on matrices with a prescribed spectrum, also if Lanczos breaks down."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamical_loss.probes.lanczos import (
    Ritz,
    lanczos,
    residual_norm,
    stochastic_lanczos_quadrature,
)

KEY = jax.random.key(7)


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def with_spectrum(eigenvalues: np.ndarray, seed: int = 0) -> np.ndarray:
    """A dense symmetric matrix with these eigenvalues and random eigenvectors."""
    size = len(eigenvalues)
    orthogonal, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return np.asarray((orthogonal * eigenvalues) @ orthogonal.T)


def run(matrix: np.ndarray, order: int, key: jax.Array = KEY) -> tuple[Ritz, np.ndarray]:
    """Ritz pairs of a dense matrix and the residual of each pair."""
    ritz, residual = _jitted(jnp.asarray(matrix), key, order)
    return ritz, np.asarray(residual)


@partial(jax.jit, static_argnums=2)
def _jitted(matrix: jax.Array, key: jax.Array, order: int) -> tuple[Ritz, jax.Array]:
    ritz = lanczos(lambda v: matrix @ v, dimension=len(matrix), order=order, key=key, dtype=matrix.dtype)
    every = tuple(range(ritz.value.size))
    return ritz, residual_norm(lambda v: matrix @ v, ritz.value, ritz.vector(every))


def test_full_order_returns_a_prescribed_spectrum() -> None:
    spectrum = np.linspace(-3.0, 5.0, 30)[::-1]
    ritz, residual = run(with_spectrum(spectrum), order=30)
    np.testing.assert_allclose(ritz.value, spectrum, rtol=0, atol=1e-10)
    assert residual.max() < 1e-10


def test_extreme_eigenvalues_of_a_large_matrix_with_a_bulk() -> None:
    bulk = 0.01 * np.random.default_rng(1).standard_normal(395)
    spectrum = np.sort(np.concatenate([bulk, [12.0, 7.0, 5.0, 1.0, -2.0]]))[::-1]
    ritz, residual = run(with_spectrum(spectrum), order=25)
    np.testing.assert_allclose(ritz.value[:4], spectrum[:4], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ritz.value[-1], spectrum[-1], rtol=0, atol=1e-10)
    assert residual[[0, 1, 2, 3, -1]].max() < 1e-8


def test_ritz_vectors_are_eigenvectors_and_the_basis_is_orthonormal() -> None:
    matrix = with_spectrum(np.arange(12.0))
    ritz, _ = run(matrix, order=12)
    vector = np.asarray(ritz.vector((0, -1)))
    np.testing.assert_allclose(matrix @ vector, vector * np.array([11.0, 0.0]), atol=1e-10)
    np.testing.assert_allclose(ritz.basis.T @ ritz.basis, np.eye(12), atol=1e-12)
    np.testing.assert_allclose(ritz.coefficient.T @ ritz.coefficient, np.eye(12), atol=1e-12)


def test_residual_is_the_norm_it_says() -> None:
    matrix = jnp.asarray(with_spectrum(np.arange(5.0)))
    vector = jnp.eye(5)[:, :2]
    expected = np.linalg.norm(np.asarray(matrix)[:, :2] - 0.3 * np.eye(5)[:, :2], axis=0)
    residual = residual_norm(lambda v: matrix @ v, jnp.array([0.3, 0.3]), vector)
    np.testing.assert_allclose(residual, expected, rtol=1e-14)


def test_order_beyond_the_dimension_is_clipped() -> None:
    ritz, residual = run(with_spectrum(np.array([3.0, 2.0, -1.0])), order=50)
    np.testing.assert_allclose(ritz.value, [3.0, 2.0, -1.0], atol=1e-12)
    assert residual.max() < 1e-12


@pytest.mark.parametrize(
    ("spectrum", "order"),
    [
        pytest.param(np.zeros(8), 5, id="zero"),
        pytest.param(np.ones(8), 5, id="identity"),
        pytest.param(np.array([4.0, -3.0] + [0.0] * 38), 9, id="rank two"),
        pytest.param(np.array([2.5]), 3, id="one dimension"),
        pytest.param(np.array([3.0, 3.0, 3.0, 1.0, 1.0, -2.0]), 6, id="repeated, full order"),
        pytest.param(1e12 * np.array([2.0, 1.0, 1.0, 1.0, 1.0]), 4, id="large"),
        pytest.param(1e-12 * np.array([2.0, 1.0, 1.0, 1.0, 1.0]), 4, id="small"),
    ],
)
def test_an_exhausted_krylov_space_gives_true_eigenvalues(spectrum: np.ndarray, order: int) -> None:
    matrix = with_spectrum(spectrum)
    scale = max(float(np.abs(spectrum).max()), 1e-300)
    for seed in range(4):
        ritz, residual = run(matrix, order, jax.random.key(seed))
        distance = np.abs(np.asarray(ritz.value)[:, None] - spectrum).min(axis=1)
        assert distance.max() <= 1e-12 * scale
        assert residual.max() <= 1e-12 * scale
        assert abs(ritz.value[0] - spectrum.max()) <= 1e-12 * scale
        if order >= len(spectrum):
            np.testing.assert_allclose(ritz.value, np.sort(spectrum)[::-1], atol=1e-12 * scale)


def test_several_exhausted_eigenspaces_are_finite_and_their_residuals_honest() -> None:
    spectrum = np.repeat([2.0, 1.0, -1.0], 10)
    ritz, residual = run(with_spectrum(spectrum), order=8)
    distance = np.abs(np.asarray(ritz.value)[:, None] - spectrum).min(axis=1)
    assert np.all(np.isfinite(residual))
    assert np.all(distance <= residual + 1e-12)
    np.testing.assert_allclose([ritz.value[0], ritz.value[-1]], [2.0, -1.0], atol=1e-12)


def test_breakdown_is_handled_in_single_precision_and_under_vmap() -> None:
    diagonal = jnp.array([3.0] + [0.0] * 19, jnp.float32)

    def top(key: jax.Array) -> jax.Array:
        return lanczos(lambda v: diagonal * v, dimension=20, order=6, key=key, dtype=jnp.float32).value

    value = np.asarray(jax.jit(jax.vmap(top))(jax.random.split(KEY, 5)))
    assert value.dtype == np.float32
    expected = np.broadcast_to([3.0] + [0.0] * 5, (5, 6))
    np.testing.assert_allclose(value, expected, atol=1e-5)


def test_an_operator_of_nan_gives_nan_and_no_crash() -> None:
    ritz = lanczos(lambda v: v * jnp.nan, dimension=6, order=3, key=KEY)
    assert np.all(np.isnan(ritz.value))


def test_same_key_same_numbers_and_dtype_follows() -> None:
    matrix = with_spectrum(np.arange(9.0))
    first, _ = run(matrix, 4)
    again, _ = run(matrix, 4)
    other, _ = run(matrix, 4, jax.random.key(8))
    np.testing.assert_array_equal(first.value, again.value)
    assert not np.array_equal(first.value, other.value)
    assert first.value.dtype == jnp.float64


@pytest.mark.parametrize(("order", "dimension"), [(0, 3), (-1, 3), (3, 0)])
def test_sizes_that_make_no_sense_are_refused(order: int, dimension: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        lanczos(lambda v: v, dimension=dimension, order=order, key=KEY)


@settings(max_examples=60)
@given(
    spectrum=st.lists(
        st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-100.0, 100.0)),
        min_size=12,
        max_size=12,
    ),
    seed=st.integers(0, 2**31 - 1),
)
def test_residuals_bound_the_distance_to_the_spectrum(spectrum: list[float], seed: int) -> None:
    """For any spectrum, Ritz values lie within its range, each within its residual of an eigenvalue."""
    with jax.enable_x64(True):
        eigenvalues = np.array(spectrum)
        matrix = jnp.asarray(with_spectrum(eigenvalues, seed))
        ritz, residual = _jitted(matrix, jax.random.key(seed), 7)
    value, slack = np.asarray(ritz.value), 1e-11 * max(1.0, np.abs(eigenvalues).max())
    assert np.all(np.isfinite(value)) and np.all(np.diff(value) <= 0)
    assert value[0] <= eigenvalues.max() + slack and value[-1] >= eigenvalues.min() - slack
    distance = np.abs(value[:, None] - eigenvalues).min(axis=1)
    assert np.all(distance <= np.asarray(residual) + slack)


def test_quadrature_moments_match_trace_and_second_moment() -> None:
    spectrum = np.concatenate([np.linspace(-1.0, 1.0, 58), [6.0, 9.0]])
    matrix = jnp.asarray(with_spectrum(spectrum))
    probes = 2000
    rule = jax.jit(
        lambda key: stochastic_lanczos_quadrature(
            lambda v: matrix @ v, dimension=60, order=8, probes=probes, key=key
        )
    )(KEY)
    assert rule.node.shape == rule.weight.shape == (probes, 8)
    np.testing.assert_allclose(rule.weight.sum(axis=1), 1.0, rtol=1e-12)
    assert np.all(np.asarray(rule.weight) >= 0)
    for power in (1, 2):
        sample = np.asarray(jnp.sum(rule.weight * rule.node**power, axis=1))
        error = sample.std(ddof=1) / np.sqrt(probes)
        exact = np.mean(spectrum**power)
        assert error < 0.05 * exact
        assert abs(sample.mean() - exact) < 4 * error


def test_quadrature_is_exact_for_each_probe() -> None:
    """The rule of a probe v gives vᵀ Aᵏ v exactly for all powers k below 2·order."""
    spectrum = np.linspace(-1.0, 2.0, 20)
    matrix = with_spectrum(spectrum)
    ritz, _ = run(matrix, order=4)
    start = np.asarray(ritz.basis[:, 0])
    for power in range(8):
        moment = start @ np.linalg.matrix_power(matrix, power) @ start
        rule = np.sum(np.asarray(ritz.coefficient[0]) ** 2 * np.asarray(ritz.value) ** power)
        np.testing.assert_allclose(rule, moment, rtol=1e-10, atol=1e-12)


def test_quadrature_of_a_degenerate_matrix_keeps_its_mass() -> None:
    rule = stochastic_lanczos_quadrature(lambda v: 3.0 * v, dimension=10, order=4, probes=3, key=KEY)
    np.testing.assert_allclose(jnp.sum(rule.weight * rule.node, axis=1), 3.0, rtol=1e-12)
    np.testing.assert_allclose(rule.weight.sum(axis=1), 1.0, rtol=1e-12)


def test_a_quadrature_without_probes_is_refused() -> None:
    with pytest.raises(ValueError, match="probes must be positive"):
        stochastic_lanczos_quadrature(lambda v: v, dimension=3, order=2, probes=0, key=KEY)
