"""Names and numbers as text: each text stands for exactly one name or number."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dynamical_loss.grid import NAME, Block, threshold_run
from dynamical_loss.notation import exact, pattern

# Numbers of all sizes, numbers that differ only in late digits, and numbers whose text has special characters
# of regular expressions.
ODD = (1, 3.3, 3.3000000000000003, 1e16, 1e-08, 1e300, 1.5e300, 5e-324, 0.1, 100, 123456789012345680)
NUMBERS = st.one_of(
    st.sampled_from(ODD),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    st.integers(1, 2**60),
)


@given(NUMBERS)
def test_a_number_reads_back_as_the_same(number):
    assert float(exact(number)) == float(number)
    assert not exact(number).endswith(".0")


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1"), (1.0, "1"), (3.3, "3.3"), (3.3000000000000003, "3.3000000000000003"), (1e16, "1e+16"),
     (1e-8, "1e-08"), (1e300, "1e+300"), (100, "100"), (0.25, "0.25")],
)  # fmt: skip
def test_a_number_is_as_short_as_it_can_be(number, text):
    assert exact(number) == text


@given(st.lists(NUMBERS, min_size=2, max_size=8, unique_by=float), st.integers(1, 10**5), st.integers(0, 99))
@example(list(ODD), 100, 0)
def test_a_pattern_matches_each_run_by_its_name_and_no_other(rates, width, seed):
    names = [threshold_run("scaling", width, rate, seed) for rate in rates]
    assert len(set(names)) == len(names)
    for name in names:
        others = [other for other in names if other != name]
        assert re.fullmatch(pattern([name]), name)
        assert not any(re.fullmatch(pattern([name]), other) for other in others)
        assert re.fullmatch(pattern(names), name)
        assert not re.fullmatch(pattern(others), name)
    assert {float(name.split("_lr")[1].split("_seed")[0]) for name in names} == set(map(float, rates))


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.text())
def test_a_pattern_of_any_names_matches_these_alone(names, text):
    assert bool(re.fullmatch(pattern(names), text)) == (text in names)
    assert all(re.fullmatch(pattern(names), name) for name in names)


@given(
    st.integers(1, 10**6),
    st.lists(NUMBERS.filter(lambda number: float(number) > 1), min_size=1, max_size=4, unique_by=float),
    st.integers(0, 99),
)
@example(20, [1e16, 3.3000000000000003, 1e300, 2**60], 0)
def test_a_block_is_known_by_its_name(period, amplitudes, first):
    block = Block(period, tuple(map(float, amplitudes)), first, first + 9)
    assert NAME.fullmatch(block.name)
    assert Block.from_name(block.name) == block


@pytest.mark.parametrize(
    "name",
    ["T20_A1e16+_seeds0-1", "T20_A1.2.3_seeds0-1", "T20_A_seeds0-1", "T20_A5__6_seeds0-1", "T20_Ae_seeds0-1",
     "T20_A+5_seeds0-1", "T20_A5._seeds0-1", "T٢_A5_seeds0-1", "T20_A5e-1_seeds0-1", "T20_A5_seeds0-1\n"],
)  # fmt: skip
def test_what_is_no_number_names_no_block(name):
    assert NAME.fullmatch(name) is None
    with pytest.raises(ValueError, match="not the name of a block"):
        Block.from_name(name)
