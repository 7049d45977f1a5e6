"""A function that numba compiles, or takes from disk if it has compiled it before."""

from __future__ import annotations

import hashlib
import inspect
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numba

from dynamical_loss import program_cache

Program = Callable[..., Any]


class Compiled:
    """A function, compiled for the types of its arguments when it is first called with them.

    numba itself loads what it finds on disk without a look at it.  So it is given a private folder for every
    compilation, with nothing in it but what has agreed with its checksum.  What it leaves there is kept as
    one file, which appears at once: two processes that compile the same do not disturb each other.

    Attributes:
        name: of the function; together with its source and the types it decides what it is kept as.
    """

    def __init__(
        self, function: Program, options: Mapping[str, Any], modules: Sequence[ModuleType] = ()
    ) -> None:
        """Nothing is compiled yet.

        Args:
            function: its name must differ from that of every other function with the same source and other
                values in its closure.
            options: as `numba.njit` takes them.
            modules: that hold what is compiled into it, beside its own.
        """
        self.name = function.__name__
        self._function = function
        self._options = dict(options)
        self._sources = [inspect.getfile(function), *map(inspect.getfile, modules)]
        self._programs: dict[tuple[Any, ...], Program] = {}

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        types = tuple(map(numba.typeof, arguments))
        if types not in self._programs:
            self._programs[types] = self._program(types)
        return self._programs[types](*arguments)

    def _program(self, types: tuple[Any, ...]) -> Program:
        try:
            with tempfile.TemporaryDirectory(prefix="dynamical-loss-") as private:
                return self._kept(Path(private), types)
        except (OSError, RuntimeError):  # no folder, or no space, that numba could write to
            program: Any = numba.njit(**self._options)(self._function)
            program.compile(types)
            return program  # type: ignore[no-any-return]

    def _kept(self, private: Path, types: tuple[Any, ...]) -> Program:
        config: Any = numba.config
        usual, config.CACHE_DIR = config.CACHE_DIR, str(private)
        try:
            program: Any = numba.njit(cache=True, **self._options)(self._function)
        finally:
            config.CACHE_DIR = usual
        files = Path(program.stats.cache_path)
        # NUMBA_CACHE_DIR, where a user has set it, says where programs are kept.
        folder = Path(usual) if usual else program_cache.folder("numba")
        path = folder / f"{self.name}-{self._digest(types)}"
        kept = program_cache.read(path)
        if kept is not None:
            _unpack(kept, files)
        program.compile(types)
        if program.stats.cache_misses:
            program_cache.write(path, _packed(files))
        return program  # type: ignore[no-any-return]

    def _digest(self, types: tuple[Any, ...]) -> str:
        digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in self._sources))
        versions = (sys.implementation.cache_tag, numba.__version__, llvmlite.__version__)
        digest.update(repr((versions, types)).encode())
        return digest.hexdigest()[:16]


def _packed(folder: Path) -> bytes:
    """All files of a folder as one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return packed.getvalue()


def _unpack(packed: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            (folder / name).write_bytes(archive.read(name))
