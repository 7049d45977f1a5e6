"""Numbers between 0 and 1 in 16 bits, as the pages carry them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UNIT = 65_534
"""Value that stands for 1."""

UNKNOWN = 65_535
"""Value that stands for a number that is not finite."""


def sixteen_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Return values between 0 and 1 as multiples of 1/`UNIT`, and `UNKNOWN` where they are not finite.

    Args:
        values: numbers of any shape; those beyond 0 and 1 become 0 and 1.

    Returns:
        whole numbers of the same shape.
    """
    known = np.isfinite(values)
    whole = np.round(np.clip(np.where(known, values, 0.0), 0, 1) * UNIT)
    return np.asarray(np.where(known, whole, UNKNOWN), np.uint16)
