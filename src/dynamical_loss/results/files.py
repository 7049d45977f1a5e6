"""Files that appear whole or not at all, and what is wrong with one that cannot be used."""

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


def damaged(path: Path, reason: str) -> ResultError:
    """What to raise of a file that is not what was written, as its checksum tells."""
    return ResultError(f"{path} is damaged ({reason})", path)


def differs(path: Path) -> ResultError:
    """What to raise of a file that was read and is not what was written."""
    return damaged(path, "it differs from its checksum")


def unreadable(path: Path, error: Exception) -> UnreadableError:
    """What to raise where the system does not let us read a file; whether it is good is not known."""
    return UnreadableError(
        f"{path} cannot be read ({_reason(error)}); mend its permissions, or the disk or network behind it",
        path,
    )


def not_understood(path: Path, error: Exception) -> UnreadableError:
    """What to raise of a file that is as it was written, and that the library cannot read all the same."""
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
    """While a file's bytes are read: what the system says against it becomes one line.

    Raises:
        ResultError: if there is no such file.
        UnreadableError: if the system does not let us read it.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise missing(path) from None
    except OSError as error:
        raise unreadable(path, error) from None


def missing(path: Path) -> ResultError:
    """What to raise of a file that is not there."""
    return ResultError(f"{path} does not exist", path)
