"""Files that appear whole or not at all, and what is wrong with one that cannot be used."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynamical_loss.errors import ResultError, UserError

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


def damaged(path: Path, error: Exception) -> ResultError:
    """What to raise of a file that cannot be read; the first line of `error` is the reason."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ResultError(f"{path} is damaged ({reason.splitlines()[0]})", path)


def differs(path: Path) -> ResultError:
    """What to raise of a file that was read and is not what was written."""
    return damaged(path, ValueError("it differs from its checksum"))


def missing(path: Path) -> ResultError:
    """What to raise of a file that is not there."""
    return ResultError(f"{path} does not exist", path)
