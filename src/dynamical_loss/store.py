"""The only code that writes and reads NetCDF: atomic, checked, with provenance.

A file appears under its name only when it is whole, so a killed job leaves nothing that looks like a
result.  It carries the checksums of its content and of its attributes, and names the files that it was
made from with theirs.  What does not agree with its checksums is refused when it is read, in one line
with the command that rebuilds it.  Results in other formats have all of that in a JSON file beside them.
"""

from __future__ import annotations

import datetime
import errno
import itertools
import json
import os
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import netCDF4
import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss import checksums, provenance
from dynamical_loss.errors import UserError

CONTENT, ATTRIBUTES = "content_checksum", "attributes_checksum"
INPUTS = "inputs"
PUBLISHED, PUBLISHED_FROM = "published", "published_from"
"""Attributes of a small copy: what was left out, and the content's checksum of the result it shows."""

_OF_DATA = (
    "dataset",
    "dataset_description",
    "dataset_source",
    "dataset_source_sha256",
    "dataset_normalisation",
    "train_samples",
    "validation_samples",
    "steps_per_epoch",
)

_END = b"\nsha256 of all before: "

FILES = "files"
"""In a JSON file beside results: SHA-256 of each, by name."""

# What the NetCDF and HDF5 libraries and xarray raise on content that makes no sense.
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBE_BYTES = 2**20


class UnknownOriginError(UserError):
    """A file that no command of this package made, or an older version of it did."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends without an error.

    The suffix is kept, as writers choose a format by it.  The content is forced to disk before the
    rename.

    Raises:
        UserError: if there is no space for it.
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
        _keep_name(path.parent)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise UserError(
            f"{path} could not be written ({error.strerror}); free some space, and make it again"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _keep_name(folder: Path) -> None:
    """Force a folder's list of names to disk, so that a rename outlasts a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Inputs:
    """Reads the files that a result is made from, and remembers where they came from."""

    def __init__(self) -> None:
        self._attributes: dict[Path, dict[Any, Any]] = {}

    def read(self, path: Path, variables: Iterable[str] = (), made_by: str | None = None) -> xr.Dataset:
        """`read` a file that the result depends on.

        Args:
            path: the file.
            variables: names that must be in it.
            made_by: the stage that must have made it, e.g. ``train_trajectory``; any by default.

        Raises:
            UserError: if it cannot be read, lacks one of `variables` or is a result of another stage.
        """
        dataset = read(path)
        if made_by is not None:
            _require_stage(dataset, path, made_by)
        _require_variables(dataset, path, variables)
        self._attributes[path] = dataset.attrs
        return dataset

    @property
    def paths(self) -> list[Path]:
        """The files that were read."""
        return list(self._attributes)

    def checksums(self, folder: Path) -> dict[str, str]:
        """Content checksums by path relative to `folder`, so that a tree may be moved as a whole."""
        return {
            Path(os.path.relpath(path, folder)).as_posix(): str(attributes[CONTENT])
            for path, attributes in sorted(self._attributes.items())
        }

    def origins(self, path: Path) -> frozenset[str] | None:
        """Content checksums of what a file that was read was made from; None where it does not say.

        Raises:
            UserError: if it does not say and is no published copy.
        """
        attributes = self._attributes[path]
        if PUBLISHED in attributes and INPUTS not in attributes:
            return None
        return frozenset(map(str, recorded(attributes, INPUTS, path).values()))

    def require_made_from(self, result: Path, source: Path) -> None:
        """Refuse a result that was made from other content than that of `source`; both have been read.

        Of a published copy the content of the full result counts.

        Raises:
            UserError: one line that names both files.
        """
        origins, attributes = self.origins(result), self._attributes[source]
        if origins is not None and attributes.get(PUBLISHED_FROM, attributes[CONTENT]) not in origins:
            raise UserError(f"{result} was not made from {source} as it is now; {remedy(result)}")


