"""Record the provenance of a result: its inputs, its code, its settings and the machine that computed it."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from dynamical_loss import environment, processor
from dynamical_loss.errors import ResultError, UserError
from dynamical_loss.results import digest, energy, headers, netcdf, sidecars
from dynamical_loss.results.digest import Code
from dynamical_loss.results.recorded import CONTENT, INPUTS, PUBLISHED, PUBLISHED_FROM, recorded

# Publishing results changes the working tree between two jobs, but changes no number.
_SOURCES = (".", ":!paper_figures")
_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "matfree",
    "neural-tangents",
    "numba",
    "llvmlite",
    "numpy",
    "xarray",
    "pillow",
    "scikit-learn",
)


class Inputs:
    """Reader of the input files of a result, which remembers their attributes."""

    def __init__(self) -> None:
        self._attributes: dict[Path, dict[Any, Any]] = {}

    def read(
        self, path: Path, variables: Iterable[str] = (), made_by: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """Read a file that the result depends on.

        Args:
            path: file to read.
            variables: names of variables that the file must have.
            made_by: stage that must have made the file, e.g. ``train_trajectory``, or several stages, one of
                which must have made it; None allows any stage.

        Raises:
            UserError: if the file cannot be read, lacks one of `variables`, or is a result of another stage.
        """
        dataset = netcdf.read(path)
        if made_by is not None:
            _require_stage(dataset, path, made_by)
        netcdf.require_variables(dataset, path, variables)
        self._attributes[path] = dataset.attrs
        return dataset

    def compare(self, path: Path) -> None:
        """Compare a file that the result depends on and that is no NetCDF file with its sidecar.

        Args:
            path: table or picture; the caller reads it.

        Raises:
            UserError: if the file or its sidecar is missing or damaged.
        """
        self._attributes[path] = {CONTENT: sidecars.checksum(path)}

    @property
    def paths(self) -> list[Path]:
        """Files that were read or compared."""
        return list(self._attributes)

    def checksums(self, folder: Path) -> dict[str, str]:
        """Return content checksums by path relative to `folder`; a tree may thus be moved as a whole."""
        return {
            Path(os.path.relpath(path, folder)).as_posix(): str(attributes[CONTENT])
            for path, attributes in sorted(self._attributes.items())
        }

    def origins(self, path: Path) -> frozenset[str] | None:
        """Return the content checksums of the inputs of a file that was read; None if they are unknown.

        Raises:
            UserError: if the file does not record its inputs and is no published copy.
        """
        attributes = self._attributes[path]
        if PUBLISHED in attributes and INPUTS not in attributes:
            return None
        return frozenset(map(str, recorded(attributes, INPUTS, path).values()))

    def require_made_from(self, result: Path, source: Path) -> None:
        """Refuse a result that was not made from the present content of `source`.

        Both files must have been read before.  If `source` is a published copy, the content of the full
        result counts.

        Raises:
            UserError: if the result was made from other content; the message names both files.
        """
        origins, attributes = self.origins(result), self._attributes[source]
        if origins is not None and attributes.get(PUBLISHED_FROM, attributes[CONTENT]) not in origins:
            raise ResultError(f"{result} was not made from {source} as it is now", result)


class Provenance:
    """Provenance that is written into the global attributes of every file, with the time since its creation.

    Attributes:
        inputs: reader of the input files; a stage reads every file through this reader.
    """

    def __init__(
        self,
        code: Code | str,
        settings: Mapping[str, Any],
        seeds: Sequence[int],
        precision: str,
        inputs: Inputs | None = None,
        computed_by: str = "",
    ) -> None:
        """Start the clock.

        Args:
            code: code that does the work, or the dotted name of its module; its digest is recorded.
            settings: settings that determine the result; recorded as JSON.
            seeds: random seeds that are used, as given by the user.
            precision: ``float32`` or ``float64``.
            inputs: reader with the files that have been read already; None creates a new reader.
            computed_by: name of the library that computes products of a network besides JAX's own programs;
                empty if there is none.

        Raises:
            UserError: if another digest of the code is expected, see `digest.expecting`; or if JAX would
                compute with other settings than it should, see `environment.require_pinned`.
        """
        # Checked before the work begins, because the work sets its own precision while it runs.
        environment.require_pinned()
        self.inputs = inputs or Inputs()
        self._started = time.perf_counter()
        self._energy, self._joules = energy.counters(), 0.0
        code = Code((code,)) if isinstance(code, str) else code
        digest_now = code.digest
        if digest.expected() not in (None, digest_now):
            # The result would be kept, perhaps in a shared cache, under the digest of the planned code.
            raise UserError("the code was edited after this work was planned; run the same command again")
        commit, state = git_state()
        # Recorded now and not when the file is written, because the sources may be edited while the work
        # runs.
        self._origin = {
            "source": ", ".join(code.roots),
            "source_without": ", ".join(code.without),
            "source_device": code.device,
            **({"computed_by": computed_by} if computed_by else {}),
            "git_commit": commit,
            "git_state": state,
            "code_digest": digest_now,
            "package_versions": package_versions(),
            "surroundings": json.dumps(environment.recorded()),
        }
        self._settings = json.loads(json.dumps(dict(settings), default=str))
        self._seeds = [int(seed) for seed in seeds]
        self._precision = precision
        self._resumed = 0

    def resume(self, attributes: Mapping[str, Any]) -> None:
        """Add the time of an earlier attempt, whose unfinished file has these global attributes."""
        self._started -= float(attributes["wall_seconds"])
        # If the earlier attempt did not record its energy, the sum would be too small, so there is none.
        self._joules += float(attributes.get("energy_joules", "nan"))
        self._resumed = int(attributes["resumed"]) + 1

    def attributes(self, folder: Path) -> dict[str, Any]:
        """Return the global attributes of a file that is finished now in `folder`."""
        backend, device = _device()
        return {
            "Conventions": "CF-1.10",
            **self._origin,
            "settings": json.dumps(self._settings, sort_keys=True),
            "settings_digest": digest.settings_digest(self._settings),
            "processor": f"{processor.name()}, {os.cpu_count()} cores",
            "backend": backend,
            "device": device,
            "precision": self._precision,
            "seeds": json.dumps(self._seeds),
            INPUTS: json.dumps(self.inputs.checksums(folder), sort_keys=True),
            "wall_seconds": round(time.perf_counter() - self._started, 3),
            "peak_memory_mb": _peak_memory_mb(),
            **self._used_energy(),
            "resumed": self._resumed,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def _used_energy(self) -> dict[str, float]:
        used = energy.joules(self._energy, energy.counters())
        total = math.nan if used is None else self._joules + used
        return {} if math.isnan(total) else {"energy_joules": round(total, 1)}

    def write(self, dataset: xr.Dataset, path: Path) -> None:
        """Write a result with its own and these attributes; after a failure there is no file.

        Raises:
            ValueError: if a variable lacks ``long_name``, ``units`` or ``reference``.
        """
        netcdf.write(dataset.assign_attrs(self.attributes(path.parent)), path, self.inputs.paths)


def _device() -> tuple[str, str]:
    """Return the names of backend and device, without starting JAX in a stage that did not use it."""
    if "jax" not in sys.modules:
        return "none", "none"
    import jax

    return jax.default_backend(), jax.devices()[0].device_kind


def _peak_memory_mb() -> float:
    """Return the peak memory of this process, in MB of 10⁶ bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in units of 1024 bytes, macOS in bytes.
    return round(most * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def _require_stage(dataset: xr.Dataset, path: Path, stage: str | Sequence[str]) -> None:
    maker = headers.stage(dataset.attrs)
    stages = [stage] if isinstance(stage, str) else list(stage)
    if maker not in stages:
        wanted = " or ".join(map(_command, stages))
        raise UserError(
            f"{path} is not a result of {wanted} but of {_command(maker) or 'another program'}; "
            "name another file"
        )


def _command(stage: str) -> str:
    return stage.replace("_", "-")


def code_of(attributes: Mapping[Any, Any]) -> Code:
    """Return the code that the provenance of a file names."""

    def names(key: str) -> tuple[str, ...]:
        return tuple(filter(None, str(attributes.get(key, "")).split(", ")))

    return Code(names("source"), names("source_without"), str(attributes.get("source_device", "cpu")))


def git_state() -> tuple[str, str]:
    """Return the commit of the working tree, and whether the tree has been changed since.

    Returns:
        (commit, ``clean`` or ``dirty``), or (``unknown``, ``unknown``) outside a git checkout.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(digest.REPOSITORY), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), "dirty" if git("status", "--porcelain", "--", *_SOURCES) else "clean"
    except (OSError, subprocess.CalledProcessError):
        return "unknown", "unknown"


def package_versions() -> str:
    """Return the versions of the packages that numbers depend on, as ``name version, …``."""
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)
