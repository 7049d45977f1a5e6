"""Compare the losses with optax and with closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dynamical_loss import losses

RNG = np.random.default_rng(0)
LOGITS = 5 * RNG.normal(size=(12, 4))
TARGETS = np.eye(4)[RNG.integers(0, 4, 12)]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def test_cross_entropy_is_that_of_optax():
    np.testing.assert_allclose(
        losses.cross_entropy(LOGITS, TARGETS),
        optax.softmax_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(TARGETS)),
        rtol=1e-13,
    )


def test_cross_entropy_gradient_is_softmax_minus_target():
    gradient = jax.grad(lambda logits: losses.cross_entropy(logits, TARGETS).sum())(LOGITS)
    np.testing.assert_allclose(gradient, jax.nn.softmax(LOGITS) - TARGETS, atol=1e-14)


def test_cross_entropy_of_huge_logits_is_finite():
    assert losses.cross_entropy(1e6 * TARGETS, TARGETS) == pytest.approx(0.0, abs=1e-12)


def test_mse_moves_residuals_by_the_kernel():
    """The gradient of the mean is (f − y)/N for each sample, as in g ← g − (η/N)Θg of section III.4."""
    gradient = jax.grad(lambda f: losses.weighted_loss(losses.mse, f, TARGETS, jnp.ones(4)))(
        jnp.asarray(LOGITS)
    )
    np.testing.assert_allclose(gradient, (LOGITS - TARGETS) / 12, rtol=1e-13)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_weighted_loss_weighs_each_sample_by_its_class(name):
    loss = losses.sample_loss(name)
    weight = np.array([0.5, 2.0, 1.0, 0.5])
    by_hand = np.mean(
        [weight[t.argmax()] * float(loss(x[None], t[None])[0]) for x, t in zip(LOGITS, TARGETS, strict=True)]
    )
    assert float(losses.weighted_loss(loss, LOGITS, TARGETS, weight)) == pytest.approx(by_hand, rel=1e-12)


def test_a_sample_is_right_or_wrong_and_not_a_number_is_wrong():
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [np.nan, 0.0]])
    targets = np.eye(2)[[0, 1, 1, 0]]
    assert losses.is_right(logits, targets).tolist() == [True, True, False, False]


def test_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="cross_entropy, mse"):
        losses.sample_loss("hinge")
