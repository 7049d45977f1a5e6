"""Where compiled programs are kept from one job to the next, and the checksums that make them safe to load.

A program is machine code.  One flipped bit in it may crash the process or give wrong numbers that nobody
notices, so what is kept is compared with a checksum before anything loads it.  What is damaged or cannot be
read counts as absent: it is compiled again and replaced.  Where nothing can be kept, every job compiles for
itself.

The checksum is the SHA-256 of the file's name and its content, so that one program is not taken for another.
What this package writes itself has the checksum in front of the content.  JAX writes its own files and reads
them without asking, so these have a second file each beside them, which is compared when a process starts.
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

import platformdirs

_CHECKSUM_BYTES = 32
_OF_JAX = "-cache"  # how JAX ends the names of its programs
_SEAL = ".sha256"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def folder(compiler: str) -> Path:
    """The folder for the programs of one compiler, e.g. ``jax``.

    A home folder may be shared between machines: each kind of processor has a folder of its own.
    """
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("dynamical-loss") / f"{compiler}-{processor}"


def _processor() -> str:
    """Model and instruction set of this machine's processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.platform() + platform.processor()
    told = {line.partition(":")[0].strip(): line for line in lines}
    return "".join(told.get(name, "") for name in ("model name", "flags", "CPU part", "Features"))


def read(path: Path) -> bytes | None:
    """What `write` has kept under that name; None if it is absent, damaged or cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    checksum, content = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    return content if checksum == _checksum(path, content) else None


def write(path: Path, content: bytes) -> None:
    """Keep a program, whole or not at all, in the place of whatever has that name.

    Where it cannot be written, for want of space or permission, nothing is kept and nothing is said.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, _checksum(path, content) + content)


def check(programs: Path) -> bool:
    """Remove from JAX's folder what is damaged, which JAX itself would neither notice for sure nor replace.

    A program without a checksum was left by a process that was killed, or is one that another process has
    just written.  It stays if it is whole by the checksum that zlib keeps within it, and is removed
    otherwise; at worst it is compiled once more.

    Args:
        programs: the folder, which is made if it does not exist.

    Returns:
        whether JAX may use the folder: it can be written to, and nothing damaged is left in it.
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
    """Write the checksums of JAX's programs that have none yet and are whole, as far as a look tells."""
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
    """Whether JAX found that library, which keeps no checksum: such a program has none until it is sealed."""
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
