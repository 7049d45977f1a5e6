"""Failures of the file system, told as what they are and not blamed on what a file holds."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamical_loss.datasets.file_names import printable
from dynamical_loss.errors import UserError
from dynamical_loss.results import checksums
from dynamical_loss.results.files import unreadable

_OF_CONTENT = (None, errno.EINVAL)
"""Numbers of an `OSError` that blame no system.

Readers of compressed files raise it without a number for what does not parse.  Where a damaged archive states
a place before its start, to go there is an invalid argument.
"""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a failure of the system to read `path`, or what lies in it, into one line.

    Raises:
        UserError: with the file, what the system said, and the remedy.
    """
    try:
        yield
    except FileNotFoundError as error:
        where = error.filename if isinstance(error.filename, str) else str(path)
        raise UserError(f"there is no {printable(where)}; name a file or folder that exists") from None
    except OSError as error:
        if error.errno in _OF_CONTENT:
            raise
        where = error.filename if isinstance(error.filename, str) else str(path)
        raise unreadable(Path(printable(where)), error) from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes: 64 hexadecimal digits.

    Raises:
        UserError: if the system cannot read it.
    """
    with reading(path):
        return checksums.of_file(path)
