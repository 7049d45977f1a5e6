"""A checkpoint for tests of the engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]


class Kept:
    """A checkpoint in memory that interrupts training at its n-th offer.

    Args:
        interrupt_at: number of the offer that is kept and interrupts training; None: no interruption.
        kept: state from which training resumes; None: training starts at step 0.
    """

    def __init__(self, interrupt_at: int | None = None, kept: State | None = None) -> None:
        self.interrupt_at, self.kept, self.offers = interrupt_at, kept, 0

    def restore(self) -> State | None:
        """Return the kept state; None if there is none."""
        return self.kept

    def offer(self, unfinished: Callable[[], Mapping[str, Any]]) -> None:
        """Count the offer; keep the state and raise InterruptedError if this offer is the chosen one."""
        self.offers += 1
        if self.offers == self.interrupt_at:
            self.kept = {name: _as_in_a_file(np.array(value)) for name, value in unfinished().items()}
            raise InterruptedError


def _as_in_a_file(values: np.ndarray) -> np.ndarray:
    """Return values as NetCDF keeps them: truth values as small integers, and no other types than numbers."""
    assert values.dtype.kind in "biuf"
    return values.astype(np.int8) if values.dtype == bool else values
