"""Fig. S7 shows accuracies of the odd seeds, while the even seeds choose the cell."""

from __future__ import annotations

import numpy as np
import pytest

from claim_results import changed, phase
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figS7_losses
from figure_parts import require_legible_texts

pytestmark = pytest.mark.usefixtures("look")


def study(accuracy, width, **loss):
    item = phase(
        lambda _, amplitude: 0.5 if amplitude == 1 else accuracy, width=width, amplitudes=(1, 5), seeds=8
    )
    return changed(item, loss=loss)


STUDIES = [
    study(0.8, 20),
    study(0.9, 100),
    study(0.6, 20, kind="mse"),
    study(0.7, 100, kind="mse"),
    study(0.75, 100, kind="mse", waveform="sine"),
]


def curves(axis):
    return {container.get_label(): container.lines[0] for container in axis.containers}


def test_curves_are_means_of_the_odd_seeds():
    figure = figS7_losses.render({"study": STUDIES}, {})
    figure.canvas.draw()
    sizes, waves = figure.axes
    found = curves(sizes)
    noise = np.linspace(-0.01, 0.01, 8)[1::2].mean()
    expected = {
        "cross-entropy, static": (0.5, 0.5),
        "cross-entropy, dynamical": (0.8, 0.9),
        "squared error, weights on samples, static": (0.5, 0.5),
        "squared error, weights on samples, dynamical": (0.6, 0.7),
    }
    assert found.keys() == expected.keys()
    for label, values in expected.items():
        assert found[label].get_xdata().tolist() == [20, 100]
        np.testing.assert_allclose(found[label].get_ydata(), np.array(values) - 0.05 + noise, atol=1e-12)
    gains = [container.lines[0].get_ydata().tolist() for container in waves.containers]
    assert gains == [pytest.approx([0.4]), pytest.approx([0.2, 0.25])]
    assert [label.get_text() for label in waves.get_xticklabels()] == ["triangle", "sine"]
    require_legible_texts(figure)


def test_the_axis_of_sizes_names_the_sizes_and_nothing_else():
    """Minor ticks have no labels, although matplotlib labels them on an axis of less than two decades."""
    figure = figS7_losses.render({"study": [study(0.8, width) for width in (20, 50, 100, 300)]}, {})
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    assert [label.get_text() for label in axis.get_majorticklabels()] == ["20", "50", "100", "300"]
    assert not any(label.get_text() for label in axis.get_minorticklabels())


def test_bars_are_student_s_intervals():
    figure = figS7_losses.render({"study": STUDIES[:1]}, {})
    container = figure.axes[0].containers[0]
    static = STUDIES[0]["validation_accuracy"].sel(amplitude=1).isel(period=0).values[1::2]
    mean, half = student_interval(static)
    ends = container.lines[2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose(ends, [mean - half, mean + half])


def test_studies_may_have_unlike_numbers_of_seeds():
    few = STUDIES[1].isel(seed=slice(0, 4))
    figure = figS7_losses.render({"study": [STUDIES[0], few]}, {})
    assert len(curves(figure.axes[0])["cross-entropy, dynamical"].get_ydata()) == 2


def test_two_studies_of_one_kind_are_refused():
    with pytest.raises(UserError, match="two studies with the same loss"):
        figS7_losses.render({"study": [STUDIES[0], study(0.7, 20)]}, {})
