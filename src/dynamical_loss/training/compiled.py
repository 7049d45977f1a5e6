"""Functions that numba compiles, with a cache on disk."""

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
    """A function that is compiled when it is first called with new argument types.

    numba loads the files of its cache without checking them.  Therefore each compilation uses a private
    folder, which holds only files that agree with their checksum.  The files that numba leaves in this folder
    are packed into one file of the shared cache.  This file is written atomically, so that two processes that
    compile the same function do not disturb each other.

    Attributes:
        name: name of the function.  The name of the cache file consists of it and of a digest of the source
            code and the argument types.
    """

    def __init__(
        self, function: Program, options: Mapping[str, Any], modules: Sequence[ModuleType] = ()
    ) -> None:
        """Define the function; nothing is compiled yet.

        Args:
            function: function to compile.  Two functions with the same source and different values in their
                closures must have different names.
            options: keyword arguments of `numba.njit`.
            modules: other modules whose functions are compiled into the program.
        """
        self.name = function.__name__
        self._function = function
        self._options = dict(options)
        self._sources = [inspect.getfile(function), *map(inspect.getfile, modules)]
        self._programs: dict[tuple[Any, ...], Program] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Call the function, which is compiled first if necessary."""
        types = tuple(map(numba.typeof, arguments))
        if types not in self._programs:
            self._programs[types] = self._program(types)
        return self._programs[types](*arguments)

    def _program(self, types: tuple[Any, ...]) -> Program:
        try:
            with tempfile.TemporaryDirectory(prefix="dynamical-loss-") as private:
                return self._kept(Path(private), types)
        except (OSError, RuntimeError):  # numba has no folder to write to, or no space there
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
        # If the user has set NUMBA_CACHE_DIR, the cache is in that folder.
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
    """Pack all files of a folder into one archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return packed.getvalue()


def _unpack(packed: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        for name in archive.namelist():
            (folder / name).write_bytes(archive.read(name))
