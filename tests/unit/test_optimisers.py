"""Optimisers by name: momentum agrees with its recurrence, and errors name the remedy."""

import numpy as np
import optax
import pytest

from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.optimisers import optimiser


def test_nesterov_momentum_is_its_recurrence():
    transform = optimiser("sgd", {"momentum": 0.9, "nesterov": True})(0.1)
    x, velocity = np.array([2.0]), np.zeros(1)
    parameters, state = x, transform.init(x)
    for _ in range(5):
        updates, state = transform.update(parameters, state, parameters)  # gradient of x²/2
        parameters = optax.apply_updates(parameters, updates)
        velocity = x + 0.9 * velocity
        x = x - 0.1 * (x + 0.9 * velocity)
    np.testing.assert_allclose(parameters, x, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sdg", {}, "no optimiser 'sdg'"),
        ("apply_updates", {}, "no optimiser"),
        ("sgd", {"momentm": 0.9}, "no argument 'momentm'"),
        ("sgd", {"momentum": "fast"}, "cannot be used with"),
        ("lbfgs", {}, "cannot be used with"),
        ("adam", {"learning_rate": 0.1}, "no argument 'learning_rate'"),
    ],
)
def test_mistakes_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        optimiser(name, arguments)


def test_weight_decay_is_the_gradient_of_a_square():
    """Steps on x²/2 with weight decay λ equal steps on (1 + λ)x²/2 without it."""
    decayed = optimiser("sgd", {"momentum": 0.9}, 0.5)(0.1)
    plain = optimiser("sgd", {"momentum": 0.9})(0.1)
    x = y = np.array([2.0])
    of_x, of_y = decayed.init(x), plain.init(y)
    for _ in range(5):
        updates, of_x = decayed.update(x, of_x, x)
        x = optax.apply_updates(x, updates)
        updates, of_y = plain.update(1.5 * y, of_y, y)
        y = optax.apply_updates(y, updates)
    np.testing.assert_allclose(x, y, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Specifying a key")
def test_memory_that_is_not_numbers_alone_cannot_be_kept():
    settings = {"optimiser": {"kind": "noisy_sgd"}, "snapshots": {"every": 25, "optimiser_state": True}}
    with pytest.raises(ValueError, match=r"optimiser_state: the state of noisy_sgd holds more than numbers"):
        TrajectorySettings.model_validate(settings)
    TrajectorySettings.model_validate(settings | {"optimiser": {"kind": "adam"}})
