"""The spiral: its geometry, and the very points of the authors' notebook."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.datasets.spiral import spiral


@given(
    classes=st.integers(2, 6),
    points_per_class=st.integers(1, 40),
    turns=st.floats(0.1, 5),
    noise=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_radius_grows_evenly_from_0_to_1_whatever_the_noise(classes, points_per_class, turns, noise, seed):
    inputs, labels = spiral(
        classes=classes, points_per_class=points_per_class, turns=turns, noise=noise, seed=seed
    )
    radius = np.linalg.norm(inputs, axis=1).reshape(classes, points_per_class)
    np.testing.assert_allclose(radius, np.tile(np.linspace(0, 1, points_per_class), (classes, 1)), atol=1e-12)
    np.testing.assert_array_equal(np.bincount(labels), np.full(classes, points_per_class))


def test_without_noise_an_arm_ends_where_it_should():
    inputs, _ = spiral(classes=3, points_per_class=50, turns=1.25, noise=0.0, seed=0)
    ends = inputs.reshape(3, 50, 2)[:, -1]
    angles = 2 * np.pi * np.arange(3) / 3 + 2.5 * np.pi
    np.testing.assert_allclose(ends, np.stack([np.cos(angles), np.sin(angles)], axis=1), atol=1e-12)


def test_noise_has_the_given_width():
    settings_ = {"classes": 3, "points_per_class": 4000, "turns": 2.0, "seed": 3}
    noisy, _ = spiral(noise=0.2, **settings_)
    clean, _ = spiral(noise=0.0, **settings_)
    far = np.linalg.norm(clean, axis=1) > 0.1
    turn = np.angle((noisy[far] @ [1, 1j]) / (clean[far] @ [1, 1j]))
    assert turn.std() == pytest.approx(0.2, rel=0.03)  # 1/√(2·10800) = 0.7 %, four times that
    assert abs(turn.mean()) < 0.006


def test_defaults_are_the_notebooks_first_training_points():
    """Recomputed from the notebook's formula with its generator, RandomState(0), arm by arm."""
    generator = np.random.RandomState(0)
    first_noise = generator.randn(100)
    angle = np.linspace(0, 4 * np.pi, 100) + 0.2 * first_noise
    radius = np.linspace(0, 1, 100)
    inputs, _ = spiral(classes=3, points_per_class=100, turns=2.0, noise=0.2, seed=0)
    np.testing.assert_allclose(inputs[:100, 0], radius * np.cos(angle), rtol=1e-12, atol=1e-15)
    # RandomState is frozen by numpy's compatibility policy: its first draw is a known number.
    assert first_noise[0] == pytest.approx(1.764052345967664, rel=1e-15)


def test_dataset_holds_two_different_draws_of_the_same_problem():
    stored = SpiralSettings(points_per_class=30).prepare()
    assert stored["train_input"].shape == stored["validation_input"].shape == (90, 2)
    assert not np.allclose(stored["train_input"], stored["validation_input"])
    np.testing.assert_array_equal(stored["train_label"], stored["validation_label"])
