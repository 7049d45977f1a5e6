"""Alignment of gradient and spectrum, compared with dense linear algebra on sums of quadratics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.probes import alignment

SIZE, CLASSES, RATE = 7, 3, 0.4
GAMMA = np.array([2.2, 0.5, 0.3])


@pytest.fixture(autouse=True, scope="module")
def _double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def quadratics():
    """Hessian and slope of each class's part, (class, parameter, parameter) and (class, parameter)."""
    draw = np.random.default_rng(3)
    matrices = draw.normal(size=(CLASSES, SIZE, SIZE))
    return matrices + matrices.transpose(0, 2, 1), draw.normal(size=(CLASSES, SIZE))


@pytest.fixture(scope="module")
def point():
    return np.random.default_rng(4).normal(size=SIZE)


def parts_of(matrices, slopes):
    return lambda place: 0.5 * jnp.einsum("kij,i,j->k", matrices, place, place) + slopes @ place


def measured(quadratics, point, modes=SIZE, key=0):
    matrices, slopes = quadratics
    values, vectors = np.linalg.eigh(np.tensordot(GAMMA, matrices, 1))
    values, vectors = values[::-1][:modes], vectors[:, ::-1][:, :modes]
    found = alignment.alignment(
        parts_of(matrices, slopes), jnp.asarray(GAMMA), jnp.asarray(point), jnp.asarray(RATE),
        jnp.asarray(values), jnp.asarray(vectors), jax.random.key(key),
    )  # fmt: skip
    return found, values, vectors


def test_shares_are_squared_cosines(quadratics, point):
    found, _, vectors = measured(quadratics, point)
    matrices, slopes = quadratics
    each = matrices @ point + slopes
    gradient = GAMMA @ each
    assert found.gradient_square == pytest.approx(gradient @ gradient)
    np.testing.assert_allclose(found.gradient_share, (gradient @ vectors) ** 2 / (gradient @ gradient))
    cosines = each @ vectors / np.linalg.norm(each, axis=1)[:, None]
    np.testing.assert_allclose(found.class_gradient_share, cosines**2, rtol=1e-9)
    # The shares along a complete basis sum to 1.
    np.testing.assert_allclose(found.class_gradient_share.sum(axis=1), 1.0)


def test_classes_add_up_to_the_curvature(quadratics, point):
    found, values, vectors = measured(quadratics, point)
    top = vectors[:, 0]
    np.testing.assert_allclose(
        found.class_sharpness, [g * top @ m @ top for g, m in zip(GAMMA, quadratics[0], strict=True)]
    )
    assert found.class_sharpness.sum() == pytest.approx(values[0])


def test_the_quadratic_model_of_a_quadratic_is_what_a_step_does(quadratics, point):
    found, _, vectors = measured(quadratics, point)
    matrices, slopes = quadratics
    parts = parts_of(matrices, slopes)
    gradient = GAMMA @ (matrices @ point + slopes)
    along = gradient @ vectors[:, 0] * vectors[:, 0]
    own, without = (
        np.asarray(parts(point - RATE * step) - parts(point)) for step in (gradient, gradient - along)
    )
    np.testing.assert_allclose(found.class_change[0], own, rtol=1e-9)
    np.testing.assert_allclose(found.class_change[1], without, rtol=1e-9)
    np.testing.assert_allclose(found.step_change[:2], [GAMMA @ own, GAMMA @ without], rtol=1e-9)
    assert found.quadratic_change.sum() == pytest.approx(found.step_change[0])
    # The step without its part along v₁ lacks the change along the first eigenvector.
    assert found.quadratic_change[1:].sum() == pytest.approx(found.step_change[1])


def test_the_principal_flow_s_rate_is_positive_where_a_step_diverges(quadratics, point):
    found, values, vectors = measured(quadratics, point)
    gradient = GAMMA @ (quadratics[0] @ point + quadratics[1])
    x = RATE * values
    expected = np.log(np.abs(1 - x)) / x * (gradient @ vectors) ** 2
    np.testing.assert_allclose(found.principal_rate, expected, rtol=1e-9)
    assert ((found.principal_rate > 0) == (x > 2)).all()
    assert (x > 2).any()
    assert (x < 1).any()


