"""Fig. F7 and F8 show every learning rate once, with its mean accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.figures import figF7_learning_rates, figF8_power_and_cap
from figure_parts import drawn, panel, require_legible_texts
from learning_rate_results import dal, study

pytestmark = pytest.mark.usefixtures("look")

STUDIES = [
    study(0.5, 0.9),
    study(0.6, 0.7, learning_rate=2.0),
    study(0.65, 0.8, learning_rate_schedule=[[0.0, 2.0], [1.0, 0.0]]),
    dal(0.7, 0.85, cap=2.0),
    dal(0.8, 0.95, cap=5.0),
    dal(0.75, 0.6, power=0.5, cap=5.0),
    dal(0.69, 0.8, steps_of="next_seed"),
    dal(0.66, None, steps_of="static_next_seed"),
    study(None, 0.91, cell=(5000, 70), steps=70_000),
    dal(None, 0.93, cell=(5000, 70), steps=70_000),
]


def test_a_row_for_each_learning_rate_with_mean_and_interval():
    figure = figF7_learning_rates.render({"study": STUDIES}, {})
    require_legible_texts(drawn(figure))
    static, short, long = (panel(figure, letter) for letter in "abc")
    assert [text.get_text() for text in static.get_yticklabels()] == [
        "η = 1",
        "η = 2",
        "η = 2 → 0",
        "DAL, p = 1, cap 2",
        "DAL, p = 1, cap 5",
        "DAL, p = 1, cap 2, another seed's steps",
        "DAL, p = 1, cap 2, a static run's steps",
    ]
    noise = np.linspace(-0.01, 0.01, 20)
    for axis, expected in (
        (static, {0: 0.5, 1: 0.6, 2: 0.65, 3: 0.7, 4: 0.8, 5: 0.69, 6: 0.66}),
        (short, {0: 0.9, 1: 0.7, 2: 0.8, 3: 0.85, 4: 0.95, 5: 0.8}),
        (long, {0: 0.91, 3: 0.93}),
    ):
        means = {}
        for container in axis.containers:
            line, _, (bars,) = container.lines
            means[round(line.get_ydata()[0] - 0.25)] = line.get_xdata()[0]
            ends = bars.get_segments()[0][:, 0]
            np.testing.assert_allclose(np.ptp(ends) / 2, student_interval(noise)[1], rtol=1e-6)
        assert means == {line: pytest.approx(value, abs=1e-9) for line, value in expected.items()}


def test_the_plane_of_power_and_cap_holds_the_means():
    figure = figF8_power_and_cap.render({"study": STUDIES}, {})
    require_legible_texts(drawn(figure))
    static, short, long = (panel(figure, letter) for letter in "abc")
    assert [text.get_text() for text in static.get_xticklabels()] == ["2", "5"]
    assert [text.get_text() for text in static.get_yticklabels()] == ["0.5", "1"]
    np.testing.assert_allclose(static.images[0].get_array().filled(np.nan), [[np.nan, 0.75], [0.7, 0.8]])
    np.testing.assert_allclose(short.images[0].get_array().filled(np.nan), [[np.nan, 0.6], [0.85, 0.95]])
    assert sorted(text.get_text() for text in short.texts) == ["0.60", "0.85", "0.95"]
    np.testing.assert_allclose(long.images[0].get_array().filled(np.nan), [[0.93]])
