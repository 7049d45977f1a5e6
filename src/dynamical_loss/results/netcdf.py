"""Write and read NetCDF files atomically and with checksums.  No other module writes or reads NetCDF.

A file appears under its name only when it is complete, so a killed job leaves nothing that looks like a
result.  The file holds the checksums of its content and of its attributes.  It also names the files that it
was made from, with their checksums.  A file that does not agree with its checksums is refused when it is
read, with an error of one line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

# HDF5 reads this variable once, when it is loaded.  A file gets its name only when it is complete, so no lock
# is needed, and file systems of clusters often support no locks.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.errors import ResultError, UnknownOriginError
from dynamical_loss.results import checksums
from dynamical_loss.results.files import (
    atomic_path,
    bring_back,
    damaged,
    differs,
    not_understood,
    reading,
    unreadable,
)
from dynamical_loss.results.recorded import ATTRIBUTES, CONTENT, unsealed

_END = b"\nsha256 of all before: "

# Exceptions that the NetCDF and HDF5 libraries and xarray raise for a file that they cannot read.
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)

_PROBE_BYTES = 2**20
_WORTH_PACKING = (
    4096  # bytes; for a smaller variable the index of its chunks takes more space than compression saves
)
_HDF5 = b"\x89HDF\r\n\x1a\n"  # first bytes of every HDF5 file


class Variables:
    """Collection of variables, each with the metadata that the file contract requires."""

    def __init__(self) -> None:
        self._variables: dict[str, tuple[tuple[str, ...], npt.NDArray[Any], dict[str, str]]] = {}

    def add(
        self,
        name: str,
        dimensions: Sequence[str],
        values: npt.ArrayLike,
        long_name: str,
        *,
        units: str = "1",
        reference: str,
    ) -> Self:
        """Add a variable, or a coordinate if the name is that of its only dimension.

        Args:
            name: name of the variable.
            dimensions: names of its dimensions.
            values: array of matching rank; booleans are stored as 0 and 1.
            long_name: description in words.
            units: CF units, ``1`` if dimensionless.
            reference: the paper's equation or figure that the variable belongs to.
        """
        array = np.asarray(values)
        if array.dtype == bool:
            array = array.astype(np.int8)
        attributes = {"long_name": long_name, "units": units, "reference": reference}
        self._variables[name] = (tuple(dimensions), array, attributes)
        return self

    def dataset(self) -> xr.Dataset:
        """Return all variables as one dataset."""
        coordinates = {name: item for name, item in self._variables.items() if item[0] == (name,)}
        return xr.Dataset(
            {name: item for name, item in self._variables.items() if name not in coordinates},
            coords=coordinates,
        )


def write(dataset: xr.Dataset, path: Path, made_from: Iterable[Path] = ()) -> None:
    """Write a dataset with its global attributes; after a failure there is no file.

    Args:
        dataset: dataset to write; `record.Provenance.write` adds the attributes of a result.
        path: file to write.
        made_from: files that the dataset was made from, see `files.bring_back`.

    Raises:
        ValueError: if a variable lacks ``long_name``, ``units`` or ``reference``.
    """
    for name, variable in dataset.variables.items():
        absent = {"long_name", "units", "reference"} - set(variable.attrs)
        if absent:
            raise ValueError(f"variable {name} lacks {', '.join(sorted(absent))}")
    bring_back(made_from)
    _save(dataset, path, {"complevel": 1})


def write_small(dataset: xr.Dataset, path: Path, significant_digits: Mapping[str, int], default: int) -> None:
    """Write a dataset that already has its attributes, in as few bytes as the kept digits need.

    Args:
        dataset: dataset to write; its attributes are kept.
        path: file to write.
        significant_digits: number of decimal digits to keep, by the name of a floating-point variable.
        default: number of decimal digits to keep for floating-point variables that are not named.
    """
    floats = [name for name, variable in dataset.data_vars.items() if variable.dtype.kind == "f"]
    digits: dict[str, dict[str, Any]] = {
        str(name): {
            "significant_digits": significant_digits.get(str(name), default),
            "quantize_mode": "GranularBitRound",
        }
        for name in floats
        if dataset[name].ndim > 0
    }
    _save(dataset, path, {"complevel": 9, "shuffle": True}, digits)


def _save(
    dataset: xr.Dataset,
    path: Path,
    compression: Mapping[str, Any],
    special: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "biuf" and variable.ndim > 0 and variable.size > 0:
            packed = {"fletcher32": True, "zlib": True, **compression}
            encoding[str(name)] = dict(packed if variable.nbytes >= _WORTH_PACKING else {})
            encoding[str(name)] |= (special or {}).get(str(name), {})
        if variable.dtype.kind == "f":
            encoding.setdefault(str(name), {})["_FillValue"] = None
    with atomic_path(path) as temporary:
        try:
            dataset.drop_attrs(deep=False).assign_attrs(unsealed(dataset.attrs)).to_netcdf(
                temporary, engine="netcdf4", format="NETCDF4", encoding=encoding
            )
            seal(temporary)
        except RuntimeError:
            # HDF5 does not say why it could not write.  If the disk is full, this plain write raises the
            # reason.
            with open(temporary, "ab") as stream:
                stream.write(bytes(_PROBE_BYTES))
            raise


def seal(path: Path) -> None:
    """Write the checksums of a file into the file.

    They are computed from the stored values, because the library may have rounded the values.  The SHA-256 of
    the bytes follows the end of the part that HDF5 reads.  On some damaged files HDF5 never returns, so
    `read` compares this checksum first.
    """
    with _stored(path) as stored:
        sealed = {**unsealed(stored.attrs), CONTENT: checksums.of_content(stored)}
    with netCDF4.Dataset(path, "a") as opened:
        opened.setncattr(CONTENT, sealed[CONTENT])
        opened.setncattr(ATTRIBUTES, _attributes_checksum(sealed))
    end = _END + checksums.of_file(path).encode()
    with open(path, "ab") as stream:
        stream.write(end)


def _end(path: Path) -> tuple[int, bytes]:
    """Return the size of a file without the checksum of its bytes, and that checksum, empty if absent."""
    length = len(_END) + 64
    size = max(path.stat().st_size - length, 0)
    with open(path, "rb") as stream:
        stream.seek(size)
        end = stream.read(length)
    return size, end.removeprefix(_END) if end.startswith(_END) else b""


@contextmanager
def _stored(path: Path) -> Iterator[xr.Dataset]:
    """Open a file; its values are neither decoded nor loaded into memory."""
    # If xarray opened a damaged file by its name, xarray would keep it open, and HDF5 would keep data of it.
    with netCDF4.Dataset(path) as opened:
        values = xr.backends.NetCDF4DataStore(opened)  # type: ignore[no-untyped-call]
        yield xr.open_dataset(values, decode_cf=False, cache=False)


def check(path: Path) -> None:
    """Check the end of a file, which detects a truncated file at little cost.

    Raises:
        ResultError: if the file is missing, damaged or without checksums.
        UnreadableError: if the system refuses to read the file.
    """
    with reading(path):
        if _end(path)[1]:
            return
        with open(path, "rb") as stream:
            begin = stream.read(len(_HDF5))
    if not begin:
        raise damaged(path, "it is empty")
    if begin != _HDF5:
        raise UnknownOriginError(f"{path} is no NetCDF-4 file", path)
    try:
        with netCDF4.Dataset(path) as opened:
            sealed = {CONTENT, ATTRIBUTES} <= set(opened.ncattrs())
    except _UNREADABLE as error:
        if isinstance(error, OSError) and (error.errno or 0) > 0:
            raise unreadable(path, error) from None
        # HDF5 knows how long the file has to be, so the file is truncated.
        sealed = True
    if sealed:
        raise damaged(path, "its end is missing")
    raise UnknownOriginError(
        f"{path} has no checksum; it was made by another program or an older version", path
    )


def _check_bytes(path: Path) -> None:
    """Check the end of a file, see `check`, and then the checksum of all its bytes."""
    check(path)
    with reading(path):
        size, stated = _end(path)
        same = stated == checksums.of_file(path, size).encode()
    if not same:
        raise differs(path)


def read(path: Path, variables: Iterable[str] = ()) -> xr.Dataset:
    """Read a whole file into memory and compare it with its checksums.

    Args:
        path: file to read.
        variables: names of variables that the file must have.

    Raises:
        ResultError: if the file is missing, damaged, without checksums or without one of `variables`.
        UnreadableError: if the system or the library cannot read the file, which may be intact.
    """
    _check_bytes(path)
    try:
        # `write` stores values that need no decoding, so the compared values are the returned ones.
        with _stored(path) as stored:
            dataset = stored.load()
        content, attributes = checksums.of_content(dataset), _attributes_checksum(dataset.attrs)
    except _UNREADABLE as error:
        raise not_understood(path, error) from None
    dataset.encoding["source"] = str(path)
    if (content, attributes) != (dataset.attrs[CONTENT], dataset.attrs[ATTRIBUTES]):
        raise differs(path)
    require_variables(dataset, path, variables)
    return dataset


def _attributes_checksum(attributes: Mapping[Any, Any]) -> str:
    return checksums.of_attributes({name: value for name, value in attributes.items() if name != ATTRIBUTES})


def checksum(path: Path) -> str:
    """Return the checksum of the content that a file states; only `read` compares it with the content.

    Raises:
        ResultError: if the file is missing, damaged or without checksums.
        UnreadableError: if the system or the library cannot read the file, which may be intact.
    """
    _check_bytes(path)
    try:
        with netCDF4.Dataset(path) as opened:
            return str(opened.getncattr(CONTENT))
    except _UNREADABLE as error:
        raise not_understood(path, error) from None


def require_variables(dataset: xr.Dataset, path: Path, variables: Iterable[str]) -> None:
    """Refuse a file that lacks one of `variables`.

    Raises:
        ResultError: if a variable is absent; the message names the first one.
    """
    absent = [name for name in variables if name not in dataset.variables]
    if absent:
        raise ResultError(f"{path} has no variable '{absent[0]}'", path)
