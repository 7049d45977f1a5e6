"""Flows, compared with closed forms, with dense linear algebra, and with another integrator."""

from __future__ import annotations

import cmath
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamical_loss.flows import coefficients
from dynamical_loss.flows.fields import field, field_of_pieces, third_derivative
from dynamical_loss.flows.integration import descend, follower
from dynamical_loss.flows.krylov import function_times_vector
from dynamical_loss.flows.names import KINDS

X = (-2.3, -0.7, 0.4, 1.6, 2.3)
"""Values of hλ of a quadratic, of both signs, and on both sides of the pole at 1 and of 2."""


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def rotated(values, seed=0):
    """A symmetric matrix with the given eigenvalues."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return turn @ np.diag(values) @ turn.T


def quadratic(matrix):
    matrix = jnp.asarray(matrix)
    return lambda place: place @ matrix @ place / 2


def banana(place):
    """Rosenbrock's function."""
    return (1 - place[0]) ** 2 + 100 * (place[1] - place[0] ** 2) ** 2


def cosine(place):
    return jnp.cos(place[0])


def perceptron(place):
    """Cross-entropy of a small network of tanh units on fixed data, computed without a maximum."""
    generator = np.random.default_rng(5)
    inputs = jnp.asarray(generator.normal(size=(20, 3)))
    labels = generator.integers(2, size=20)
    first, second = place[:12].reshape(3, 4), place[12:20].reshape(4, 2)
    logits = jnp.tanh(inputs @ first) @ second
    each = jnp.log(jnp.exp(logits).sum(axis=1)) - logits[jnp.arange(20), labels]
    return each.mean()


START = np.random.default_rng(7).normal(size=20)

# A derivative that is not compiled as a whole compiles each of its operations, which takes longer.
hessian_of_perceptron = jax.jit(jax.hessian(perceptron))


@functools.cache
def followed(kind, loss, tolerance, evaluations):
    """The integration of a flow, which is compiled once for all starts and learning rates."""
    return follower(lambda _, step: field(kind, loss, step, 20), tolerance=tolerance, evaluations=evaluations)


def ended(kind, loss, start, step, *, count=1, tolerance=1e-11, evaluations=20_000):
    """Paths of a flow and of gradient descent over some steps."""
    found = followed(kind, loss, tolerance, evaluations)([0.0] * count, start, step)
    return found, descend(lambda place, _: jax.grad(loss)(place), [0.0] * count, start, step)


# Coefficients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [-1.0, 1e-12, 0.5, 1.5, 2.0, 3.0, 4.59])
def test_the_principal_coefficient_is_the_closed_form(x):
    wanted = cmath.log(1 - x) / x if abs(x) > 1e-6 else -1 - x / 2
    assert complex(coefficients.principal(jnp.asarray(x))) == pytest.approx(wanted, abs=1e-14)


def test_the_principal_coefficient_at_its_marked_places():
    found = coefficients.principal(jnp.asarray([0.0, 2.0, 1.0]))
    assert complex(found[0]) == -1.0
    assert complex(found[1]) == pytest.approx(0.5j * math.pi, abs=1e-15)
    assert found[2].real == -np.inf
    grid = jnp.linspace(2.01, 12, 1000)
    positive = coefficients.principal(grid).real
    assert (positive > 0).all()
    assert float(positive.max()) == pytest.approx(0.2785, abs=1e-4)
    assert float(grid[positive.argmax()]) == pytest.approx(4.591, abs=0.02)


@given(st.complex_numbers(max_magnitude=20, allow_nan=False))
@settings(max_examples=200)
def test_in_one_step_it_does_what_gradient_descent_does(x):
    """The condition exp(xα) = 1 − x holds on every branch."""
    found = np.exp(x * complex(coefficients.principal(jnp.asarray(x))))
    assert found == pytest.approx(1 - x, rel=1e-12, abs=1e-12)


