"""Flows along networks: the continued loss, and the order of every flow's error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, eigsh

from dynamical_loss import losses
from dynamical_loss.flows.names import KINDS, KINDS_OF_PIECES
from dynamical_loss.flows.network import Problem, sharpness, tracer, weighted_loss
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters

GAMMA = np.array([2.0, 0.6, 0.4])


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with jax.enable_x64(True):
        yield


def problem(activation="tanh", loss="cross_entropy", by_output=False):
    settings = MLPSettings(width=4, activation=activation)
    model, draw = settings.build(3), np.random.default_rng(2)
    example = jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (2,), [5]))
    inputs, targets = draw.normal(size=(12, 2)), np.eye(3)[draw.integers(0, 3, 12)]
    return Problem(apply_function(model), example, inputs, targets, loss, by_output, settings.analytic)


def start_of(given):
    return np.asarray(ravel_pytree(given.example)[0])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("loss", "by_output"), [("cross_entropy", False), ("mse", False), ("mse", True)])
def test_on_real_parameters_it_is_the_dynamical_loss(activation, loss, by_output):
    given = problem(activation, loss, by_output)
    place = 2 * start_of(given)
    _, unravel = ravel_pytree(given.example)
    expected = losses.weighted_loss(
        losses.sample_loss(loss),
        given.outputs(unravel(jnp.asarray(place)), given.inputs),
        given.targets,
        GAMMA,
        by_output=by_output,
    )
    assert float(weighted_loss(given)(jnp.asarray(place), GAMMA)) == pytest.approx(float(expected), rel=1e-13)


def test_the_continued_loss_is_analytic():
    """Finite differences along 1 and along i satisfy the Cauchy-Riemann equations."""
    given, size = problem(), 1e-5
    loss, place = weighted_loss(given), jnp.asarray(start_of(given)) + 0.1j
    for direction in np.eye(len(place))[::5]:
        real, imaginary = (
            (loss(place + step * direction, GAMMA) - loss(place - step * direction, GAMMA)) / (2 * step)
            for step in (size, 1j * size)
        )
        assert abs(real - imaginary) < 1e-9


def test_the_sharpness_is_the_largest_eigenvalue():
    given = problem()
    loss, place = weighted_loss(given), jnp.asarray(start_of(given))
    _, product = jax.linearize(jax.grad(lambda at: loss(at, GAMMA)), place)
    operator = LinearOperator((len(place), len(place)), lambda v: np.asarray(product(v.ravel())), dtype=float)
    (largest,) = eigsh(operator, k=1, which="LA", return_eigenvectors=False)
    assert sharpness(given)(np.asarray(place), GAMMA) == pytest.approx(largest, rel=1e-10)


def errors(kind, activation, rates):
    """Errors after two steps with different class weights, one for each learning rate."""
    given = problem(activation)
    weights = np.stack([GAMMA, GAMMA[::-1]])
    trace = tracer(given, kind, order=given.inputs.shape[0], tolerance=1e-12, evaluations=5_000)
    for rate in rates:
        found = trace(start_of(given), weights, rate)
        assert not found.stuck.any()
        assert found.error[0] == 0
        yield found.error[-1]


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("principal", 3),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (("gradient", 2), ("principal_and_next", 4))
        ),
    ],
)
def test_errors_fall_with_the_step_as_the_flow_s_order_says(kind, order):
    """Halving η divides the error by 2 to the power of the order."""
    assert kind in KINDS
    coarse, fine = errors(kind, "tanh", (0.1, 0.05))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("kind", KINDS_OF_PIECES[1:])
def test_a_relu_network_has_the_flows_of_pieces(kind):
    """The steps are so small that no sample reaches a kink, so the orders are those of smooth losses."""
    coarse, fine = errors(kind, "relu", (0.02, 0.01))
    assert np.log2(coarse / fine) == pytest.approx(3, abs=0.15)


def test_from_parameters_that_are_not_finite_every_flow_is_stuck():
    """A run that has diverged ends in this way."""
    given = problem("relu")
    lost = np.full(len(start_of(given)), np.nan)
    assert np.isnan(sharpness(given)(lost, GAMMA))
    found = tracer(given, "gradient", order=2, tolerance=1e-3, evaluations=28)(lost, GAMMA[None], 0.1)
    assert found.stuck.tolist() == [False, True]
    assert np.isnan(found.error[-1])
