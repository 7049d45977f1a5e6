"""Read Fashion-MNIST or other images in the same layout: four IDX files, each compressed with gzip or not."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from dynamical_loss.datasets import archive
from dynamical_loss.datasets.file_names import printable
from dynamical_loss.datasets.images import (
    OFFICIAL_SPLIT,
    UNCHECKED_SPLIT,
    Bytes,
    Images,
    Source,
    base_name,
    require_labels,
)
from dynamical_loss.datasets.official import FASHION_MNIST_SHA256
from dynamical_loss.datasets.reading import reading, sha256_of
from dynamical_loss.errors import UserError

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_CLASSES = len(CLASS_NAMES)
_SIDE = 28
_MOST = 100_000  # largest plausible number of images in a file
_HEAD = 16  # number of bytes before the images
_LARGEST = _HEAD + _MOST * _SIDE**2
_UNSIGNED_BYTE = 8  # code of this data type, in the third byte of an IDX file
_NAMES = tuple(FASHION_MNIST_SHA256)


class _File(NamedTuple):
    """One of the four files, compressed or not.

    Attributes:
        where: name of the file in error messages.
        name: base name, with the suffix ``.gz`` if the file is compressed.
        stored: bytes of the file as they are stored.
    """

    where: str
    name: str
    stored: bytes


def read(path: Path, title: str | None = None, official: Mapping[str, str] = FASHION_MNIST_SHA256) -> Source:
    """Read all images of the set.

    Args:
        path: a folder, or a tar or zip archive, with ``train-images-idx3-ubyte``,
            ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each with
            or without the suffix ``.gz``.
        title: name of the images if they are not Fashion-MNIST; None if they are.
        official: SHA-256 of the four unpacked files of Fashion-MNIST, by name.

    Raises:
        UserError: if one of the files is missing, truncated, no IDX file, does not fit the other files or
            cannot be read; if `title` is None and a file is not the official one; or if a title is given and
            all files are the official ones.
    """
    with reading(path):
        is_archive = path.is_file()
    files = _packed(path) if is_archive else dict(_tree(path))
    for name in _NAMES:
        if name not in files:
            raise UserError(
                f"{path} holds no {name} or {name}.gz; install Debian's dataset-fashion-mnist, or set "
                "datasets.<name>.source to a folder or archive of the four files"
            )
    sha256 = sha256_of(path) if is_archive else _listed(files)
    kind = archive.kind_of(path) if is_archive else "folder"
    contents = {name: _unpacked(files[name]) for name in _NAMES}
    train, test = (_images(path, part, files, contents) for part in ("train", "t10k"))
    _require_identity(path, title, files, contents, official)
    return Source(
        dataset=title or "Fashion-MNIST",
        title=title or "Fashion-MNIST",
        origin=f"{base_name(path)} ({kind} of IDX files)",
        sha256=sha256,
        split=UNCHECKED_SPLIT if title else OFFICIAL_SPLIT,
        train=train,
        validation=test,
        class_names=tuple(map(str, range(_CLASSES))) if title else CLASS_NAMES,
    )


def _require_identity(
    path: Path,
    title: str | None,
    files: Mapping[str, _File],
    contents: Mapping[str, bytes],
    official: Mapping[str, str],
) -> None:
    """Compare the unpacked content of the files with the official files.

    Raises:
        UserError: if the files are not those of Fashion-MNIST and `title` is None, or if they are and a
            title is given.
    """
    found = {name: hashlib.sha256(contents[name]).hexdigest() for name in _NAMES}
    other = next((name for name in _NAMES if found[name] != official[name]), None)
    if title is None and other is not None:
        raise UserError(
            f"{files[other].where} is not the official file of Fashion-MNIST: SHA-256 {official[other]} of "
            f"its unpacked content expected, {found[other]} found; fetch it again, or say in "
            "datasets.<name>.title what the images are"
        )
    if title is not None and other is None:
        raise UserError(f"datasets.<name>.title: {path} holds Fashion-MNIST, not {title}; leave title out")


def _tree(folder: Path) -> Iterator[tuple[str, _File]]:
    """Yield the files that exist in a folder, with their names without the suffix ``.gz``."""
    for name in _NAMES:
        for path in (folder / name, folder / f"{name}.gz"):
            with reading(path):
                if not path.is_file():
                    continue
                if path.stat().st_size > _LARGEST:
                    raise UserError(
                        f"{path} has {path.stat().st_size:,} bytes, where at most {_LARGEST:,} are "
                        "plausible; fetch it again"
                    )
                stored = path.read_bytes()
            yield name, _File(str(path), path.name, stored)
            break


def _packed(path: Path) -> dict[str, _File]:
    """Return the files of an archive, in any of its folders, by their names without the suffix ``.gz``.

    Raises:
        UserError: as `archive.members` says, or if the archive holds two files of one name.
    """
    found: dict[str, _File] = {}
    for member, stored in archive.members(path, _LARGEST):
        name = PurePosixPath(member).name
        if name.removesuffix(".gz") not in _NAMES:
            continue
        if name in found:
            raise UserError(f"{path} holds {name} twice; pack one dataset alone")
        found[name] = _File(f"{path}: {printable(member)}", name, stored)
    # As in a folder, an uncompressed file takes precedence over a compressed one.
    compressed = {name.removesuffix(".gz"): file for name, file in found.items()}
    return {name: found.get(name, file) for name, file in compressed.items()}


def _listed(files: Mapping[str, _File]) -> str:
    """Return the SHA-256 of the list that `sha256sum` prints for the stored files, sorted by name."""
    lines = (
        f"{hashlib.sha256(file.stored).hexdigest()}  {file.name}\n"
        for file in sorted(files.values(), key=lambda file: file.name)
    )
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()


def _images(path: Path, part: str, files: Mapping[str, _File], contents: Mapping[str, bytes]) -> Images:
    pixels, labels = (
        _idx(files[name].where, contents[name], sample)
        for name, sample in ((f"{part}-images-idx3-ubyte", (_SIDE, _SIDE)), (f"{part}-labels-idx1-ubyte", ()))
    )
    if len(pixels) != len(labels):
        raise UserError(
            f"{path}: {part} has {len(pixels):,} images and {len(labels):,} labels; fetch them again"
        )
    return Images(pixels[..., np.newaxis], require_labels(labels, _CLASSES, f"{path}: {part}"))


def _idx(where: str, content: bytes, sample: tuple[int, ...]) -> Bytes:
    """Return the values (sample, …) of an IDX file.

    Such a file consists of its type and rank, the big-endian sizes, and the values.
    """
    rank = 1 + len(sample)
    head = 4 * (1 + rank)
    magic = (_UNSIGNED_BYTE << 8 | rank).to_bytes(4, "big")
    if content[:4] != magic:
        raise UserError(
            f"{where} is no IDX file of {'images' if sample else 'labels'}: it begins with "
            f"{content[:4].hex() or 'nothing'} and not {magic.hex()}; fetch it again"
        )
    sizes = tuple(int(size) for size in np.frombuffer(content[4:head].ljust(head - 4, b"\0"), ">u4"))
    if sizes[1:] != sample:
        raise UserError(
            f"{where} holds images of {'×'.join(map(str, sizes[1:]))}, and not {'×'.join(map(str, sample))}; "
            "fetch it again"
        )
    expected = head + math.prod(sizes)
    if len(content) != expected:
        raise UserError(
            f"{where} has {len(content):,} bytes, and its header says {expected:,}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(sizes)


def _unpacked(file: _File) -> bytes:
    if not file.name.endswith(".gz"):
        return file.stored
    try:
        with gzip.open(io.BytesIO(file.stored)) as stream:
            # One byte more than the largest plausible file, so that a longer file does not match its header.
            return stream.read(_LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file.where} is damaged ({error}); fetch it again") from None