@given(st.floats(1.05, 10), st.floats(1e-12, 0.5))
def test_there_is_no_jump_at_the_real_axis(x, aside):
    """The usual branch of the logarithm would jump by 2πi between the two sides."""
    above, below = (complex(coefficients.principal(jnp.asarray(x + sign * 1j * aside))) for sign in (1, -1))
    assert abs(above - below) <= 4 * aside / (x - 1)


@given(st.floats(1e-6, 1e-2))
def test_series_and_logarithm_join(x):
    expected = -sum(x ** (n - 1) / n for n in range(1, 12))
    assert complex(coefficients.principal(jnp.asarray(x))) == pytest.approx(expected, rel=1e-11)


def test_the_others_are_its_first_terms():
    x = jnp.asarray(1e-3)
    principal = coefficients.principal(x).real
    errors = [
        abs(float(principal - other(x)))
        for other in (
            coefficients.negative_gradient,
            coefficients.implicit_regularisation,
            coefficients.third_order,
        )
    ]
    assert errors == pytest.approx([1e-3 / 2, 1e-6 / 3, 1e-9 / 4], rel=2e-3)


# Functions of a matrix -----------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=(0, 3))
def applied(function, matrix, vector, order):
    """f(H) v for a dense matrix H."""
    return function_times_vector(function, lambda v: matrix @ v, vector + 0j, order)


@pytest.mark.parametrize("imaginary", [0.0, 0.3])
@pytest.mark.parametrize("size", [1, 5, 30])
def test_a_function_of_a_symmetric_matrix_is_that_of_dense_algebra(imaginary, size):
    generator = np.random.default_rng(size)
    real, other = (generator.normal(size=(size, size)) for _ in range(2))
    matrix = real + real.T + 1j * imaginary * (other + other.T)
    vector = generator.normal(size=size) + 1j * generator.normal(size=size)
    found = applied(jnp.exp, matrix, vector, size)
    np.testing.assert_allclose(found, scipy.linalg.expm(matrix) @ vector, rtol=1e-9)


def test_few_steps_are_enough_for_a_smooth_function():
    """Errors of log(1 − x)/x on a spectrum like a network's, with many small and few large eigenvalues."""
    values = np.concatenate([np.linspace(-0.05, 0.1, 200), [0.5, 1.4, 1.9]])
    matrix, vector = rotated(values), np.random.default_rng(1).normal(size=len(values))
    found_values, vectors = np.linalg.eigh(matrix)
    exact = vectors @ (np.log(1 - found_values + 0j) / found_values * (vectors.T @ vector))
    errors = []
    for order in (8, 12, 16):
        found = applied(coefficients.principal, matrix, vector, order)
        errors.append(float(np.linalg.norm(found - exact) / np.linalg.norm(exact)))
    assert errors[0] < 1e-4
    assert errors[1] < 1e-7
    assert errors[2] < 1e-9


