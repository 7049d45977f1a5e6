"""Multipliers of optimisers' steps, compared with closed forms on quadratics and with dense derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from dynamical_loss.analysis.stability import stability_bound
from dynamical_loss.optimisers import optimiser as optimiser_of
from dynamical_loss.probes import optimiser

CURVATURES = np.array([5.0, 2.0, 0.7, 0.1, -0.3])
RATE = 0.3


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with jax.enable_x64(True):
        yield


def rotated(curvatures):
    """A quadratic with the given curvatures along directions that are not the axes, and its Hessian."""
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(curvatures), len(curvatures))))
    matrix = jnp.asarray(axes @ np.diag(curvatures) @ axes.T)
    return lambda flat: 0.5 * flat @ matrix @ flat, matrix


def smallest(loss, chosen, state, point):
    product, dimension = optimiser.step_product(loss, chosen, state, point, lambda flat: flat)
    found = optimiser.krylov(product, dimension, dimension, jax.random.key(2), point.dtype)
    (value,), (residual,) = optimiser.flip_multipliers(
        optimiser.Krylov(np.asarray(found.projected)[None], np.asarray(found.rest)[None])
    )
    return value, residual


def test_of_plain_descent_it_is_one_minus_the_rate_times_the_sharpness():
    loss, _ = rotated(CURVATURES)
    point = jnp.arange(5.0)
    chosen = optimiser_of("sgd", {})(RATE)
    value, residual = smallest(loss, chosen, chosen.init(point), point)
    assert value == pytest.approx(1 - RATE * 5.0, abs=1e-10)
    assert residual < 1e-8


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("sharpness", [5.0, 8.0])
def test_of_momentum_it_is_a_root_of_the_iteration_s_polynomial(nesterov, sharpness):
    """Each curvature has a quadratic polynomial in μ, for heavy-ball and for Nesterov momentum."""
    curvatures = np.concatenate([[sharpness], CURVATURES[1:]])
    loss, _ = rotated(curvatures)
    beta, point = 0.8, jnp.arange(5.0)
    chosen = optimiser_of("sgd", {"momentum": beta, "nesterov": nesterov})(RATE)
    roots = []
    for curvature in curvatures:
        shrink = RATE * curvature
        linear = (1 + beta) * (1 - shrink) if nesterov else 1 + beta - shrink
        last = beta * (1 - shrink) if nesterov else beta
        roots += [root.real for root in np.roots([1, -linear, last])]
    value, _ = smallest(loss, chosen, chosen.init(point), point)
    assert value == pytest.approx(min(roots), abs=1e-8)


@pytest.mark.parametrize("nesterov", [False, True])
def test_at_the_bound_of_full_batch_descent_it_is_minus_one(nesterov):
    bound = float(stability_bound(RATE, 0.8, nesterov=nesterov))
    loss, _ = rotated(np.concatenate([[bound], CURVATURES[1:]]))
    point = jnp.arange(5.0)
    chosen = optimiser_of("sgd", {"momentum": 0.8, "nesterov": nesterov})(RATE)
    value, _ = smallest(loss, chosen, chosen.init(point), point)
    assert value == pytest.approx(-1.0, abs=1e-7)


def after_some_steps(kind, arguments):
    """A point after some steps on a loss that is not quadratic, with the state of the optimiser."""
    quadratic, _ = rotated(CURVATURES)

    def loss(flat):
        return quadratic(flat) + 0.1 * jnp.sum(flat**4)

    point = jnp.array([1.0, -0.5, 0.3, 0.8, -1.2])
    chosen = optimiser_of(kind, arguments)(0.05)
    state = chosen.init(point)
    for _ in range(7):
        updates, state = chosen.update(jax.grad(loss)(point), state, point)
        point = optax.apply_updates(point, updates)
    return loss, chosen, state, point


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "adamw"])
def test_of_any_optimiser_it_is_that_of_the_dense_derivative(kind):
    loss, chosen, state, point = after_some_steps(kind, {})
    leaves, structure = jax.tree.flatten(state)
    moving = [index for index, leaf in enumerate(leaves) if leaf.dtype == point.dtype]
    memory, unravel = ravel_pytree([leaves[index] for index in moving])

    def step(flat):
        here = list(leaves)
        for index, leaf in zip(moving, unravel(flat[5:]), strict=True):
            here[index] = leaf
        updates, after = chosen.update(
            jax.grad(loss)(flat[:5]), jax.tree.unflatten(structure, here), flat[:5]
        )
        kept = jax.tree.leaves(after)
        return jnp.concatenate([flat[:5] + updates, *(kept[index] for index in moving)])

    dense = np.asarray(jax.jacobian(step)(jnp.concatenate([point, memory])))
    value, residual = smallest(loss, chosen, state, point)
    assert value == pytest.approx(np.linalg.eigvals(dense).real.min(), abs=1e-7)
    assert residual < 1e-6


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("adam", {"b1": 0.8, "b2": 0.95, "eps": 1e-3}),
        ("rmsprop", {"decay": 0.7, "eps": 1e-3}),
        ("rmsprop", {"decay": 0.7, "eps": 1e-3, "eps_in_sqrt": False}),
    ],
)
def test_the_preconditioner_is_what_the_optimiser_divides_by(kind, arguments):
    """The test step uses a gradient whose square does not change the remembered squares."""
    loss, chosen, state, point = after_some_steps(kind, arguments)
    divisor = optimiser.preconditioner(kind, arguments, state)
    gradient = jax.grad(loss)(point)
    squares = optax.tree_utils.tree_get(state, "nu")
    # A gradient whose square equals the remembered square leaves the memory unchanged.
    same = jnp.sqrt(squares)
    updates, _ = chosen.update(same, optax.tree_utils.tree_set(state, nu=squares), point)
    if kind == "rmsprop":
        np.testing.assert_allclose(updates, -0.05 * same / divisor, rtol=1e-10)
    else:
        mean = 0.8 * optax.tree_utils.tree_get(state, "mu") + 0.2 * same
        root = jnp.sqrt(squares / (1 - 0.95**8)) + 1e-3
        np.testing.assert_allclose(updates, -0.05 * mean / (1 - 0.8**8) / root, rtol=1e-10)
        np.testing.assert_allclose(
            divisor, (1 - 0.8**7) * (jnp.sqrt(squares / (1 - 0.95**7)) + 1e-3), rtol=1e-10
        )
    hessian = np.asarray(jax.hessian(loss)(point))
    expected = np.linalg.eigvals(hessian / np.asarray(divisor)[:, None]).real.max()
    found = optimiser.preconditioned_sharpness(loss, point, divisor, 5, jax.random.key(0))
    assert float(found) == pytest.approx(expected, rel=1e-9)
    assert gradient.shape == divisor.shape


@pytest.mark.parametrize(
    ("kind", "steps", "dtype"),
    [
        pytest.param("adam", 0, np.float32, marks=pytest.mark.long),
        ("adam", 11, np.float32),
        pytest.param("adam", 0, np.float64, marks=pytest.mark.long),
        ("rmsprop", 11, np.float32),
    ],
)
def test_what_is_told_of_a_network_is_within_its_error(kind, steps, dtype):
    """One ReLU is never active, and all squares are 0 at the start, so J is far from symmetric."""
    generator = np.random.default_rng(1)
    inputs = jnp.asarray(generator.normal(size=(30, 2)), dtype)
    labels = jnp.asarray(generator.integers(3, size=30))
    width = 6

    def loss(flat):
        hidden = jax.nn.relu(inputs @ flat[: 2 * width].reshape(2, width) + flat[2 * width : 3 * width])
        logits = hidden @ flat[3 * width :].reshape(width, 3)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    point = jnp.asarray(generator.normal(size=6 * width), dtype).at[2 * width].set(-9.0)
    chosen = optimiser_of(kind, {})(dtype(0.01))
    state = chosen.init(point)
    for _ in range(steps):
        updates, state = chosen.update(jax.grad(loss)(point), state, point)
        point = optax.apply_updates(point, updates)
    product, dimension = optimiser.step_product(loss, chosen, state, point, lambda flat: flat)
    dense = np.stack([np.asarray(product(row), np.float64) for row in np.eye(dimension, dtype=dtype)], axis=1)
    exact = np.linalg.eigvals(dense)
    for order in (10, 40):
        found = optimiser.krylov(product, dimension, order, jax.random.key(3), point.dtype)
        (value,), (error,) = optimiser.flip_multipliers(
            optimiser.Krylov(np.asarray(found.projected)[None], np.asarray(found.rest)[None])
        )
        if steps > 0 and order == 40:
            assert value == pytest.approx(exact.real.min(), abs=max(error, 1e-4))
        elif not np.isnan(value):
            assert np.abs(exact - value).min() < 0.03


def test_others_have_no_known_preconditioner():
    state = optimiser_of("sgd", {"momentum": 0.9})(0.1).init(jnp.ones(2))
    assert optimiser.preconditioner("sgd", {"momentum": 0.9}, state) is None
    centred = {"centered": True}
    state = optimiser_of("rmsprop", centred)(0.1).init(jnp.ones(2))
    assert optimiser.preconditioner("rmsprop", centred, state) is None


def test_a_run_that_broke_gives_none():
    broken = optimiser.Krylov(np.full((1, 3, 3), np.nan), np.zeros(1))
    value, residual = optimiser.flip_multipliers(broken)
    assert np.isnan(value).all() and np.isnan(residual).all()
