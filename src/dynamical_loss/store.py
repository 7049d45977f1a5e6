"""The only code that writes and reads NetCDF: atomic, checked, with provenance.

A file appears under its name only when it is whole, so a killed job leaves nothing that looks like a
result.  Every variable carries a checksum (Fletcher-32), so a damaged file is noticed when it is read
and reported in one line with the command that rebuilds it.
"""

from __future__ import annotations

import datetime
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss import provenance
from dynamical_loss.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends without an error.

    The suffix is kept, as writers choose a format by it.  The content is forced to disk before the
    rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Provenance:
    """What is written into every file's global attributes; it times the work from its creation."""

    def __init__(self, stage: str, settings: Mapping[str, Any], seeds: Sequence[int], precision: str) -> None:
        """Start the clock.

        Args:
            stage: dotted name of the module that does the work; its digest is recorded.
            settings: what decided the result; recorded as JSON.
            seeds: the random seeds used, as given by the user.
            precision: ``float32`` or ``float64``.
        """
        self._started = time.perf_counter()
        self._stage = stage
        self._settings = json.loads(json.dumps(dict(settings), default=str))
        self._seeds = [int(seed) for seed in seeds]
        self._precision = precision
        self._resumed = 0

    def resume(self, attributes: Mapping[str, Any]) -> None:
        """Count in the work of an earlier attempt, whose unfinished file has these global attributes."""
        self._started -= float(attributes["wall_seconds"])
        self._resumed = int(attributes["resumed"]) + 1

    def attributes(self) -> dict[str, Any]:
        """Global attributes of a file finished now."""
        commit, state = provenance.git_state()
        backend, device = _device()
        return {
            "Conventions": "CF-1.10",
            "source": self._stage,
            "git_commit": commit,
            "git_state": state,
            "code_digest": provenance.code_digest(self._stage),
            "settings": json.dumps(self._settings, sort_keys=True),
            "settings_digest": provenance.settings_digest(self._settings),
            "package_versions": provenance.package_versions(),
            "backend": backend,
            "device": device,
            "precision": self._precision,
            "seeds": json.dumps(self._seeds),
            "wall_seconds": round(time.perf_counter() - self._started, 3),
            "resumed": self._resumed,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }


def _device() -> tuple[str, str]:
    """Backend and device name, without starting JAX in a stage that never used it."""
    import sys

    if "jax" not in sys.modules:
        return "none", "none"
    import jax

    return jax.default_backend(), jax.devices()[0].device_kind


class Variables:
    """Collects variables with the metadata that the file contract asks of each."""

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
        """Add a variable or (when named like its only dimension) a coordinate.

        Args:
            name: the variable's name.
            dimensions: its dimensions.
            values: array of matching rank; booleans are stored as 0 and 1.
            long_name: what it is, in words.
            units: CF units, ``1`` where dimensionless.
            reference: the paper's equation or figure it belongs to.
        """
        array = np.asarray(values)
        if array.dtype == bool:
            array = array.astype(np.int8)
        attributes = {"long_name": long_name, "units": units, "reference": reference}
        self._variables[name] = (tuple(dimensions), array, attributes)
        return self

    def dataset(self) -> xr.Dataset:
        """All variables as one dataset."""
        coordinates = {name: item for name, item in self._variables.items() if item[0] == (name,)}
        return xr.Dataset(
            {name: item for name, item in self._variables.items() if name not in coordinates},
            coords=coordinates,
        )


def write(dataset: xr.Dataset, path: Path, record: Provenance) -> None:
    """Write `dataset` with the attributes of `record`: whole or not at all.

    Raises:
        ValueError: if a variable lacks ``long_name``, ``units`` or ``reference``.
    """
    for name, variable in dataset.variables.items():
        missing = {"long_name", "units", "reference"} - set(variable.attrs)
        if missing:
            raise ValueError(f"variable {name} lacks {', '.join(sorted(missing))}")
    _save(dataset.assign_attrs(record.attributes()), path, {"complevel": 1})


def write_small(dataset: xr.Dataset, path: Path, significant_digits: Mapping[str, int], default: int) -> None:
    """Write a dataset that already has its attributes, in as few bytes as its digits need.

    Args:
        dataset: what is written; its attributes are kept.
        path: the file.
        significant_digits: decimal digits kept of floating-point variables, by name.
        default: digits kept of those not named.
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
            encoding[str(name)] = {"fletcher32": True, "zlib": True, **compression}
            encoding[str(name)] |= (special or {}).get(str(name), {})
        if variable.dtype.kind == "f":
            encoding.setdefault(str(name), {})["_FillValue"] = None
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)


def _remedy(path: Path) -> str:
    """What to do about a file that cannot be read."""
    parts = path.parts
    if "paper_figures" in parts[:-1]:
        return f"restore it with: git checkout -- {path}"
    if "results" not in parts[:-2]:
        return "name another file, or write it anew"
    # A scale's results are made with the overlay of that name, where there is one.
    overlay = Path("workflow", "scales", f"{parts[parts.index('results') + 1]}.yaml")
    configfile = f" --configfile {overlay}" if overlay.is_file() else ""
    return f"make it with: snakemake --cores 1 --force {path}{configfile}"


def check(path: Path) -> None:
    """Open a file without reading its values, which notices a truncated one at little cost.

    Raises:
        UserError: if it is missing or damaged, with the command to mend it.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; {_remedy(path)}")
    try:
        with netCDF4.Dataset(path):
            pass
    except (OSError, RuntimeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UserError(f"{path} is damaged ({reason.splitlines()[0]}); {_remedy(path)}")


def read(path: Path, variables: Iterable[str] = ()) -> xr.Dataset:
    """Read a whole file into memory.

    Args:
        path: the file.
        variables: names that must be in it.

    Raises:
        UserError: if it is missing, damaged, or lacks one of `variables`, with the command to mend it.
    """
    check(path)
    try:
        with xr.open_dataset(path, engine="netcdf4") as opened:
            dataset = opened.load()
    except (OSError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from None
    absent = [name for name in variables if name not in dataset.variables]
    if absent:
        raise UserError(f"{path} has no variable '{absent[0]}'; {_remedy(path)}")
    return dataset


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The settings that a file's provenance records.

    Raises:
        UserError: if it records none, so that no command of this package made it.
    """
    if "settings" not in dataset.attrs:
        path = Path(dataset.encoding.get("source", "a dataset"))
        raise UserError(f"{path} has no attribute 'settings'; {_remedy(path)}")
    values: dict[str, Any] = json.loads(dataset.attrs["settings"])
    return values
