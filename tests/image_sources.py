"""Small sets of images, in the file formats of the real datasets."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from dynamical_loss.datasets.cifar10 import CLASS_NAMES

Array = npt.NDArray[Any]

Part = tuple[Array, Array]
"""Images (sample, row, column, channel) and labels (sample,)."""


def cifar(count: int, seed: int) -> Part:
    """Return random images (sample, 32, 32, 3), and labels that repeat 0 … 9."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 32, 32, 3), np.uint8), np.arange(count, dtype=np.uint8) % 10


def pack(
    path: Path, files: Mapping[str, bytes], mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w:gz"
) -> Path:
    """Write a tar archive of files, given by name, and return its path."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pack_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip archive of files, given by name, and return its path."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def planes(images: Array) -> Array:
    """Return images with one channel after another, as in both official archives, (sample, byte)."""
    return np.stack([images[..., channel] for channel in range(3)], axis=1).reshape(len(images), -1)


def batches(train: Part, test: Part) -> dict[str, Part]:
    """Return five parts of the training set, and the test set, by their official names."""
    images, labels = train
    parts = zip(np.array_split(images, 5), np.array_split(labels, 5), strict=True)
    return {f"data_batch_{number}": part for number, part in enumerate(parts, 1)} | {"test_batch": test}


def binary_files(train: Part, test: Part) -> dict[str, bytes]:
    """Return the files of the official binary archive by name."""
    return {
        f"cifar-10-batches-bin/{name}.bin": np.hstack([labels[:, None], planes(images)]).tobytes()
        for name, (images, labels) in batches(train, test).items()
    }


def string(content: bytes) -> bytes:
    """Return a string as Python 2 pickles it: BINSTRING."""
    return b"T" + struct.pack("<i", len(content)) + content


def integer(value: int) -> bytes:
    """Return an integer as Python 2 pickles it: BININT."""
    return b"J" + struct.pack("<i", value)


def python2_array(values: Array) -> bytes:
    """Return a matrix of bytes as numpy pickles it under Python 2, with protocol 2."""
    shape = b"".join(map(integer, values.shape))
    dtype = (
        b"cnumpy\ndtype\n" + string(b"u1") + integer(0) + integer(1) + b"\x87R"
        b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    )  # fmt: skip
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\n" + integer(0) + b"\x85" + string(b"b") + b"\x87R"
        b"(" + integer(1) + shape + b"\x86" + dtype + b"\x89" + string(values.tobytes()) + b"tb"
    )  # fmt: skip


def python2_batch(images: Array, labels: Array) -> bytes:
    """Return a batch as in the official archive for Python."""
    listed = b"](" + b"".join(map(integer, labels.tolist())) + b"e"
    content = string(b"data") + python2_array(planes(images)) + string(b"labels") + listed
    return b"\x80\x02}(" + content + b"u."


def python_files(train: Part, test: Part) -> dict[str, bytes]:
    """Return the files of the official archive for Python by name."""
    return {
        f"cifar-10-batches-py/{name}": python2_batch(*part) for name, part in batches(train, test).items()
    }


def encoded(image: Array, form: str) -> bytes:
    """Return an image as a file in a format of Pillow, e.g. ``PNG`` or ``JPEG``."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, form, **({"quality": 75} if form == "JPEG" else {}))
    return stream.getvalue()


def png(
    image: Array,
    *,
    bits: int = 8,
    colour: int,
    first: Iterable[tuple[bytes, bytes]] = (),
    before: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """Return a PNG file, made chunk by chunk.

    Args:
        image: rows of bytes, as they are stored, (row, byte).
        bits: number of bits of a channel, or of an index into the palette.
        colour: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        first: name and content of chunks before the header, where the format allows none.
        before: name and content of chunks between the header and the image.
    """
    width = 8 * image.shape[1] // (bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    header = struct.pack(">IIBBBBB", width, len(image), bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = (*first, (b"IHDR", header), *before, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def image_files(
    train: Part, test: Part, form: str = "PNG", names: Sequence[str] = CLASS_NAMES
) -> dict[str, bytes]:
    """Return one file per image by name, with one folder per class."""
    return {
        f"{split}/{names[label]}/{number:04}.{form.lower()}": encoded(image, form)
        for split, (images, labels) in (("train", train), ("test", test))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    }


def spread(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, given by name, to a folder, and return the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def idx(values: Array) -> bytes:
    """Return an array of bytes as an IDX file."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def fashion(folder: Path, train: Part, test: Part, compressed: bool = True) -> Path:
    """Write four files like those of Fashion-MNIST to a folder, and return the folder."""
    folder.mkdir(exist_ok=True)
    for part, (images, labels) in (("train", train), ("t10k", test)):
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx(values), mtime=0) if compressed else idx(values)
            (folder / f"{part}-{name}-ubyte{'.gz' if compressed else ''}").write_bytes(content)
    return folder
