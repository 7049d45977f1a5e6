"""Files of a tar or zip archive, read into memory by their names; nothing is ever extracted."""

from __future__ import annotations

import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import Literal, NamedTuple

from dynamical_loss.datasets.file_names import of_bytes, printable
from dynamical_loss.datasets.reading import reading
from dynamical_loss.errors import UserError

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # with a file, and with the list of none
_ENCRYPTED, _UTF8 = 1 << 0, 1 << 11  # flags of a file in a zip

_UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError,
    # What a damaged list of files makes of its numbers and names.
    struct.error, ValueError, OverflowError,
)  # fmt: skip


class _Entry(NamedTuple):
    """What an archive says of one thing in it that is no folder.

    Attributes:
        name: as `file_names` has names.
        size: bytes, unpacked.
        fault: why it is not read, with the remedy; empty if it can be.
        read: gives its content.
    """

    name: str
    size: int
    fault: str
    read: Callable[[], bytes]


def kind_of(path: Path) -> Literal["tar", "zip"]:
    """What a file begins as; all that is no zip is taken for a tar.

    Raises:
        UserError: if the system cannot read it.
    """
    with reading(path), open(path, "rb") as stream:
        return "zip" if stream.read(4) in _ZIP_STARTS else "tar"


def names(path: Path) -> Iterator[str]:
    """Names of all files that the archive holds, in its order.

    Raises:
        UserError: if it is no archive, truncated or damaged, once the names before that are given.
    """
    with _unpacking(path):
        for entry in _entries(path):
            yield entry.name


def members(path: Path, largest: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of every regular file, in the archive's order.

    Args:
        path: a tar archive, compressed or not, or a zip archive.
        largest: bytes that a file in it may have.

    Raises:
        UserError: if it is no such archive or truncated, or holds a link, an encrypted file or a larger one;
            or if the system cannot read it.
    """
    with _unpacking(path):
        for entry in _entries(path):
            if entry.fault:
                raise UserError(f"{path}: {printable(entry.name)} {entry.fault}")
            if entry.size > largest:
                raise UserError(
                    f"{path}: {printable(entry.name)} has {entry.size:,} bytes, where at most {largest:,} "
                    "are plausible; take it out"
                )
            yield entry.name, entry.read()


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


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    """Turn what fails while the archive is read into one line, which blames the system or the content.

    Raises:
        UserError: that line.
    """
    kind = kind_of(path)
    try:
        with reading(path):
            yield
    except NotImplementedError as error:
        raise UserError(
            f"{path} is packed in a way that is not read here ({_reason(error)}); pack it as other zip "
            "archives are"
        ) from None
    except _UNREADABLE as error:
        raise UserError(
            f"{path} is truncated or no {kind} archive ({_reason(error)}); fetch or make it again"
        ) from None


def _reason(error: Exception) -> str:
    return printable((str(error) or type(error).__name__).splitlines()[0].rstrip(":"))


def _entries(path: Path) -> Iterator[_Entry]:
    return (_of_zip if kind_of(path) == "zip" else _of_tar)(path)


def _of_tar(path: Path) -> Iterator[_Entry]:
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            if member.isdir():
                continue
            fault = "" if member.isreg() else "is a link or a device; pack files alone"
            yield _Entry(member.name, member.size, fault, partial(_content, archive, member))
        # A compressed archive is compared with its checksum at its end, which may lie behind the last file.
        while archive.fileobj is not None and archive.fileobj.read(2**20):
            pass


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None  # as it is a regular file
    return stream.read()


def _of_zip(path: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("/"):  # a folder; a damaged name may be empty
                continue
            fault = ""
            # The upper half is what stat says of the file, or 0 where another system packed it.
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                fault = "is a link or a device; pack files alone"
            elif member.flag_bits & _ENCRYPTED:
                fault = "is encrypted; pack it without a password"
            yield _Entry(_name(member), member.file_size, fault, partial(archive.read, member))


def _name(member: zipfile.ZipInfo) -> str:
    """The name of a file in a zip: text where it is marked as UTF-8, and else the bytes that were packed.

    `zipfile` takes such bytes for the code page of DOS.
    """
    if member.flag_bits & _UTF8 or member.filename != member.orig_filename:
        return member.filename
    return of_bytes(member.filename.encode("cp437"))
