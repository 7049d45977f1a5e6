"""Cache compiled programs from one job to the next, with checksums that make them safe to load.

A program is machine code.  One flipped bit in it may crash the process, or silently give wrong numbers.  So a
cached program is compared with a checksum before it is loaded.  A program that is damaged or cannot be read
is treated as absent: it is compiled again and replaced.  If nothing can be cached, every job compiles its
programs itself.

The checksum is the SHA-256 of the file's name and content, so that one program cannot stand in for another.
In files that this package writes, the checksum precedes the content.  JAX writes and reads its own files
directly; each of these has its checksum in a second file, which is compared when a process starts.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dynamical_loss import processor

_CHECKSUM_BYTES = 32
_OF_JAX = "-cache"  # suffix of the names that JAX gives to its programs
_SEAL = ".sha256"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def folder(compiler: str) -> Path:
    """Return the folder for the programs of one compiler, e.g. ``jax``.

    Each type of processor has a separate folder, because several machines may share one home folder.
    """
    place = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return of_user(f"{compiler}-{place}")


def of_user(name: str) -> Path:
    """Return the path of a file or folder in the user's cache of this package.

    Raises:
        ModuleNotFoundError: without platformdirs.
    """
    # Digests of code are computed on any Python, also on one without packages.
    import platformdirs

    return platformdirs.user_cache_path("dynamical-loss") / name


def _processor() -> str:
    """Return the model and instruction set of this machine's processor, as far as the system reports them."""
    told = processor.told()
    if not told:
        return platform.platform() + platform.processor()
    return repr([told.get(name) for name in ("model name", "flags", "CPU part", "Features")])


def read(path: Path) -> bytes | None:
    """Return the content that `write` stored at a path; None if it is absent, damaged or cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    return content if checksum == _checksum(path, content) else None


def write(path: Path, content: bytes) -> None:
    """Write a program to the cache atomically, and replace any file of that name.

    If the program cannot be written, for lack of space or permission, nothing is cached, and no error is
    raised.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, _checksum(path, content) + content)


def check(programs: Path) -> bool:
    """Remove damaged programs from JAX's folder; JAX might not notice the damage, and would not replace them.

    A program without a checksum was left by a process that was killed, or another process has just written
    it.  The program is kept if it agrees with the checksum that zlib stores within it, and is removed
    otherwise.  At worst it is compiled once more.

    Args:
        programs: the folder, which is created if it does not exist.

    Returns:
        whether JAX may use the folder: it is writable, and no damaged program is left in it.
    """
    try:
        programs.mkdir(parents=True, exist_ok=True)
        names = set(os.listdir(programs))
        for path in _of_jax(programs, names):
            seal = _seal_of(path)
            if seal.name not in names:
                if _is_whole(path):
                    _write_seal(path)
                else:
                    path.unlink(missing_ok=True)
            elif not _agree(path, seal):
                path.unlink(missing_ok=True)
                seal.unlink(missing_ok=True)
        for name in names:
            if name.endswith(_OF_JAX + _SEAL) and name.removesuffix(_SEAL) not in names:
                (programs / name).unlink(missing_ok=True)
        tempfile.TemporaryFile(dir=programs).close()
    except OSError:
        return False
    return True


def seal(programs: Path) -> None:
    """Write checksums for those programs of JAX that have none yet and appear to be complete."""
    with suppress(OSError):
        names = set(os.listdir(programs))
        for path in _of_jax(programs, names):
            if _seal_of(path).name not in names and (_is_whole(path) or _is_zstandard(path)):
                _write_seal(path)


def _of_jax(programs: Path, names: set[str]) -> Iterator[Path]:
    return (programs / name for name in sorted(names) if name.endswith(_OF_JAX))


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + _SEAL)


def _agree(path: Path, seal: Path) -> bool:
    try:
        return seal.read_bytes() == _checksum(path, path.read_bytes())
    except OSError:
        return False


def _is_whole(path: Path) -> bool:
    try:
        zlib.decompress(path.read_bytes())
    except (OSError, zlib.error):
        return False
    return True


def _is_zstandard(path: Path) -> bool:
    """Return whether JAX compressed a program with Zstandard, which stores no checksum within the file."""
    with suppress(OSError), open(path, "rb") as stream:
        return stream.read(len(_ZSTANDARD)) == _ZSTANDARD
    return False


def _write_seal(path: Path) -> None:
    # Another process may have removed the program since it was listed.
    with suppress(FileNotFoundError):
        _replace(_seal_of(path), _checksum(path, path.read_bytes()))


def _checksum(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + b"\0" + content).digest()


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(name, path)
    except OSError:
        with suppress(OSError):
            os.unlink(name)
        raise