def test_a_vector_that_spans_an_invariant_space_ends_the_run():
    matrix, vector = np.diag([0.5, 0.5, 3.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    found = applied(jnp.exp, matrix, vector, 4)
    np.testing.assert_allclose(found, np.exp(0.5) * np.array([1, 1, 0, 0]), atol=1e-14)
    nothing = applied(jnp.exp, matrix, 0 * vector, 4)
    np.testing.assert_array_equal(nothing, np.zeros(4))


# Fields --------------------------------------------------------------------------------------------


def test_fields_on_a_quadratic_are_their_coefficients():
    matrix, step = rotated(np.array(X) / 0.3), 0.3
    values, vectors = np.linalg.eigh(matrix)
    place = jnp.asarray(np.random.default_rng(2).normal(size=5)) + 0j
    of_kind = {
        "gradient": coefficients.negative_gradient,
        "regularised": coefficients.implicit_regularisation,
        "third_order": coefficients.third_order,
        "principal": coefficients.principal,
        "principal_and_next": coefficients.principal,
    }
    assert of_kind.keys() == KINDS.keys()
    for kind, coefficient in of_kind.items():
        found = jax.jit(field(kind, quadratic(matrix), step, 5))(place)
        along = np.asarray(coefficient(jnp.asarray(step * values))) * values
        wanted = vectors @ (along * (vectors.T @ place))
        np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=kind)


def test_the_third_derivative_along_an_eigenvector_is_the_gradient_of_its_eigenvalue():

    def largest(at):
        return np.linalg.eigvalsh(hessian_of_perceptron(at))[-1]

    vector = np.linalg.eigh(hessian_of_perceptron(START))[1][:, -1]
    found = jax.jit(functools.partial(third_derivative, perceptron))(START + 0j, vector + 0j)
    size = 1e-4
    for index in (0, 7, 19):
        aside = np.zeros(20)
        aside[index] = size
        difference = (largest(START + aside) - largest(START - aside)) / (2 * size)
        assert complex(found[index]) == pytest.approx(difference, abs=1e-7)


# Integration ---------------------------------------------------------------------------------------


def test_on_a_quadratic_only_the_principal_flow_follows_gradient_descent():
    """This holds for saddles and minima, for hλ from −2.3 to 2.3; the other flows are off by over a tenth."""
    matrix, start = rotated(np.array(X)), np.random.default_rng(3).normal(size=5)
    found, descent = ended("principal", quadratic(matrix), start, 1.0, count=3)
    scale = np.linalg.norm(descent[-1])
    assert np.linalg.norm(found.parameters[-1] - descent[-1]) < 1e-9 * scale
    assert np.abs(found.parameters[-1].imag).max() < 1e-9 * scale
    assert not found.stuck.any()
    for kind in ("gradient", "regularised", "third_order"):
        other, _ = ended(kind, quadratic(matrix), start, 1.0, count=3)
        assert np.linalg.norm(other.parameters[-1] - descent[-1]) > 0.1 * scale


@pytest.mark.long
def test_a_minimum_beyond_two_over_h_is_left_by_the_principal_flow_alone():
    loss = quadratic(np.diag([2.1, 0.02]))
    start = np.array([0.01, 0.3])
    away = {kind: abs(ended(kind, loss, start, 1.0, count=5)[0].parameters[-1, 0]) for kind in KINDS}
    assert away["principal"] == pytest.approx(0.01 * 1.1**5, rel=1e-8)
    assert all(away[kind] < 0.001 for kind in ("gradient", "regularised", "third_order"))


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("principal", 3),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (("gradient", 2), ("regularised", 3), ("third_order", 4), ("principal_and_next", 4))
        ),
    ],
)
def test_local_errors_have_the_order_of_the_theory(kind, order):
    errors = []
    for step in (0.2, 0.1, 0.05):
        found, descent = ended(kind, perceptron, START, step, tolerance=1e-13)
        errors.append(np.linalg.norm(found.parameters[-1].real - descent[-1]))
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("loss", "start", "step", "wanted"),
    [
        # |θ_flow − θ_GD| of gradient flow, IGR, third order and principal flow, from an independent program.
        (banana, [-0.1, 0.1], 0.0032, [1.5e-2, 6.6e-3, 3.3e-3, 5.7e-5]),
        pytest.param(banana, [-0.1, 0.1], 0.006, [4.6e-2, 3.3e-2, 2.7e-2, 4.4e-4], marks=pytest.mark.long),
        (cosine, [2.6], 0.9, [0.15, 0.076, 0.046, 0.011]),
        pytest.param(cosine, [2.6], 1.9, [0.52, 0.45, 0.44, 0.044], marks=pytest.mark.long),
    ],
)
def test_one_step_on_known_losses(loss, start, step, wanted):
    start = np.array(start)
    for kind, value in zip(("gradient", "regularised", "third_order", "principal"), wanted, strict=True):
        found, descent = ended(kind, loss, start, step)
        error = np.linalg.norm(found.parameters[-1].real - descent[-1])
        assert error == pytest.approx(value, rel=0.06), kind


