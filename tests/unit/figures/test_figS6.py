"""Fig. S6 shows the accuracies in its input files."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import changed, phase
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figS6_ingredients
from figure_parts import require_legible_texts

pytestmark = pytest.mark.usefixtures("look")


def study(accuracy, amplitudes, **loss):
    item = phase(
        lambda _, amplitude: 0.5 if amplitude == 1 else accuracy,
        periods=(200,),
        amplitudes=amplitudes,
        seeds=8,
    )
    return changed(item, loss=loss)


WHOLE = study(0.9, (1, 10))
ORDER = study(0.8, (10,), emphasis="random_class")
PHASE = study(0.55, (10,), emphasis="all", normalisation="cycle")


def test_every_seed_is_a_dot_and_every_mean_a_bar():
    figure = figS6_ingredients.render({"study": [PHASE, WHOLE, ORDER]}, {})
    figure.canvas.draw()
    for axis, shift in zip(figure.axes, (0.0, -0.05), strict=True):
        dots = [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]
        expected = [np.array([0.5, 0.9, 0.8, 0.55]) + shift][0]
        np.testing.assert_allclose([np.mean(row) for row in dots], expected, atol=1e-12)
        assert [len(row) for row in dots] == [8] * 4
        means = [float(container.lines[0].get_xdata()[0]) for container in axis.containers]
        np.testing.assert_allclose(means, expected, atol=1e-12)
        guides = [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(guides, np.array([0.5, 0.9]) + shift)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["static loss", "dynamical loss", "classes in random order", "all classes at once"]
    require_legible_texts(figure)


def test_without_the_whole_loss_there_is_nothing_to_compare_with():
    with pytest.raises(UserError, match="static and dynamical"):
        figS6_ingredients.render({"study": [PHASE, study(0.9, (10,))]}, {})
