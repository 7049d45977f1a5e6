"""What a journal asks of a file: outlines of TrueType fonts, no pixels where lines do, equal bytes."""

import json

import pytest

from dynamical_loss.config import study
from dynamical_loss.figures import registry, style
from dynamical_loss.stages import render_figure
from overlays import CONFIG, merged, settings
from project import ROOT

COLUMN, PAGE = 241.2, 496.8
"""Widths of a column and of a page of the journal, points."""


@pytest.fixture(scope="module")
def config():
    values = merged(settings(CONFIG), {"published": True})
    return study.load(values, "config.yaml", registry.FIGURES).for_data()


def rendered(name, config, output):
    """Render a figure from the published results, as the workflow does."""
    files = registry.all_shown(config)[name]
    inputs = {role: [ROOT / "paper_figures/data" / path for path in paths] for role, paths in files.items()}
    options = json.loads(json.dumps(registry.FIGURES[name].option_values(config)))
    render_figure.run(name, inputs, options, [output])
    return output.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "fig3_phase_spiral",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("fig4_cascade", "fig5_threshold_scaling", "figS5_protocols")
        ),
    ],
)
def test_a_file_is_fit_for_a_journal(name, config, tmp_path):
    content = rendered(name, config, tmp_path / "first.pdf")
    assert b"/Type3" not in content
    assert b"/FontFile2" in content  # TrueType
    # Only the bars that explain colours are pictures.
    assert (b"/Subtype /Image" in content) == (name == "fig3_phase_spiral")
    assert rendered(name, config, tmp_path / "second.pdf") == content


def test_widths_are_those_of_the_journal():
    assert pytest.approx(COLUMN / 72, rel=0.01) == style.COLUMN
    assert pytest.approx(PAGE / 72, rel=0.01) == style.PAGE
