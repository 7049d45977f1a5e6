"""Files of a tar archive, read into memory by their names; nothing is ever extracted."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path

from dynamical_loss.errors import UserError

_UNREADABLE = (tarfile.TarError, zlib.error, LZMAError, EOFError, OSError)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive; whatever fails while it is read becomes one line.

    Raises:
        UserError: if it is no archive, truncated or damaged.
    """
    try:
        with tarfile.open(path) as archive:
            yield archive
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise UserError(f"{path} is truncated or no tar archive ({reason}); fetch or make it again") from None


def names(path: Path) -> Iterator[str]:
    """Names of all that the archive holds, in its order.

    Raises:
        UserError: if it is no archive, truncated or damaged, once the names before that are given.
    """
    with _opened(path) as archive:
        for member in archive:
            yield member.name


def members(path: Path, largest: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of every regular file, in the archive's order.

    Args:
        path: a tar archive, compressed or not.
        largest: bytes that a file in it may have.

    Raises:
        UserError: if it is no such archive or truncated, or holds a link or a larger file.
    """
    with _opened(path) as archive:
        for member in archive:
            if member.isdir():
                continue
            if not member.isreg():
                raise UserError(f"{path}: {member.name} is a link or a device; pack files alone")
            if member.size > largest:
                raise UserError(
                    f"{path}: {member.name} has {member.size:,} bytes, where at most {largest:,} are "
                    "plausible; take it out"
                )
            stream = archive.extractfile(member)
            assert stream is not None  # as it is a regular file
            yield member.name, stream.read()
        # A compressed archive is compared with its checksum at its end, which may lie behind the last file.
        while archive.fileobj is not None and archive.fileobj.read(2**20):
            pass


def named(path: Path, names: tuple[str, ...], largest: int) -> dict[str, bytes]:
    """The files of `names`, by name.

    Raises:
        UserError: as `members` says, or if one is missing.
    """
    found = {name: content for name, content in members(path, largest) if name in names}
    for name in names:
        if name not in found:
            raise UserError(f"{path} holds no {name}; fetch it again")
    return found