class Provenance:
    """What is written into every file's global attributes; it times the work from its creation.

    Attributes:
        inputs: what the result is made from; whatever a stage reads, it reads through this.
    """

    def __init__(
        self,
        stage: str,
        settings: Mapping[str, Any],
        seeds: Sequence[int],
        precision: str,
        inputs: Inputs | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        """Start the clock.

        Args:
            stage: dotted name of the module that does the work; its digest is recorded.
            settings: what decided the result; recorded as JSON.
            seeds: the random seeds used, as given by the user.
            precision: ``float32`` or ``float64``.
            inputs: what has been read already, where the settings depend on it.
            modules: dotted names of further modules that do the work and that `stage` does not import.
        """
        self.inputs = inputs or Inputs()
        self._started = time.perf_counter()
        modules = (stage, *modules)
        commit, state = provenance.git_state()
        # Now, and not when a file is written: the sources may be edited while the work goes on.
        self._origin = {
            "source": ", ".join(modules),
            "git_commit": commit,
            "git_state": state,
            "code_digest": provenance.code_digest(*modules),
            "package_versions": provenance.package_versions(),
        }
        self._settings = json.loads(json.dumps(dict(settings), default=str))
        self._seeds = [int(seed) for seed in seeds]
        self._precision = precision
        self._resumed = 0

    def resume(self, attributes: Mapping[str, Any]) -> None:
        """Count in the work of an earlier attempt, whose unfinished file has these global attributes."""
        self._started -= float(attributes["wall_seconds"])
        self._resumed = int(attributes["resumed"]) + 1

    def attributes(self, folder: Path) -> dict[str, Any]:
        """Global attributes of a file finished now in `folder`."""
        backend, device = _device()
        return {
            "Conventions": "CF-1.10",
            **self._origin,
            "settings": json.dumps(self._settings, sort_keys=True),
            "settings_digest": provenance.settings_digest(self._settings),
            "backend": backend,
            "device": device,
            "precision": self._precision,
            "seeds": json.dumps(self._seeds),
            INPUTS: json.dumps(self.inputs.checksums(folder), sort_keys=True),
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
    bring_back(record.inputs.paths)
    _save(dataset.assign_attrs(record.attributes(path.parent)), path, {"complevel": 1})


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
        try:
            dataset.drop_attrs(deep=False).assign_attrs(_unsealed(dataset.attrs)).to_netcdf(
                temporary, engine="netcdf4", format="NETCDF4", encoding=encoding
            )
            seal(temporary)
        except RuntimeError:
            # HDF5 does not say why it could not write; where there is no space, a plain write does.
            with open(temporary, "ab") as stream:
                stream.write(bytes(_PROBE_BYTES))
            raise


def bring_back(inputs: Iterable[Path]) -> None:
    """Date files from the future to now, where that is allowed.

    If the clock jumps back after a file was made, what is made from it seems older than it is, and Snakemake
    throws such outputs away, with all the work in them.
    """
    for path in inputs:
        if path.stat().st_mtime > time.time():
            with suppress(OSError):
                # This machine's now: without a time, a file server would take its own.
                now = time.time()
                os.utime(path, (now, now))


def seal(path: Path) -> None:
    """Write a file's checksums into it, of what is really stored: the library may have rounded it.

    The SHA-256 of its bytes follows the end of what HDF5 reads: on some damaged bytes that library would
    never return, so `read` compares them first.
    """
    with _stored(path) as stored:
        sealed = {**_unsealed(stored.attrs), CONTENT: checksums.of_content(stored)}
    with netCDF4.Dataset(path, "a") as opened:
        opened.setncattr(CONTENT, sealed[CONTENT])
        opened.setncattr(ATTRIBUTES, _attributes_checksum(sealed))
    end = _END + checksums.of_file(path).encode()
    with open(path, "ab") as stream:
        stream.write(end)


def _end(path: Path) -> tuple[int, bytes]:
    """Size of a file without the checksum of its bytes, and that checksum; empty if there is none."""
    length = len(_END) + 64
    size = max(path.stat().st_size - length, 0)
    with open(path, "rb") as stream:
        stream.seek(size)
        end = stream.read(length)
    return size, end.removeprefix(_END) if end.startswith(_END) else b""


@contextmanager
def _stored(path: Path) -> Iterator[xr.Dataset]:
    """A file's values as they are stored, nothing decoded and not in memory yet."""
    # Opened by its name, xarray would keep a damaged file open, and HDF5 what it has read of it.
    with netCDF4.Dataset(path) as opened:
        values = xr.backends.NetCDF4DataStore(opened)  # type: ignore[no-untyped-call]
        yield xr.open_dataset(values, decode_cf=False, cache=False)


def _unsealed(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes without the checksums, which belong to one file alone."""
    return {name: value for name, value in attributes.items() if name not in (CONTENT, ATTRIBUTES)}


def sidecar(output: Path) -> Path:
    """The JSON file beside a result that is no NetCDF file."""
    return output.with_suffix(".json")


def write_sidecar(outputs: Sequence[Path], attributes: Mapping[str, Any], inputs: Iterable[Path]) -> None:
    """Write where results that are no NetCDF files came from, whole or not at all, beside them.

    Args:
        outputs: finished files; those of one folder and stem share a JSON file.
        attributes: as `Provenance.attributes` gives them.
        inputs: what they were made from, see `bring_back`.
    """
    bring_back(inputs)
    for path in sorted({sidecar(output) for output in outputs}):
        own = sorted(output for output in outputs if sidecar(output) == path)
        content: dict[str, Any] = {
            **attributes,
            FILES: {output.name: checksums.of_file(output) for output in own},
        }
        content[ATTRIBUTES] = _sidecar_checksum(content)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _sidecar_checksum(content: Mapping[str, Any]) -> str:
    return checksums.of_attributes({name: json.dumps(value) for name, value in _unsealed(content).items()})


def read_sidecar(path: Path) -> dict[str, Any]:
    """Attributes of the results beside a JSON file, which are compared with their checksums.

    Raises:
        UserError: if it is missing, no such file or damaged, or one of its results is.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {remedy(path)}") from None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict) or not isinstance(content.get(FILES), dict):
        raise UnknownOriginError(f"{path} names no results and was made by another program; {remedy(path)}")
    if content.get(ATTRIBUTES) != _sidecar_checksum(content):
        raise _differs(path)
    for name, checksum in content[FILES].items():
        result = path.parent / Path(name).name
        if not result.is_file():
            raise UserError(f"{result} does not exist; {remedy(result)}")
        try:
            same = checksums.of_file(result) == checksum
        except OSError as error:
            raise _damaged(result, error) from None
        if not same:
            raise _differs(result)
    return content


def remedy(path: Path) -> str:
    """What to do about a file that cannot be used as it is."""
    parts = path.parts
    shown = shlex.quote(str(path))
    if ("paper_figures", "data") in itertools.pairwise(parts[:-1]):
        return f"restore it with: git checkout -- {shown}"
    if parts[-2:-1] == ("paper_figures",):
        return f"make it with: snakemake --cores 1 --force {shown}"
    if "results" not in parts[:-2]:
        return "name another file, or write it anew"
    # A scale's results are made with the overlay of that name, where there is one.
    overlay = Path("workflow", "scales", f"{parts[parts.index('results') + 1]}.yaml")
    configfile = f" --configfile {shlex.quote(str(overlay))}" if overlay.is_file() else ""
    return f"make it with: snakemake --cores 1 --force {shown}{configfile}"


def check(path: Path) -> None:
    """Look at the end of a file, which notices a truncated one at little cost.

    Raises:
        UserError: if it is missing, damaged or without checksums, with the command to mend it.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy(path)}")
    try:
        if _end(path)[1]:
            return
        with netCDF4.Dataset(path) as opened:
            sealed = {CONTENT, ATTRIBUTES} <= set(opened.ncattrs())
    except _UNREADABLE as error:
        raise _damaged(path, error) from None
    if sealed:
        raise _damaged(path, ValueError("its end is missing"))
    raise UnknownOriginError(
        f"{path} has no checksum; it was made by another program or an older version; {remedy(path)}"
    )


def _damaged(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UserError(f"{path} is damaged ({reason.splitlines()[0]}); {remedy(path)}")


def _check_bytes(path: Path) -> None:
    """`check`, after a look at all bytes."""
    check(path)
    try:
        size, stated = _end(path)
        same = stated == checksums.of_file(path, size).encode()
    except OSError as error:
        raise _damaged(path, error) from None
    if not same:
        raise _differs(path)


def _differs(path: Path) -> UserError:
    return _damaged(path, ValueError("it differs from its checksum"))


def read(path: Path, variables: Iterable[str] = ()) -> xr.Dataset:
    """Read a whole file into memory and compare it with its checksums.

    Args:
        path: the file.
        variables: names that must be in it.

    Raises:
        UserError: if it is missing, damaged, without checksums or without one of `variables`, with the
            command to mend it.
    """
    _check_bytes(path)
    try:
        # What `write` stores needs no decoding, and so what is compared is what is returned.
        with _stored(path) as stored:
            dataset = stored.load()
        content, attributes = checksums.of_content(dataset), _attributes_checksum(dataset.attrs)
    except _UNREADABLE as error:
        raise _damaged(path, error) from None
    dataset.encoding["source"] = str(path)
    if (content, attributes) != (dataset.attrs[CONTENT], dataset.attrs[ATTRIBUTES]):
        raise _differs(path)
    _require_variables(dataset, path, variables)
    return dataset


def _attributes_checksum(attributes: Mapping[Any, Any]) -> str:
    return checksums.of_attributes({name: value for name, value in attributes.items() if name != ATTRIBUTES})


def checksum(path: Path) -> str:
    """The checksum that a file states of its content; whether it holds is for `read` to tell.

    Raises:
        UserError: if the file is missing, damaged or without checksums.
    """
    _check_bytes(path)
    try:
        with netCDF4.Dataset(path) as opened:
            return str(opened.getncattr(CONTENT))
    except _UNREADABLE as error:
        raise _damaged(path, error) from None


def _require_variables(dataset: xr.Dataset, path: Path, variables: Iterable[str]) -> None:
    absent = [name for name in variables if name not in dataset.variables]
    if absent:
        raise UserError(f"{path} has no variable '{absent[0]}'; {remedy(path)}")


def _require_stage(dataset: xr.Dataset, path: Path, stage: str) -> None:
    maker = str(dataset.attrs.get("source", "")).rpartition(".")[2]
    if maker != stage:
        raise UserError(
            f"{path} is not a result of {_command(stage)} but of {_command(maker) or 'another program'}; "
            "name another file"
        )


def _command(stage: str) -> str:
    return stage.replace("_", "-")


def of_data(dataset: xr.Dataset) -> dict[str, Any]:
    """What a file says of the data that a network was trained on; results made from it say the same.

    Returns:
        global attributes by name; those that the file does not have are left out.
    """
    return {name: dataset.attrs[name] for name in _OF_DATA if name in dataset.attrs}


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The settings that a file's provenance records.

    Raises:
        UserError: if it records none, so that no command of this package made it.
    """
    return recorded(dataset.attrs, "settings", Path(dataset.encoding.get("source", "a dataset")))


def setting(settings: Mapping[str, Any], path: str, absent: Any = None) -> Any:
    """One of the settings that a file records.

    Args:
        settings: from `settings_of`.
        path: ``a.b`` is key b of group a.
        absent: what to return where there is none.
    """
    found: Any = settings
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return absent
        found = found[key]
    return found


def recorded(attributes: Mapping[Any, Any], name: str, path: Path) -> dict[str, Any]:
    """An attribute that holds a JSON object, e.g. `INPUTS`.

    Raises:
        UserError: if there is none, so that no command of this package made the file.
    """
    try:
        values = json.loads(attributes[name])
    except (KeyError, TypeError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise UnknownOriginError(f"{path} has no attribute '{name}'; {remedy(path)}")
    return values
