"""Read the files of a tar or zip archive into memory, without extracting them to disk."""

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

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # a zip with files, and an empty zip
_ENCRYPTED, _UTF8 = 1 << 0, 1 << 11  # bits in the flags of a file in a zip

_UNREADABLE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError,
    # Raised for invalid numbers and names in a damaged list of files.
    struct.error, ValueError, OverflowError,
)  # fmt: skip


class _Entry(NamedTuple):
    """Entry of an archive that is no folder.

    Attributes:
        name: name in the archive, in the form that `file_names` describes.
        size: size of the unpacked content, bytes.
        fault: reason why the entry is not read, with the remedy; empty if the entry can be read.
        read: function that returns the content.
    """

    name: str
    size: int
    fault: str
    read: Callable[[], bytes]


def kind_of(path: Path) -> Literal["tar", "zip"]:
    """Return the kind of archive that the first bytes of a file show; a file that is no zip counts as a tar.

    Raises:
        UserError: if the system cannot read the file.
    """
    with reading(path), open(path, "rb") as stream:
        return "zip" if stream.read(4) in _ZIP_STARTS else "tar"


def names(path: Path) -> Iterator[str]:
    """Yield the names of all files in the archive, in the order of the archive.

    Raises:
        UserError: if the file is no archive, or is truncated or damaged; names before the damage are yielded
            first.
    """
    with _unpacking(path):
        for entry in _entries(path):
            yield entry.name


def members(path: Path, largest: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of every regular file, in the order of the archive.

    Args:
        path: a tar archive, compressed or not, or a zip archive.
        largest: largest allowed size of a file in the archive, bytes.

    Raises:
        UserError: if the file is no such archive or truncated; if the archive holds a link, a device, an
            encrypted file or a file larger than `largest`; or if the system cannot read the archive.
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
    """Return the content of the files `names`, by name.

    Raises:
        UserError: as `members` says, or if one of the files is missing.
    """
    found = {name: content for name, content in members(path, largest) if name in names}
    for name in names:
        if name not in found:
            raise UserError(f"{path} holds no {name}; fetch it again")
    return found


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    """Turn a failure while an archive is read into an error of one line.

    The message says whether the system or the content of the archive is at fault.

    Raises:
        UserError: if the archive cannot be read.
    """
    kind = kind_of(path)
    try:
        with reading(path):
            yield
    except NotImplementedError as error:
        raise UserError(
            f"{path} uses a compression that cannot be read here ({_reason(error)}); pack it again with the "
            "usual compression of zip archives"
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
        # A compressed archive has its checksum at its end, behind the last file: reading on compares it.
        while archive.fileobj is not None and archive.fileobj.read(2**20):
            pass


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    assert stream is not None  # holds for a regular file
    return stream.read()


def _of_zip(path: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("/"):  # a folder; a damaged name may be empty
                continue
            fault = ""
            # The upper half is the file's mode, as `stat` has it, or 0 if another kind of system packed it.
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                fault = "is a link or a device; pack files alone"
            elif member.flag_bits & _ENCRYPTED:
                fault = "is encrypted; pack it without a password"
            yield _Entry(_name(member), member.file_size, fault, partial(archive.read, member))


def _name(member: zipfile.ZipInfo) -> str:
    """Return the name of a file in a zip: as text if it is marked as UTF-8, else from the packed bytes.

    `zipfile` decodes unmarked bytes with the code page of DOS, which this function undoes.
    """
    if member.flag_bits & _UTF8 or member.filename != member.orig_filename:
        return member.filename
    return of_bytes(member.filename.encode("cp437"))
