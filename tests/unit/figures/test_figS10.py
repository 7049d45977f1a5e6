"""Fig. S10 shows the gain under each condition, and λ₁/λ₅ along the runs."""

from __future__ import annotations

import numpy as np
import pytest

from dynamical_loss.figures import figS10_questions
from figure_parts import require_legible_texts
from image_results import question_spectrum, question_study

NETWORK = "Wide ResNet 10-1 with batch norm"

pytestmark = pytest.mark.usefixtures("look")


def test_gains_and_ratios():
    studies = [
        question_study(0.1, normalised=False),
        question_study(-0.05, batch=512),
        question_study(0.02, decay=5e-4),
    ]
    spectra = [
        question_spectrum(ratio, amplitude=amplitude, seed=seed)
        for amplitude, ratio in ((1.0, 8.0), (10.0, 4.0))
        for seed in range(3)
    ]
    figure = figS10_questions.render({"study": studies, "spectrum": spectra}, {})
    figure.canvas.draw()
    gains, ratios = figure.axes
    labels = [label.get_text() for label in gains.get_yticklabels()]
    assert labels == [
        "batch norm, batches of  64, weight decay 0.0005",
        "batch norm, batches of 512",
        "no batch norm, batches of  64",
    ]
    dots = [line.get_xdata() for line in gains.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([values.mean() for values in dots], [0.02, -0.05, 0.1])
    found = {line.get_label(): line.get_ydata() for line in ratios.lines}
    assert found.keys() == {f"{NETWORK}, static", f"{NETWORK}, dynamical"}
    np.testing.assert_allclose(found[f"{NETWORK}, static"][0], 8.0)
    np.testing.assert_allclose(found[f"{NETWORK}, dynamical"][0], 4.0)
    require_legible_texts(figure)


def test_without_a_converged_eigenvalue_the_panel_says_so():
    spectrum = question_spectrum(8.0)
    spectrum["hessian_residual"] = abs(spectrum["hessian_eigenvalue"])
    figure = figS10_questions.render({"study": [question_study(0.1)], "spectrum": [spectrum]}, {})
    (words,) = figure.axes[1].texts
    assert words.get_text() == "Lanczos found no λ$_5$\nto one per cent"
    require_legible_texts(figure)
