"""Colours can be told apart by colour-blind readers, and stand out from light and dark pages."""

import itertools
import re

import matplotlib as mpl
import numpy as np
import pytest
from bokeh.palettes import Cividis256

from colours import DEFICIENCIES, contrast, difference, lab, linear
from dynamical_loss.explorer import phase, run, threshold
from dynamical_loss.figures import along_run, style
from dynamical_loss.pages.page import beside

TOLD_APART = 15
"""Smallest distance in L*a*b* of two colours that carry a meaning; about 2 can just be told apart."""


def test_lightness_and_contrast_are_those_of_the_standards():
    np.testing.assert_allclose(lab("#ffffff"), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab("#ff0000"), [53.24, 80.09, 67.20], atol=0.05)
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    for matrix in DEFICIENCIES.values():
        np.testing.assert_allclose(matrix @ linear("#808080"), linear("#808080"), atol=1e-4)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize(
    "pair",
    [
        (run.EVEN, run.ODD),
        (phase._CURVE, phase._MEAN),
        threshold._COLOURS[:2],
        (along_run.EVEN_COLOUR, along_run.ODD_COLOUR),
        (style.TRAIN_COLOUR, style.VALIDATION_COLOUR),
    ],
)
def test_two_colours_with_a_meaning_can_be_told_apart(pair, deficiency):
    assert difference(*pair, deficiency) > TOLD_APART


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize(
    "palette", [Cividis256, [mpl.colors.to_hex(c) for c in mpl.colormaps["viridis"].colors]]
)
def test_colour_maps_grow_lighter_throughout(palette, deficiency):
    """Then the order of the values is the order of lightness, whatever hues a reader sees."""
    lightness = [lab(colour, deficiency)[0] for colour in palette[::8]]
    assert min(after - before for before, after in itertools.pairwise(lightness)) > 0


@pytest.mark.parametrize(
    "colour", [run.EVEN, run.ODD, run._START, run._FINISH, *threshold._COLOURS, *run._CLASSES[:3]]
)
def test_lines_stand_out_from_light_and_dark_pages(colour):
    papers = re.findall(r"--paper: (#\w+)", beside("dynamical_loss.pages.page", ".css"))
    assert len(papers) == 2
    assert min(contrast(colour, paper) for paper in papers) > 3
