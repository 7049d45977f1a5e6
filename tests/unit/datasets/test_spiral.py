"""The spiral: its geometry, and the points of the authors' notebook."""

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
@settings(max_examples=40)
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
    assert turn.std() == pytest.approx(0.2, rel=0.03)  # four times the standard error 1/√(2·10800) = 0.7 %
    assert abs(turn.mean()) < 0.006


def test_defaults_are_the_notebooks_first_training_points():
    """The points are recomputed from the notebook's formula and generator, RandomState(0), arm by arm."""
    generator = np.random.RandomState(0)
    first_noise = generator.randn(100)
    angle = np.linspace(0, 4 * np.pi, 100) + 0.2 * first_noise
    radius = np.linspace(0, 1, 100)
    inputs, _ = spiral(classes=3, points_per_class=100, turns=2.0, noise=0.2, seed=0)
    np.testing.assert_allclose(inputs[:100, 0], radius * np.cos(angle), rtol=1e-12, atol=1e-15)
    # numpy's compatibility policy freezes RandomState, so its first draw is a known number.
    assert first_noise[0] == pytest.approx(1.764052345967664, rel=1e-15)


@pytest.mark.parametrize("law", ["uniform", "sqrt"])
def test_other_radius_laws_move_points_along_the_same_arms(law):
    settings_ = {"classes": 3, "points_per_class": 5000, "turns": 2.0, "noise": 0.0, "seed": 5}
    points = spiral(**settings_, radius_law=law)[0].reshape(3, 5000, 2)
    radius = np.linalg.norm(points, axis=2)
    # Along an arm the radius determines the angle.
    angle = 2 * np.pi * np.arange(3)[:, None] / 3 + 4 * np.pi * radius
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    np.testing.assert_allclose(points, expected, atol=1e-12)
    # Uniformly drawn radii have the distribution function r; radii with squares in equal steps have r².
    even = radius if law == "uniform" else radius**2
    assert np.abs(np.sort(even, axis=1) - np.linspace(0, 1, 5000)).max() < (
        0.03 if law == "uniform" else 1e-12
    )


def test_the_validation_set_may_have_points_and_radii_of_its_own():
    plain = SpiralSettings(points_per_class=30).prepare()
    other = SpiralSettings(points_per_class=30, validation_points_per_class=70, validation_radius="sqrt")
    stored = other.prepare()
    assert other.shape == (90, 210, (2,), 3)
    np.testing.assert_array_equal(stored["train_input"], plain["train_input"])
    expected, labels = spiral(classes=3, points_per_class=70, turns=2.0, noise=0.2, seed=1, radius_law="sqrt")
    np.testing.assert_array_equal(stored["validation_input"], expected)
    np.testing.assert_array_equal(stored["validation_label"], labels)


def test_what_tells_one_spiral_from_another_is_in_its_description():
    """A change of any setting changes the description, so that files of different data look different."""
    changes = {
        "classes": 4,
        "points_per_class": 7,
        "turns": 1.5,
        "noise": 0.0,
        "train_seed": 5,
        "validation_seed": 6,
        "validation_points_per_class": 9,
        "validation_radius": "uniform",
    }
    assert set(changes) == set(SpiralSettings.model_fields) - {"kind"}
    told = [SpiralSettings(**{key: value}).prepare().attrs for key, value in changes.items()]
    words = [attributes["dataset_description"] for attributes in (SpiralSettings().prepare().attrs, *told)]
    assert len(set(words)) == len(words)
    assert words[0] == "spiral, 300 + 300 points, 3 arms of 2 turns, noise 0.2 rad, seeds 0 and 1"


def test_dataset_holds_two_different_draws_of_the_same_problem():
    stored = SpiralSettings(points_per_class=30).prepare()
    assert stored["train_input"].shape == stored["validation_input"].shape == (90, 2)
    assert not np.allclose(stored["train_input"], stored["validation_input"])
    np.testing.assert_array_equal(stored["train_label"], stored["validation_label"])
