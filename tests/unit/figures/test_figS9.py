"""Fig. S9 shows learning curves of its first study, and final accuracies and gains of all studies."""

from __future__ import annotations

import numpy as np
import pytest

from dynamical_loss.errors import UserError
from dynamical_loss.figures import figS9_regime
from figure_parts import require_legible_texts
from image_results import regime_study

pytestmark = pytest.mark.usefixtures("look")

MAIN = regime_study({(100, 1): 0.52, (100, 50): 0.57}, early={(100, 1): 0.45, (100, 50): 0.35})


def test_runs_and_final_accuracies():
    others = [
        regime_study({(250, 50): 0.6}, seeds=3),
        regime_study({(100, 1): 0.5}, seeds=3, learning_rate=0.04, optimiser__weight_decay=5e-4),
        regime_study({(100, 1): 0.5, (100, 50): 0.55}, seeds=1, steps=34_300),
    ]
    figure = figS9_regime.render({"study": [MAIN, *others]}, {})
    figure.canvas.draw()
    training, validation, final, gains = figure.axes
    for axis, shift in ((training, 0.4), (validation, 0.0)):
        found = {line.get_label(): line.get_ydata() for line in axis.lines}
        np.testing.assert_allclose(found["A = 1"][[0, -1]], [0.45 + shift, 0.52 + shift])
        np.testing.assert_allclose(found["T = 100, A = 50"][[0, -1]], [0.35 + shift, 0.57 + shift])
    assert [label.get_text() for label in final.get_yticklabels()] == [
        "A = 1, n = 5",
        "T = 100, A = 50, n = 5",
        "T = 250, A = 50, n = 3",
        "A = 1, η = 0.04, weight decay 0.0005, n = 3",
        "A = 1, 34300 steps, n = 1",
        "T = 100, A = 50, 34300 steps, n = 1",
    ]
    dots = [line.get_xdata() for line in final.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[1], 0.57 + np.array([0.01, -0.01, 0.0, 0.02, -0.02]))
    # Gains are paired by seed, with the static runs of equal length; those have no gain over themselves.
    shown = [line.get_xdata() for line in gains.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([values.mean() for values in shown], [0.05, 0.08, -0.02, 0.05])
    assert [values.size for values in shown] == [5, 3, 3, 1]
    np.testing.assert_allclose(shown[0], 0.05)
    require_legible_texts(figure)


def test_a_first_study_without_the_static_loss_is_refused():
    with pytest.raises(UserError, match="needs A = 1 and one cell"):
        figS9_regime.render({"study": [regime_study({(100, 50): 0.57})]}, {})