@pytest.mark.parametrize("kind", [pytest.param("principal", marks=pytest.mark.long), "principal_and_next"])
def test_another_integrator_finds_the_same(kind):
    """SciPy's DOP853 integrates complex numbers directly; hλ is up to 1.5 here."""
    step = 1.5 / np.linalg.eigvalsh(hessian_of_perceptron(START))[-1]
    velocity = jax.jit(field(kind, perceptron, step, 20))
    reference = scipy.integrate.solve_ivp(
        lambda _, place: np.asarray(velocity(jnp.asarray(place))),
        (0, step),
        START + 0j,
        method="DOP853",
        rtol=1e-11,
        atol=1e-11,
    )
    found, _ = ended(kind, perceptron, START, step)
    np.testing.assert_allclose(found.parameters[-1], reference.y[:, -1], atol=1e-8)
    assert np.abs(reference.y.imag).max() > 1e-3


def test_the_field_takes_the_hessian_where_it_is():
    """With the Hessian of the start, the flow would equal gradient descent on any loss."""
    start, step = np.array([-0.1, 0.1]), 0.006
    matrix, gradient = jax.jit(jax.hessian(banana))(start), jax.jit(jax.grad(banana))(start)

    def touching(place):
        away = place - start
        return gradient @ away + away @ matrix @ away / 2

    frozen, _ = ended("principal", touching, start, step)
    found, descent = ended("principal", banana, start, step)
    assert np.linalg.norm(frozen.parameters[-1] - descent[-1]) < 1e-10
    assert np.linalg.norm(found.parameters[-1] - descent[-1]) > 1e-4


def test_pieces_of_a_relu_network_are_followed_like_smooth_losses():
    """The field of pieces is exact on a quadratic, and accurate while the imaginary part is small."""
    matrix, start = rotated(np.array(X)), np.random.default_rng(3).normal(size=5)
    follow = follower(
        lambda _, step: field_of_pieces("principal", quadratic(matrix), step, 5),
        tolerance=1e-11,
        evaluations=20_000,
    )
    found = follow([0.0] * 2, start, 1.0)
    descent = descend(lambda place, _: jax.grad(quadratic(matrix))(place), [0.0] * 2, start, 1.0)
    np.testing.assert_allclose(found.parameters[-1], descent[-1], atol=1e-8)
    step = 0.8 / np.linalg.eigvalsh(hessian_of_perceptron(START))[-1]
    whole, _ = ended("principal", perceptron, START, step)
    follow = follower(
        lambda _, step: field_of_pieces("principal", perceptron, step, 20),
        tolerance=1e-11,
        evaluations=20_000,
    )
    part = follow([0.0], START, step)
    np.testing.assert_allclose(part.parameters[-1], whole.parameters[-1], atol=1e-9)


def test_a_flow_that_cannot_be_integrated_is_recorded_as_stuck():
    """The cosine has no pole, but hλ reaches the branch cut of the logarithm."""
    found, _ = ended("principal", cosine, np.array([math.pi - 0.1]), 3.0, count=4, evaluations=700)
    assert found.stuck.any()
    first = int(found.stuck.argmax())
    assert np.isnan(found.parameters[first:]).all()
    assert np.isfinite(found.parameters[:first]).all()
    assert found.stuck[first:].all()
    assert (np.diff(found.evaluations) <= 700).all()


def test_each_step_has_its_own_loss():
    """The loss, like its class weights, is constant during a step and changes between steps."""
    scales = np.array([0.5, 1.8])
    follow = follower(
        lambda scale, step: field("principal", lambda place: scale * place @ place / 2, step, 1),
        tolerance=1e-12,
        evaluations=5_000,
    )
    found = follow(list(scales), np.array([1.0]), 1.0)
    np.testing.assert_allclose(found.parameters[:, 0].real, [1.0, 0.5, 0.5 * (1 - 1.8)], atol=1e-9)