def test_the_loss_along_the_eigenvector_is_its_parabola(quadratics, point):
    found, values, vectors = measured(quadratics, point)
    parts = parts_of(*quadratics)
    component = GAMMA @ (quadratics[0] @ point + quadratics[1]) @ vectors[:, 0]
    places = np.array(alignment.PLACES)
    start = GAMMA @ np.asarray(parts(point))
    parabola = start - places * RATE * component**2 + (places * RATE * component) ** 2 * values[0] / 2
    np.testing.assert_allclose(found.profile, parabola, rtol=1e-9)
    # Along a random direction the loss is another parabola, with the curvature along that direction.
    random = np.asarray(found.random_profile)
    second = np.diff(random, 2) / (np.diff(places)[0] * RATE * component) ** 2
    np.testing.assert_allclose(second, found.class_random_sharpness.sum(), rtol=1e-6)
    assert random[places == 0] == pytest.approx(start)


def test_a_random_direction_has_its_share_of_every_gradient(quadratics, point):
    keys = 400

    def shares(key):
        identity = jnp.eye(SIZE)[:, :1]
        arguments = jnp.asarray(GAMMA), jnp.asarray(point), jnp.asarray(RATE), jnp.ones(1), identity
        return alignment.alignment(parts_of(*quadratics), *arguments, key).class_random_share

    found = jax.jit(jax.vmap(shares))(jax.random.split(jax.random.key(0), keys))
    # The squared cosine with a random direction has a beta distribution, whose variance is known.
    deviation = np.sqrt(2 * (SIZE - 1) / (SIZE**2 * (SIZE + 2)) / keys)
    np.testing.assert_allclose(found.mean(axis=0), 1 / SIZE, atol=4 * deviation)


def test_the_turned_step_is_as_long(quadratics, point):
    """On a plane, the change of the turned step is the sum of the changes of its two parts."""
    found, _, _ = measured((0 * quadratics[0], quadratics[1]), point)
    start, whole = (found.random_profile[alignment.PLACES.index(place)] for place in (0.0, 1.0))
    assert found.step_change[2] == pytest.approx(found.step_change[1] + whole - start)
    assert found.step_change[0] == pytest.approx(-RATE * found.gradient_square)


@pytest.mark.parametrize("count", [1, 4])
def test_the_participation_ratio_counts_units(count):
    units = jnp.array([0, 1, 2, 3, 0, 1, 2, 3, -1])
    vector = np.where(np.asarray(units) < count, 1.0, 0.0)
    vector[-1] = 5.0  # this parameter belongs to no unit
    assert alignment.effective_units(jnp.asarray(vector), units, 4) == pytest.approx(count)


@pytest.mark.parametrize("settings", [MLPSettings(width=4), MLPSettings(width=4, initialisation="no_bias")])
def test_a_unit_has_what_leads_into_it_and_out_of_it(settings):
    """Doubling the weights into a ReLU unit and halving the weights out of it changes no output."""
    model = settings.build(3)
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), initial_parameters(model, (2,), [1]))
    labels = settings.unit_of(parameters)
    assert jax.tree.map(jnp.shape, labels) == jax.tree.map(jnp.shape, parameters)
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)))
    expected = apply_function(model)(parameters, inputs)
    for unit in range(settings.width):
        factors = {"hidden_0": 2.0, "output": 0.5}
        changed = {
            layer: {
                name: np.where(labels[layer][name] == unit, factors[layer], 1.0) * entries
                for name, entries in held.items()
            }
            for layer, held in parameters.items()
        }
        np.testing.assert_allclose(apply_function(model)(changed, inputs), expected, atol=1e-12)
    outputs = labels["output"].get("bias")
    assert outputs is None or (outputs == -1).all()


def test_units_of_several_layers_share_parameters():
    settings = MLPSettings(width=4, depth=2)
    example = initial_parameters(settings.build(3), (2,), [1])
    assert settings.unit_of(example) is None
    assert settings.size(Shape(10, 10, (2,), 3)).parameters == sum(
        leaf.size for leaf in jax.tree.leaves(example)
    )
