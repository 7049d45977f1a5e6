"""Compute checksums of the content of files: equal numbers have equal checksums, whenever they were computed.

A checksum is the SHA-256 of a stream of pieces, each preceded by its length in bytes as eight bytes,
little-endian.  An array consists of the pieces

    dtype, shape, values

with the dtype as numpy writes it (``<f8``, ``|i1``, or ``str`` for text), the shape as JSON, and the
values in C order, little-endian.  In an array of text, every string is a separate piece, in UTF-8.
Attributes are sorted by name, and each consists of its name and its value as an array of one dimension.  The
variables of a dataset are sorted by name, and each consists of its name, its dimensions as JSON, the number
of its attributes, these attributes, and its array.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

_CHUNK_BYTES = 2**24


class _Digest(Protocol):
    def update(self, data: Any, /) -> None: ...
    def hexdigest(self) -> str: ...


def of_content(dataset: xr.Dataset) -> str:
    """Return the checksum of all variables with their attributes; global attributes do not count.

    Args:
        dataset: dataset as it is stored, without any decoding.  Values that are not in memory are read in
            parts, and are not kept.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        _piece(digest, name.encode())
        _piece(digest, json.dumps([str(dimension) for dimension in variable.dims]).encode())
        _piece(digest, str(len(variable.attrs)).encode())
        _attributes(digest, variable.attrs)
        _array(digest, variable)
    return digest.hexdigest()


def of_attributes(attributes: Mapping[str, Any]) -> str:
    """Return the checksum of attributes, 64 hexadecimal digits; their order does not matter."""
    digest = hashlib.sha256()
    _attributes(digest, attributes)
    return digest.hexdigest()


def of_file(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 of a file's bytes, or of its first `size` bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    left = path.stat().st_size if size is None else size
    with open(path, "rb") as stream:
        while part := stream.read(min(left, _CHUNK_BYTES)):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _piece(digest: _Digest, data: bytes) -> None:
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)


def _attributes(digest: _Digest, attributes: Mapping[Any, Any]) -> None:
    for name in sorted(map(str, attributes)):
        value = attributes[name]
        _piece(digest, name.encode())
        # NetCDF stores a single value and a list of one value in the same way.
        _array(digest, xr.Variable("value", np.atleast_1d(value)))


def _array(digest: _Digest, variable: xr.Variable) -> None:
    text = variable.dtype.kind in "OUT"
    dtype = "str" if text else variable.dtype.newbyteorder("<").str
    _piece(digest, dtype.encode())
    _piece(digest, json.dumps(variable.shape).encode())
    if text:
        for string in np.ravel(variable.values):
            _piece(digest, str(string).encode())
        return
    digest.update(variable.nbytes.to_bytes(8, "little"))
    if variable.ndim == 0:
        digest.update(_bytes(variable.values))
        return
    row_bytes = variable.nbytes // max(variable.shape[0], 1)
    rows = max(1, _CHUNK_BYTES // max(row_bytes, 1))
    for first in range(0, variable.shape[0], rows):
        digest.update(_bytes(variable[first : first + rows].values))


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    """Return values in C order, little-endian; values that are stored so are not copied."""
    native = np.asarray(values, order="C")
    return native.astype(native.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data
