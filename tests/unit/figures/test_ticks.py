"""Every axis has at least two labelled ticks, whatever it spans, and all labels differ."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from dynamical_loss.figures import along_run, fig5_threshold_scaling, ticks

EXPONENTS = st.floats(-170, 170)
WIDTHS = st.one_of(st.floats(1e-3, 1), st.floats(1, 30), st.floats(30, 340))
"""Range that an axis spans, in decades. The narrowest spans 0.2 %, narrower than in any figure."""

PREFERENCES = st.sampled_from(
    [(7, None), (fig5_threshold_scaling._MOST_TICKS, fig5_threshold_scaling._MULTIPLES)]
)
MINUS, THIN_SPACE = "−", "\N{NARROW NO-BREAK SPACE}"


def number(text):
    """Return the number that a label shows."""
    inner = text.replace(MINUS, "-").replace(THIN_SPACE, "")
    if not inner.startswith("$"):
        return float(inner)
    inner = inner.removeprefix(r"$\mathdefault{").removesuffix("}$")
    factor, _, exponent = inner.rpartition("10^{")
    sign = -1 if factor.startswith("-") else 1
    factor = factor.lstrip("-").removesuffix(r"\times") or "1"
    return sign * float(f"{factor}e{exponent.rstrip('}')}")


def shown(scale):
    """Return (place, label) of the ticks that matplotlib draws."""
    low, high = sorted(scale.get_view_interval())
    places = np.asarray(scale.get_majorticklocs())
    texts = scale.get_major_formatter().format_ticks(places)
    reach = 1e-9 * (high - low)
    return [
        (place, text)
        for place, text in zip(places, texts, strict=True)
        if low - reach <= place <= high + reach and text
    ]


def require_legible(scale):
    found = shown(scale)
    assert len(found) >= 2
    assert len({text for _, text in found}) == len(found)
    distance = np.diff([place for place, _ in found]).min()
    for place, text in found:
        assert abs(number(text) - place) <= 0.011 * distance
    return found


@settings(max_examples=150)
@given(EXPONENTS, WIDTHS, PREFERENCES)
def test_every_logarithmic_axis_has_two_labels_or_more(start, width, preference):
    most, multiples = preference
    span = 10.0**start, 10.0 ** min(start + width, 171)
    axis = Figure().subplots()
    axis.set_yscale("log")
    axis.set_ylim(span)
    ticks.logarithmic(axis.yaxis, span, most, multiples or ticks.multiples_for(span))
    found = require_legible(axis.yaxis)
    assert len(found) <= most + 1


@settings(max_examples=80)
@given(st.lists(st.floats(-300, 300), min_size=1, max_size=5))
def test_every_line_on_a_logarithmic_axis_leaves_two_labels(exponents):
    values = [10.0**exponent for exponent in exponents]
    axis = Figure().subplots()
    axis.plot(range(len(values)), values)
    along_run.log_scale(axis)
    require_legible(axis.yaxis)


@settings(max_examples=80)
@given(
    st.integers(0, 10**12), st.integers(0, 10**12), st.integers(3, 8), st.sampled_from([None, (1, 2, 5, 10)])
)
def test_every_axis_of_steps_has_two_labels_or_more(start, length, most, steps):
    span = (float(start), float(start + length)) if length else (start - 1.0, start + 1.0)
    axis = Figure().subplots()
    axis.set_xlim(span)
    ticks.whole_numbers(axis.xaxis, span, most, steps)
    found = require_legible(axis.xaxis)
    assert all(place == round(place) for place, _ in found) or span[1] - span[0] < 2


@pytest.mark.parametrize("places", [[0.0, 1e75], [-1e-200, 0.0, 1e-200], [0.0, 0.01, 1.0, 1e4]])
def test_both_sides_of_zero_are_labelled_briefly(places):
    axis = Figure().subplots()
    axis.set_xscale("symlog", linthresh=abs(places[-1]) / 10)
    axis.set_xlim(places[0] - places[-1], 2 * places[-1])
    ticks.both_sides(axis.xaxis, places)
    found = shown(axis.xaxis)
    assert [number(text) for _, text in found] == pytest.approx(places)
    assert max(len(text) for _, text in found) < 30


@given(st.floats(-1e12, 1e12, allow_subnormal=False), st.integers(6, 17))
def test_plain_numbers_say_the_number(value, digits):
    text = ticks.plain_number(value, digits)
    assert math.isclose(number(text), value, rel_tol=0.6 * 10.0 ** (1 - digits), abs_tol=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, f"12{THIN_SPACE}345"),
        (-3, f"{MINUS}3"),
        (0.05, "0.05"),
        (1e6, f"1{THIN_SPACE}000{THIN_SPACE}000"),
        (1000.5, f"1{THIN_SPACE}000.5"),
    ],
)
def test_plain_numbers_have_no_powers_of_ten(value, text):
    assert ticks.plain_number(value) == text
