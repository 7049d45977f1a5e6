"""Cut the (T, A, seed) grid of a phase study into blocks, and convert blocks to file names and back.

One job trains one block: one period, one or more amplitudes and a range of consecutive seeds.  The name of a
block states exactly these.  If a period, an amplitude or seeds are added to a study, the existing blocks keep
their names, and only the new blocks are trained.

Blocks of seeds are aligned and always whole (seeds 0-9, 10-19, … for ten seeds per block).  A request for
twelve seeds therefore trains twenty, and the aggregated file holds the first twelve.  Blocks of amplitudes
follow the order of the list.  With several amplitudes per block, an appended amplitude joins the last block
if that block is not full, and the block is trained again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dynamical_loss.notation import exact

LONGEST_NAME = 200
"""Largest number of characters in a name; file systems allow 255, and temporary files have longer names."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e\+[0-9]+)?"  # a number of at least 1, as `notation.exact` writes it

NAME = re.compile(rf"(?:static|T([0-9]+)_A({_NUMBER}(?:_{_NUMBER})*))_seeds([0-9]+)-([0-9]+)")
"""Pattern of the names of blocks of a phase study."""

_POSITIVE = r"[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?"

LAZY_NAME = re.compile(rf"h([0-9]+)_data([0-9]+)_s({_POSITIVE}(?:_{_POSITIVE})*)_seeds([0-9]+)-([0-9]+)")
"""Pattern of the names of blocks of gradient flows."""


class _Seeds:
    """The part that all blocks share: a range of initial seeds."""

    first_seed: int
    last_seed: int

    @property
    def seeds(self) -> range:
        """The initial seeds of this block."""
        return range(self.first_seed, self.last_seed + 1)


@dataclass(frozen=True)
class Block(_Seeds):
    """Cells of the grid and seeds that one job trains.

    Attributes:
        period: T in steps; None for the static loss (A = 1), which does not depend on T.
        amplitudes: A of each cell.
        first_seed: the first seed.
        last_seed: the last seed, inclusive.
    """

    period: int | None
    amplitudes: tuple[float, ...]
    first_seed: int
    last_seed: int

    def __post_init__(self) -> None:
        if self.period is None and self.amplitudes != (1.0,):
            raise ValueError("a block without a period must have the single amplitude 1")
        if self.period is not None and (not self.amplitudes or 1.0 in self.amplitudes):
            raise ValueError("a block with a period must have amplitudes above 1")

    @property
    def name(self) -> str:
        """File stem, e.g. ``T200_A10_seeds0-9``, ``T200_A5_10_seeds0-9`` or ``static_seeds0-9``."""
        amplitudes = "_".join(map(exact, self.amplitudes))
        cells = "static" if self.period is None else f"T{self.period}_A{amplitudes}"
        return f"{cells}_seeds{self.first_seed}-{self.last_seed}"

    @classmethod
    def from_name(cls, name: str) -> Block:
        """Return the block with a given file stem.

        Raises:
            ValueError: if `name` is not the name of a block.
        """
        match = NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"'{name}' is not the name of a block")
        period, amplitudes, first, last = match.groups()
        if period is None:
            return cls(None, (1.0,), int(first), int(last))
        return cls(int(period), tuple(map(float, amplitudes.split("_"))), int(first), int(last))


@dataclass(frozen=True)
class LazyBlock(_Seeds):
    """Gradient flows that one job of a lazy study computes, for one width and one split of the data.

    Attributes:
        width: h, number of hidden units in each layer.
        scales: √h·α of each flow.
        data_seed: seed of the split.
        first_seed: the first initial seed.
        last_seed: the last initial seed, inclusive.
    """

    width: int
    scales: tuple[float, ...]
    data_seed: int
    first_seed: int
    last_seed: int

    @property
    def name(self) -> str:
        """File stem, e.g. ``h64_data0_s0.01_1_100_seeds0-2``."""
        scales = "_".join(map(exact, self.scales))
        return f"h{self.width}_data{self.data_seed}_s{scales}_seeds{self.first_seed}-{self.last_seed}"

    @classmethod
    def from_name(cls, name: str) -> LazyBlock:
        """Return the block with a given file stem.

        Raises:
            ValueError: if `name` is not the name of a block.
        """
        match = LAZY_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"'{name}' is not the name of a block of gradient flows")
        width, data_seed, scales, first, last = match.groups()
        return cls(int(width), tuple(map(float, scales.split("_"))), int(data_seed), int(first), int(last))


