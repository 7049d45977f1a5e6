"""States of unfinished training as arrays that a checkpoint can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

_KINDS = "biuf"
"""Kinds of numbers, as numpy names them, that a file holds; of others it holds the bits."""


def as_arrays(state: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the leaves of a state by name; random keys, and numbers such as bfloat16, as whole numbers."""
    return {f"state_{index}": _stored(leaf) for index, leaf in enumerate(jax.tree.leaves(state))}


def from_arrays(like: Any, arrays: Mapping[str, Any]) -> Any:
    """Rebuild a state from the arrays of `as_arrays`, which may have been stored as other types.

    Args:
        like: a state with the same structure and types.
        arrays: leaves by name.
    """
    leaves, structure = jax.tree.flatten(like)
    found = [_restored(leaf, np.asarray(arrays[f"state_{index}"])) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, found)


def _stored(leaf: Any) -> npt.NDArray[Any]:
    array = np.asarray(jax.random.key_data(leaf) if _is_random_key(leaf) else leaf)
    return array if array.dtype.kind in _KINDS else array.view(f"u{array.itemsize}")


def _restored(like: Any, kept: npt.NDArray[Any]) -> Any:
    if _is_random_key(like):
        return jax.random.wrap_key_data(jnp.asarray(kept, np.uint32), impl=jax.random.key_impl(like))
    dtype = np.asarray(like).dtype
    return kept.astype(dtype) if dtype.kind in _KINDS else kept.view(dtype)


def _is_random_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
