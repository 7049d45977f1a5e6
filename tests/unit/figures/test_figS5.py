"""Fig. S5 shows the rows of its input file."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_rgba

from dynamical_loss.errors import UserError
from dynamical_loss.figures import figS5_protocols as figure_module
from dynamical_loss.figures import style
from dynamical_loss.results import netcdf
from figure_parts import require_legible_texts
from project import ROOT

pytestmark = pytest.mark.usefixtures("look")


def row(protocol, identity, value, verdict, *, half=0.02, quantity="accuracy", start="lecun", paper=0.65):
    return {
        "protocol": protocol,
        "id": identity,
        "quantity": quantity,
        "verdict": verdict,
        "initialisation": start,
        "data": "training noise 0",
        "reading": "",
        "hangs_on": "",
        "measured_value": value,
        "interval_lower": value - half,
        "interval_upper": value + half,
        "paper_value": paper,
        "limit_lower": 0.6,
        "limit_upper": 0.7 if paper == 0.65 else math.inf,
        "n": 10,
    }


ROWS = [
    row("lecun", "static_value", 0.51, "contradicted"),
    row("glorot_zero", "static_value", 0.66, "reproduced", start="glorot_zero"),
    row("lecun", "region", 0.9, "reproduced", paper=math.nan),
    row("glorot_zero", "region", 0.99, "reproduced", start="glorot_zero", paper=math.nan),
    row("lecun_caption", "exponent", -0.9, "undecided", quantity="exponent", paper=-0.9),
    row("lecun", "off", math.nan, "not tested at this scale"),
]


def stored(rows):
    return xr.Dataset({name: ("row", [item[name] for item in rows]) for name in ROWS[0]})


def render(rows):
    figure = figure_module.render({"protocols": [stored(rows)]}, {})
    figure.canvas.draw()
    return figure


def marks(axis):
    """Return (value, place, colour, fill, interval) of each mark, from the top."""
    found = []
    for container in axis.containers:
        line, _, (bar,) = container.lines
        ends = bar.get_segments()[0][:, 0]
        found.append(
            (
                float(line.get_xdata()[0]),
                float(line.get_ydata()[0]),
                to_rgba(line.get_color()),
                "none" if line.get_markerfacecolor() == "white" else line.get_fillstyle(),
                ends,
            )
        )
    return sorted(found, key=lambda mark: mark[1])


def test_marks_are_the_measured_values_with_their_intervals():
    figure = render(ROWS)
    accuracy, exponent = figure.axes
    assert (accuracy.get_xlabel(), exponent.get_xlabel()) == ("accuracy", "exponent")
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["static value", "region"]
    found = marks(accuracy)
    assert [mark[0] for mark in found] == [0.51, 0.66, 0.9, 0.99]
    assert [round(mark[1]) for mark in found] == [0, 0, 1, 1]
    assert [mark[3] for mark in found] == ["none", "full", "full", "full"]
    np.testing.assert_allclose(found[0][4], [0.49, 0.53])
    assert marks(exponent)[0][3] == "left"
    # Protocols with the same initialisation share a colour, whatever else differs.
    assert found[0][2] == found[2][2] == marks(exponent)[0][2] != found[1][2]
    require_legible_texts(figure)


def test_a_claim_that_hangs_on_a_choice_stands_out():
    accuracy = render(ROWS).axes[0]
    colours = [label.get_color() for label in accuracy.get_yticklabels()]
    assert colours == [style.MEASURED_COLOUR, "black"]


def test_the_paper_s_value_and_the_range_of_the_claim_are_drawn():
    accuracy = render(ROWS).axes[0]
    strokes = [
        list(line.get_xdata())
        for line in accuracy.lines
        if to_rgba(line.get_color()) == to_rgba("black") and len(line.get_xdata()) == 2
    ]
    assert strokes == [[0.65, 0.65]]
    areas = [item for item in accuracy.collections if isinstance(item, FillBetweenPolyCollection)]
    spans = [area.get_paths()[0].get_extents() for area in areas]
    held = [(span.x0, span.x1) for span in spans]
    assert held[0] == pytest.approx((0.6, 0.7))
    assert held[1][0] == pytest.approx(0.6)
    assert held[1][1] == pytest.approx(accuracy.get_xlim()[1])


def test_every_protocol_has_a_look_of_its_own():
    names = [f"p{index}" for index in range(9)]
    rows = [
        row(name, "a", 0.5, "undecided", start="lecun" if index < 5 else "he")
        for index, name in enumerate(names)
    ]
    assert len(set(figure_module.looks(rows).values())) == len(names)


def test_without_a_tested_claim_it_says_so():
    figure = render([ROWS[-1]])
    assert [text.get_text() for text in figure.texts] == ["none of 1 claims could be tested at this scale"]


def test_without_a_row_it_is_refused():
    empty = stored(ROWS).isel(row=slice(0, 0))
    with pytest.raises(UserError, match="needs a claim"):
        figure_module.render({"protocols": [empty]}, {})


def test_the_published_protocols_fit_on_the_page():
    stored = netcdf.read(ROOT / "paper_figures/data/protocols.nc")
    figure = figure_module.render({"protocols": [stored]}, {})
    require_legible_texts(figure)
