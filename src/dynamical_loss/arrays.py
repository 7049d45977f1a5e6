"""Array types that signatures with shapes are built from.

A signature such as ``Float[AnyArray, "sample class_index"]`` states the precision and the shape of an array.
Type checkers read the array type alone.  The tests check the shapes too, on every call (`tests/shapes.py`).
"""

from __future__ import annotations

from typing import Any

import jax
import numpy.typing as npt

AnyArray = jax.Array | npt.NDArray[Any]
"""An array of JAX or of NumPy, for functions that accept both."""
