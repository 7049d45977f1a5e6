"""Convolutions in C for one core of a CPU.  The code is `native.c`; it is compiled if there is a C compiler.

XLA's own convolutions are the reference.  They are used if there is no compiler, and for number types that
the C code does not support.
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
"""Names of the functions in the C code, under which XLA also registers them."""

_FLAGS = ("-O3", "-ffp-contract=fast", "-shared", "-fPIC")
# Not every compiler accepts the first option on every processor; the options are tried one after another.
_PROCESSOR = (("-march=native",), ("-mcpu=native",), ())
_SECONDS = 120  # longest time that the compiler may take
_loading = threading.Lock()
_allowed: ContextVar[bool] = ContextVar("whether convolutions may be computed in C", default=True)


class _Library(NamedTuple):
    code: ctypes.CDLL
    compiler: str


@contextmanager
def xla_alone() -> Iterator[None]:
    """Context in which functions are lowered to XLA's convolutions instead of C code."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def serves(dtype: DTypeLike) -> bool:
    """Return whether convolutions of this number type are computed in C on this CPU."""
    library = _loaded() if _allowed.get() else None
    if library is None:
        return False
    numbers = jnp.dtype(dtype)  # the type may be given by its name
    return numbers == np.float32 or (numbers == jnp.bfloat16 and bool(library.code.multiplies_pairs()))


def computed_by(dtype: DTypeLike) -> str:
    """Name what computes convolutions of this number type on this CPU: XLA, or C and its compiler."""
    library = _loaded()
    return f"C, {library.compiler}" if library is not None and serves(dtype) else "XLA"


def compiler() -> list[str]:
    """Return the command of the C compiler as a list of words: `CC` from the environment, or ``cc``."""
    return shlex.split(os.environ.get("CC") or "cc")


def _loaded() -> _Library | None:
    with _loading:  # XLA registers a name only once, so two threads must not load the library
        return _library()


@functools.cache
def _library() -> _Library | None:
    """Load the C code and register it with XLA; None if it cannot be compiled."""
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
    """Write the compiled library to a file: the cached library if there is one, otherwise a new one.

    Args:
        version: version text of the compiler; a library is reused only with the same compiler.
        library: path of the file.

    Returns:
        The path.

    Raises:
        subprocess.SubprocessError: if the compiler fails.
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
