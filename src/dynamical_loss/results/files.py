"""Write files atomically, and describe why a file cannot be used."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynamical_loss.errors import ResultError, UnreadableError, UserError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` if the block raises no error.

    The temporary path keeps the suffix, because writers choose the format by it.  The content is forced to
    disk before the rename.

    Raises:
        UserError: if there is not enough space on the disk.
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
    """Force a folder's list of names to disk, so that a rename survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def bring_back(inputs: Iterable[Path]) -> None:
    """Set the time of files that are dated in the future to now, where permissions allow it.

    If the clock jumps back after a file was made, every result made from the file seems older than the file.
    Snakemake deletes such results and loses the work in them.
    """
    for path in inputs:
        if path.stat().st_mtime > time.time():
            with suppress(OSError):
                # The time is passed because without it a file server would use its own clock.
                now = time.time()
                os.utime(path, (now, now))


def damaged(path: Path, reason: str) -> ResultError:
    """Return the error for a file that is no longer as it was written."""
    return ResultError(f"{path} is damaged ({reason})", path)


def differs(path: Path) -> ResultError:
    """Return the error for a file that disagrees with its checksum."""
    return damaged(path, "it differs from its checksum")


def unreadable(path: Path, error: Exception) -> UnreadableError:
    """Return the error for a file that the system refuses to read, and that may be intact."""
    return UnreadableError(
        f"{path} cannot be read ({_reason(error)}); mend its permissions, or the disk or network behind it",
        path,
    )


def not_understood(path: Path, error: Exception) -> UnreadableError:
    """Return the error for a file that agrees with its checksum but that the NetCDF library cannot read."""
    return UnreadableError(
        f"{path} is as it was written, but the NetCDF library cannot read it ({_reason(error)}); "
        "mend the installation (make clean; make figures), or give the job more memory",
        path,
    )


def _reason(error: Exception) -> str:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).splitlines()[0]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's errors while a file's bytes are read into errors of one line.

    Raises:
        ResultError: if the file does not exist.
        UnreadableError: if the system refuses to read the file.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise missing(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def missing(path: Path) -> ResultError:
    """Return the error for a file that does not exist."""
    return ResultError(f"{path} does not exist", path)
