"""Where a result came from: what it was read from, by which code, with which settings, on which machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from dynamical_loss import environment
from dynamical_loss.errors import ResultError, UserError
from dynamical_loss.results import digest, netcdf
from dynamical_loss.results.digest import Code
from dynamical_loss.results.recorded import CONTENT, INPUTS, PUBLISHED, PUBLISHED_FROM, recorded

# Publishing results changes the working tree between two jobs, and no number.
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
    """Reads the files that a result is made from, and remembers where they came from."""

    def __init__(self) -> None:
        self._attributes: dict[Path, dict[Any, Any]] = {}

    def read(
        self, path: Path, variables: Iterable[str] = (), made_by: str | Sequence[str] | None = None
    ) -> xr.Dataset:
        """`read` a file that the result depends on.

        Args:
            path: the file.
            variables: names that must be in it.
            made_by: the stage that must have made it, e.g. ``train_trajectory``, or several of which one
                must have; any by default.

        Raises:
            UserError: if it cannot be read, lacks one of `variables` or is a result of another stage.
        """
        dataset = netcdf.read(path)
        if made_by is not None:
            _require_stage(dataset, path, made_by)
        netcdf.require_variables(dataset, path, variables)
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
            raise ResultError(f"{result} was not made from {source} as it is now", result)


class Provenance:
    """What is written into every file's global attributes; it times the work from its creation.

    Attributes:
        inputs: what the result is made from; whatever a stage reads, it reads through this.
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
            code: what does the work, or the dotted name of its module; its digest is recorded.
            settings: what decided the result; recorded as JSON.
            seeds: the random seeds used, as given by the user.
            precision: ``float32`` or ``float64``.
            inputs: what has been read already, where the settings depend on it.
            computed_by: what computes products beside JAX's own programs, if anything does.

        Raises:
            UserError: if another digest of the code is expected, see `digest.expecting`; or if JAX would
                compute with other settings than it should, see `environment.require_pinned`.
        """
        # Before the work, which sets a precision of its own while it goes on.
        environment.require_pinned()
        self.inputs = inputs or Inputs()
        self._started = time.perf_counter()
        code = Code((code,)) if isinstance(code, str) else code
        digest_now = code.digest
        if digest.expected() not in (None, digest_now):
            # It would be kept, maybe in a cache that others use, under the name of what was planned.
            raise UserError("the code was edited after this work was planned; run the same command again")
        commit, state = git_state()
        # Now, and not when a file is written: the sources may be edited while the work goes on.
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
            "settings_digest": digest.settings_digest(self._settings),
            "backend": backend,
            "device": device,
            "precision": self._precision,
            "seeds": json.dumps(self._seeds),
            INPUTS: json.dumps(self.inputs.checksums(folder), sort_keys=True),
            "wall_seconds": round(time.perf_counter() - self._started, 3),
            "peak_memory_mb": _peak_memory_mb(),
            "resumed": self._resumed,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def write(self, dataset: xr.Dataset, path: Path) -> None:
        """Write a result with these attributes beside its own: whole or not at all.

        Raises:
            ValueError: if a variable lacks ``long_name``, ``units`` or ``reference``.
        """
        netcdf.write(dataset.assign_attrs(self.attributes(path.parent)), path, self.inputs.paths)


def _device() -> tuple[str, str]:
    """Backend and device name, without starting JAX in a stage that never used it."""
    if "jax" not in sys.modules:
        return "none", "none"
    import jax

    return jax.default_backend(), jax.devices()[0].device_kind


def _peak_memory_mb() -> float:
    """The most memory that this process has held at one time, MB of 10⁶ bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in units of 1024 bytes, macOS in bytes.
    return round(most * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def _require_stage(dataset: xr.Dataset, path: Path, stage: str | Sequence[str]) -> None:
    # The first of the modules that made it; the others are its kinds.
    maker = str(dataset.attrs.get("source", "")).partition(",")[0].rpartition(".")[2]
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
    """The code that a file's provenance names."""

    def names(key: str) -> tuple[str, ...]:
        return tuple(filter(None, str(attributes.get(key, "")).split(", ")))

    return Code(names("source"), names("source_without"), str(attributes.get("source_device", "cpu")))


def git_state() -> tuple[str, str]:
    """The commit of the working tree and whether it was changed since.

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
    """Versions of the packages that numbers depend on, as ``name version, …``."""
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)
