"""Convolutions on one core of a CPU, from C: `native.c`, compiled where there is a C compiler.

XLA's own convolutions are the reference.  They serve where there is no compiler, and numbers that the C code
does not know.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from dynamical_loss import program_cache

SOURCE = Path(__file__).with_suffix(".c")

CONVOLUTION, KERNEL_GRADIENT = "convolution", "convolution_kernel_gradient"
"""Functions of the C code, and the names by which XLA knows them."""

_FLAGS = ("-O3", "-ffp-contract=fast", "-shared", "-fPIC")
# Not every compiler knows the first on every processor.
_PROCESSOR = (("-march=native",), ("-mcpu=native",), ())
_SECONDS = 120  # that a compiler may take
_loading = threading.Lock()
_allowed: ContextVar[bool] = ContextVar("whether convolutions may be computed in C", default=True)


class _Library(NamedTuple):
    code: ctypes.CDLL
    compiler: str


@contextmanager
def xla_alone() -> Iterator[None]:
    """While this lasts, what is lowered takes XLA's convolutions."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def serves(dtype: DTypeLike) -> bool:
    """Whether convolutions of such numbers are computed in C on the CPU of this machine."""
    library = _loaded() if _allowed.get() else None
    if library is None:
        return False
    numbers = jnp.dtype(dtype)  # given by its name too
    return numbers == np.float32 or (numbers == jnp.bfloat16 and bool(library.code.multiplies_pairs()))


def computed_by(dtype: DTypeLike) -> str:
    """What computes convolutions of such numbers on the CPU of this machine: XLA, or C and its compiler."""
    library = _loaded()
    return f"C, {library.compiler}" if library is not None and serves(dtype) else "XLA"


def compiler() -> list[str]:
    """The C compiler as the words of a command: `CC` or ``cc``."""
    return shlex.split(os.environ.get("CC") or "cc")


def _loaded() -> _Library | None:
    with _loading:  # XLA takes a name once
        return _library()


@functools.cache
def _library() -> _Library | None:
    """The C code, loaded and known to XLA; None where it cannot be compiled."""
    try:
        told = subprocess.run(
            [*compiler(), "--version"], capture_output=True, check=True, timeout=_SECONDS, text=True
        ).stdout
        with tempfile.TemporaryDirectory(prefix="dynamical-loss-") as folder:
            code = ctypes.CDLL(str(_compiled(told, Path(folder) / "native.so")))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    for name in (CONVOLUTION, KERNEL_GRADIENT):
        capsule = jax.ffi.pycapsule(getattr(code, name))  # type: ignore[no-untyped-call]
        jax.ffi.register_ffi_target(name, capsule, platform="cpu")
    return _Library(code, told.partition("\n")[0])


def _compiled(version: str, library: Path) -> Path:
    """The library as a file, compiled or from where programs are kept.

    Raises:
        subprocess.SubprocessError: if the compiler does not compile it.
    """
    known_by = repr((SOURCE.read_bytes(), compiler(), _FLAGS, _PROCESSOR, version, jax.__version__))
    kept = program_cache.folder("native") / hashlib.sha256(known_by.encode()).hexdigest()[:16]
    content = program_cache.read(kept)
    if content is not None:
        library.write_bytes(content)
        return library
    words = [*compiler(), *_FLAGS, f"-I{jax.ffi.include_dir()}", str(SOURCE), "-o", str(library)]
    for processor in _PROCESSOR:
        done = subprocess.run([*words, *processor], capture_output=True, timeout=_SECONDS)
        if done.returncode == 0:
            break
    done.check_returncode()
    program_cache.write(kept, library.read_bytes())
    return library
