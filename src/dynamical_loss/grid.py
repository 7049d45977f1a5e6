"""The (T, A, seed) grid of a phase study, cut into blocks; block ↔ file name.

A block is what one job trains: one (period, amplitude) cell and a run of seeds.  Its name says all of
that and nothing else, so a period, an amplitude or seeds added to a study leave the names of the
blocks that exist as they are, and only the new ones are trained.  Blocks of seeds are aligned and
always whole (seeds 0-9, 10-19, … at ten a block): a request for twelve seeds trains twenty, and the
aggregated file holds the twelve.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

NAME = re.compile(r"(?:static|T(\d+)_A([^_]+))_seeds(\d+)-(\d+)")


@dataclass(frozen=True)
class Block:
    """One cell of the grid and the seeds of one job.

    Attributes:
        period: T in steps; None for the static loss (A = 1), which no period changes.
        amplitude: A.
        first_seed: the first seed.
        last_seed: the last seed, included.
    """

    period: int | None
    amplitude: float
    first_seed: int
    last_seed: int

    def __post_init__(self) -> None:
        if (self.period is None) != (self.amplitude == 1.0):
            raise ValueError("a block has no period if and only if its amplitude is 1")

    @property
    def seeds(self) -> range:
        """The seeds trained in this block."""
        return range(self.first_seed, self.last_seed + 1)

    @property
    def name(self) -> str:
        """File stem, e.g. ``T200_A10_seeds0-9`` or ``static_seeds0-9``."""
        cell = "static" if self.period is None else f"T{self.period}_A{_number(self.amplitude)}"
        return f"{cell}_seeds{self.first_seed}-{self.last_seed}"

    @classmethod
    def from_name(cls, name: str) -> Block:
        """The block of a file stem.

        Raises:
            ValueError: if `name` is not the name of a block.
        """
        match = NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"'{name}' is not the name of a block")
        period, amplitude, first, last = match.groups()
        if period is None:
            return cls(None, 1.0, int(first), int(last))
        return cls(int(period), float(amplitude), int(first), int(last))


def _number(value: float) -> str:
    """Shortest text that reads back as the same number, without a trailing ``.0``."""
    return repr(float(value)).removesuffix(".0")


def cell(period: int, amplitude: float) -> tuple[int | None, float]:
    """The cell that (period, amplitude) is trained in: all periods share the static one."""
    return (None if amplitude == 1.0 else int(period), float(amplitude))


def blocks(
    periods: Iterable[int], amplitudes: Iterable[float], seeds: int, seeds_per_block: int
) -> list[Block]:
    """All blocks of a study, each once.

    Args:
        periods: T, steps.
        amplitudes: A.
        seeds: number of seeds asked for, 0 … seeds−1.
        seeds_per_block: seeds in each block.
    """
    amplitudes = list(amplitudes)
    cells = dict.fromkeys(cell(period, amplitude) for period in periods for amplitude in amplitudes)
    return [
        Block(period, amplitude, first, first + seeds_per_block - 1)
        for period, amplitude in cells
        for first in range(0, seeds, seeds_per_block)
    ]


def threshold_run(width: int, learning_rate: float, seed: int) -> str:
    """Name of a run of the threshold study (Fig. 5a)."""
    return f"threshold_w{width}_lr{_number(learning_rate)}_seed{seed}"


def trajectory_run(study: str, seed: int) -> str:
    """Name of a run of a trajectory study."""
    return f"{study}_seed{seed}"