def cell(period: int, amplitude: float) -> tuple[int | None, float]:
    """Return the cell in which (period, amplitude) is trained; all periods share one static cell."""
    return (None if amplitude == 1.0 else int(period), float(amplitude))


def blocks(
    periods: Iterable[int],
    amplitudes: Iterable[float],
    seeds: int,
    seeds_per_block: int,
    amplitudes_per_block: int = 1,
    first_seed: int = 0,
) -> list[Block]:
    """Return all blocks of a study, each once.

    Args:
        periods: T, in steps.
        amplitudes: A, at least 1.
        seeds: number of seeds requested.
        seeds_per_block: number of seeds in each block.
        amplitudes_per_block: largest number of amplitudes in a block.
        first_seed: the first seed, a multiple of `seeds_per_block`.
    """
    amplitudes = [float(amplitude) for amplitude in amplitudes]
    dynamical = [amplitude for amplitude in amplitudes if amplitude != 1.0]
    groups = [
        tuple(dynamical[first : first + amplitudes_per_block])
        for first in range(0, len(dynamical), amplitudes_per_block)
    ]
    cells: list[tuple[int | None, tuple[float, ...]]] = [
        (int(period), group) for period in periods for group in groups
    ]
    if 1.0 in amplitudes:
        cells.insert(0, (None, (1.0,)))
    return [
        Block(period, group, first, first + seeds_per_block - 1)
        for period, group in cells
        for first in range(first_seed, first_seed + seeds, seeds_per_block)
    ]


def last_period_boundary(steps: int, period: int) -> int:
    """Return the step at which the oscillation ends, so that the last period is static, as in the paper.

    The oscillation ends at the latest multiple of T that leaves at least T steps; at a multiple of T, all Γ
    are 1.  A run whose length is not a multiple of T therefore has a static stretch of one to two periods.

    Args:
        steps: length of the run in steps.
        period: T, in steps.

    Raises:
        ValueError: if fewer than two periods fit into the run.

    Examples:
        >>> last_period_boundary(1000, 300)
        600
    """
    if period <= 0 or 2 * period > steps:
        raise ValueError(f"a period of {period} leaves no static period in {steps} steps")
    return period * (steps // period - 1)


def oscillation_end(
    steps: int, period: int, *, stop: float | None = None, most_periods: int | None = None
) -> int:
    """Return the first step at which the oscillation has ended and Γ stays 1.

    If `stop` is given, it says where the oscillation ends.  Otherwise it ends where the last period starts,
    or earlier if the number of periods is limited.

    Args:
        steps: length of the run in steps.
        period: steps from one class to the next: T plus the rest steps after it.
        stop: the setting `oscillation_stop`, a fraction of the run.
        most_periods: largest number of periods: the setting `loss.cycles` times the number of classes.

    Raises:
        ValueError: if fewer than two periods fit into the run, and `stop` is None.

    Examples:
        >>> oscillation_end(1000, 100), oscillation_end(1000, 100, most_periods=6)
        (900, 600)
    """
    if stop is not None:
        return round(stop * steps)
    end = last_period_boundary(steps, period)
    return end if most_periods is None else min(end, most_periods * period)


def threshold_run(study: str, width: int, learning_rate: float, seed: int) -> str:
    """Return the name of a run of a threshold study (Fig. 5a)."""
    return f"threshold_{study}_w{width}_lr{exact(learning_rate)}_seed{seed}"


def trajectory_run(study: str, seed: int) -> str:
    """Return the name of a run of a trajectory study."""
    return f"{study}_seed{seed}"


def draw(name: str, noise_seed: int) -> str:
    """Return the name of the draw of a dataset, or of a study, from a noise seed."""
    return f"{name}_noise{noise_seed}"


def trajectory_runs(study: str, seeds: int) -> list[str]:
    """Return the names of all runs of a trajectory study, with seeds 0 … seeds−1."""
    return [trajectory_run(study, seed) for seed in range(seeds)]
