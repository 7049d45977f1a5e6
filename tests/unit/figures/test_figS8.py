"""Fig. S8 shows means over the seeds of every width, learning rate and kind of loss."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import gathered_runs
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figS8_size_and_rate
from figure_parts import require_legible_texts

pytestmark = pytest.mark.usefixtures("look")

STUDIES = [
    gathered_runs(loss=2.0, sharpness=1.8, width=20),
    gathered_runs(loss=1.0, sharpness=3.5, width=20, rate=0.5),
    gathered_runs(loss=0.5, sharpness=1.9, width=100),
    gathered_runs(loss=0.7, sharpness=2.1, width=100, amplitude=1.0),
]


def test_lines_are_means_over_seeds_below_their_bound():
    figure = figS8_size_and_rate.render({"runs": STUDIES}, {})
    figure.canvas.draw()
    (losses_20, losses_100), (sharp_20, sharp_100) = np.array(figure.axes).reshape(2, 2)
    for axis, expected in (
        (losses_20, {"η = 0.5, dynamical loss": 1.0, "η = 1, dynamical loss": 2.0}),
        (losses_100, {"η = 1, dynamical loss": 0.5, "η = 1, static loss": 0.7}),
        (sharp_20, {"η = 0.5, dynamical loss": 3.5, "η = 1, dynamical loss": 1.8}),
        (sharp_100, {"η = 1, dynamical loss": 1.9, "η = 1, static loss": 2.1}),
    ):
        found = {line.get_label(): line.get_ydata() for line in axis.lines if line.get_gid() is None}
        assert found.keys() == expected.keys()
        for label, value in expected.items():
            np.testing.assert_allclose(found[label], value, rtol=1e-5)
    bounds = {line.get_gid(): line.get_ydata()[0] for line in sharp_20.lines if line.get_gid()}
    assert bounds == {"2/η, 0.5": 4.0, "2/η, 1": 2.0}
    assert [axis.get_title(loc="right") for axis in (losses_20, losses_100)] == ["width 20", "width 100"]
    require_legible_texts(figure)


def test_values_that_lanczos_has_not_found_are_left_out():
    item = gathered_runs(loss=1.0, sharpness=2.0, width=20)
    item["sharpness_residual"][:, 3] = 1.0
    figure = figS8_size_and_rate.render({"runs": [item]}, {})
    shown = next(line for line in figure.axes[1].lines if line.get_gid() is None).get_ydata()
    assert np.flatnonzero(np.isnan(shown)).tolist() == [3]


def test_two_studies_of_one_kind_are_refused():
    with pytest.raises(UserError, match="two studies with the same width"):
        figS8_size_and_rate.render({"runs": [STUDIES[0], STUDIES[0]]}, {})
