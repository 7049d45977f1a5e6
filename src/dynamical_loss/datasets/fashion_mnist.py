"""Fashion-MNIST: four IDX files, each compressed with gzip or not."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from dynamical_loss.datasets.images import OFFICIAL_SPLIT, Bytes, Images, Source, base_name, require_labels
from dynamical_loss.errors import UserError

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_SIDE = 28
_MOST = 100_000  # images that are plausible in a file
_UNSIGNED_BYTE = 8  # in the third byte of an IDX file


def read(folder: Path) -> Source:
    """All images.

    Args:
        folder: holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same of ``t10k``,
            with or without the suffix ``.gz``.

    Raises:
        UserError: if one of the files is missing, truncated, no IDX file or does not fit the others.
    """
    listing: list[str] = []
    train, test = (_images(folder, part, listing) for part in ("train", "t10k"))
    return Source(
        dataset="Fashion-MNIST",
        title="Fashion-MNIST",
        origin=f"{base_name(folder)} (folder of IDX files)",
        sha256=hashlib.sha256(
            "".join(sorted(listing, key=lambda line: line.split()[1])).encode()
        ).hexdigest(),
        split=OFFICIAL_SPLIT,
        train=train,
        validation=test,
        class_names=CLASS_NAMES,
    )


def _images(folder: Path, part: str, listing: list[str]) -> Images:
    pixels = _idx(folder, f"{part}-images-idx3-ubyte", (_SIDE, _SIDE), listing)
    labels = _idx(folder, f"{part}-labels-idx1-ubyte", (), listing)
    if len(pixels) != len(labels):
        raise UserError(
            f"{folder}: {part} has {len(pixels):,} images and {len(labels):,} labels; fetch them again"
        )
    return Images(pixels[..., np.newaxis], require_labels(labels, len(CLASS_NAMES), f"{folder}: {part}"))


def _idx(folder: Path, name: str, sample: tuple[int, ...], listing: list[str]) -> Bytes:
    """Values (sample, …) of an IDX file: type and rank, big-endian sizes, then the values."""
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if path is None:
        raise UserError(
            f"{folder} holds no {name} or {name}.gz; install Debian's dataset-fashion-mnist, or set "
            "datasets.<name>.source to the folder of the four files"
        )
    stored = path.read_bytes()
    listing.append(f"{hashlib.sha256(stored).hexdigest()}  {path.name}\n")
    rank = 1 + len(sample)
    head = 4 * (1 + rank)
    most = head + _MOST * math.prod(sample)
    content = _unpacked(path, most) if path.suffix == ".gz" else stored
    magic = (_UNSIGNED_BYTE << 8 | rank).to_bytes(4, "big")
    if content[:4] != magic:
        raise UserError(
            f"{path} is no IDX file of {'images' if sample else 'labels'}: it begins with "
            f"{content[:4].hex() or 'nothing'} and not {magic.hex()}; fetch it again"
        )
    sizes = tuple(int(size) for size in np.frombuffer(content[4:head].ljust(head - 4, b"\0"), ">u4"))
    if sizes[1:] != sample:
        raise UserError(
            f"{path} holds images of {'×'.join(map(str, sizes[1:]))}, and not {'×'.join(map(str, sample))}; "
            "fetch it again"
        )
    expected = head + math.prod(sizes)
    if len(content) != expected:
        raise UserError(f"{path} has {len(content):,} bytes of {expected:,} that it states; fetch it again")
    return np.frombuffer(content, np.uint8, offset=head).reshape(sizes)


def _unpacked(path: Path, most: int) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged ({error}); fetch it again") from None
