"""Blocks: additions to a study make new blocks, and existing blocks keep their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamical_loss.grid import Block, LazyBlock, blocks, cell, threshold_run

PERIODS = st.lists(st.integers(1, 10**6), min_size=1, max_size=5, unique=True)
AMPLITUDES = st.lists(st.floats(1, 1e3, allow_nan=False), min_size=1, max_size=5, unique=True)
COUNTS = st.integers(1, 30)


@given(PERIODS, AMPLITUDES, COUNTS, COUNTS, st.integers(1, 6))
def test_blocks_hold_every_run_once(periods, amplitudes, seeds, seeds_per_block, amplitudes_per_block):
    found = blocks(periods, amplitudes, seeds, seeds_per_block, amplitudes_per_block)
    runs = [
        (block.period, amplitude, seed)
        for block in found
        for amplitude in block.amplitudes
        for seed in block.seeds
    ]
    assert len(set(runs)) == len(runs)
    assert max(len(block.amplitudes) for block in found) <= amplitudes_per_block
    asked = {
        (*cell(period, amplitude), seed)
        for period in periods
        for amplitude in amplitudes
        for seed in range(seeds)
    }
    assert asked <= set(runs)
    assert len({run[:2] for run in runs}) * (-(-seeds // seeds_per_block)) * seeds_per_block == len(runs)


@given(PERIODS, AMPLITUDES, COUNTS, st.integers(1, 6), st.integers(1, 10**6), st.floats(1, 1e3))
def test_an_appended_amplitude_changes_no_full_block(periods, amplitudes, seeds, together, period, amplitude):
    before = blocks(periods, amplitudes, seeds, 7, together)
    after = set(blocks([*periods, period], [*amplitudes, amplitude], seeds, 7, together))
    assert {block for block in before if len(block.amplitudes) == together} <= after


@given(PERIODS, AMPLITUDES, COUNTS, COUNTS, st.integers(1, 10**6), st.floats(1, 1e3), COUNTS)
def test_growing_a_study_keeps_all_blocks(periods, amplitudes, seeds, per_block, period, amplitude, more):
    before = set(blocks(periods, amplitudes, seeds, per_block))
    assert before <= set(blocks([period, *periods], amplitudes, seeds, per_block))
    assert before <= set(blocks(periods, [amplitude, *amplitudes], seeds, per_block))
    assert before <= set(blocks(periods, amplitudes, seeds + more, per_block))


@given(
    st.integers(1, 10**6),
    st.lists(st.floats(1, 1e300, exclude_min=True), min_size=1, max_size=4),
    st.integers(0, 1000),
    st.integers(0, 50),
)
def test_names_read_back_exactly(period, amplitudes, first, count):
    for block in (
        Block(period, tuple(amplitudes), first, first + count),
        Block(None, (1.0,), first, first + count),
    ):
        assert Block.from_name(block.name) == block


def test_a_name_says_what_the_block_holds():
    assert Block(200, (5.0, 7.5), 0, 9).name == "T200_A5_7.5_seeds0-9"


def test_the_static_loss_is_one_cell_for_all_periods():
    found = blocks([10, 20, 30], [1, 5], 4, 4)
    assert [block.name for block in found] == [
        "static_seeds0-3", "T10_A5_seeds0-3", "T20_A5_seeds0-3", "T30_A5_seeds0-3",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["T10_seeds0-3", "static", "T1.5_A2_seeds0-1", "../T1_A2_seeds0-1"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="not the name of a block"):
        Block.from_name(name)


def test_a_period_goes_with_amplitudes_above_one():
    with pytest.raises(ValueError, match="amplitudes above 1"):
        Block(10, (1.0,), 0, 0)
    with pytest.raises(ValueError, match="single amplitude 1"):
        Block(None, (1.0, 2.0), 0, 0)


def test_run_names_show_short_numbers():
    assert threshold_run("scaling", 100, 1.0, 2) == "threshold_scaling_w100_lr1_seed2"
    assert threshold_run("scaling", 100, 0.25, 0) == "threshold_scaling_w100_lr0.25_seed0"


@given(
    COUNTS,
    st.lists(st.floats(1e-8, 1e8, allow_nan=False), min_size=1, max_size=6, unique=True),
    st.integers(0, 2**31),
    COUNTS,
)
def test_a_block_of_gradient_flows_is_known_by_its_name(width, scales, data_seed, seeds):
    block = LazyBlock(width, tuple(scales), data_seed, 3, 3 + seeds)
    assert LazyBlock.from_name(block.name) == block


@pytest.mark.parametrize("name", ["h8_s1_seeds0-1", "h8_data0_s_seeds0-1", "T20_A10_seeds0-1"])
def test_other_names_are_no_blocks_of_gradient_flows(name):
    with pytest.raises(ValueError, match="is not the name of a block of gradient flows"):
        LazyBlock.from_name(name)
