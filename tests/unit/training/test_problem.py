"""Conversion of settings to the arguments of the training engine."""

import numpy as np
import pytest

from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.loading import Data
from dynamical_loss.errors import UserError
from dynamical_loss.losses.weights import Oscillation
from dynamical_loss.training.problem import build, oscillation_end


@pytest.mark.parametrize(
    ("loss", "end"),
    [
        ({}, 900),  # the last of ten periods is static
        ({"cycles": 1}, 300),
        ({"cycles": 2}, 600),
        ({"cycles": 5}, 900),  # no later than without a limit on the cycles
        ({"cycles": 1, "rest_steps": 10}, 330),
    ],
)
def test_the_oscillation_ends_with_the_last_cycle_that_was_asked_for(loss, end):
    assert oscillation_end(TrainingSettings(steps=1000, loss=loss), 100, classes=3) == end


def test_a_period_without_a_static_one_after_it_is_refused():
    with pytest.raises(UserError, match="take a shorter period"):
        oscillation_end(TrainingSettings(steps=100, loss={"cycles": 1}), 60, classes=3)


def test_every_part_of_the_loss_reaches_the_engine():
    points = np.zeros((6, 2))
    data = Data(points, np.arange(6) % 3, points, np.arange(6) % 3, classes=3)
    loss = {
        "kind": "mse",
        "waveform": "sine",
        "rest_steps": 2,
        "emphasis": "random_class",
        "normalisation": "cycle",
        "weighting": "output",
    }
    problem, _ = build(TrainingSettings(loss=loss), data, [0])
    assert problem.oscillation == Oscillation("sine", 2, "random_class", "cycle")
    assert problem.by_output
