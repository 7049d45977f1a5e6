"""Report failures of the file system as such, and not as faults in the content of a file."""

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
"""Values of `OSError.errno` for which the content of a file is at fault and not the system.

Readers of compressed files raise `OSError` without a number if they cannot parse the content.  A damaged
archive may state a position before its start, and seeking to such a position is an invalid argument.
"""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a failure of the system to read `path`, or a file in it, into an error of one line.

    Raises:
        UserError: if the system cannot read a file; the message names the file, the reason and the remedy.
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
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        UserError: if the system cannot read the file.
    """
    with reading(path):
        return checksums.of_file(path)
