"""Small sets of images, written in the layouts of the real ones."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import numpy as np
from PIL import Image

from dynamical_loss.datasets.cifar10 import CLASS_NAMES


def cifar(count, seed):
    """Random images (sample, 32, 32, 3) and labels 0 … 9 in turn."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 32, 32, 3), np.uint8), np.arange(count, dtype=np.uint8) % 10


def pack(path, files, mode="w:gz"):
    """A tar of files, by name."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pack_zip(path, files, method=zipfile.ZIP_DEFLATED):
    """A zip of files, by name."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def planes(images):
    """Channel after channel, as both official archives have them."""
    return np.stack([images[..., channel] for channel in range(3)], axis=1).reshape(len(images), -1)


def batches(train, test):
    """Five parts of the training set, and the test set, by the official names."""
    images, labels = train
    parts = zip(np.array_split(images, 5), np.array_split(labels, 5), strict=True)
    return {f"data_batch_{number}": part for number, part in enumerate(parts, 1)} | {"test_batch": test}


def binary_files(train, test):
    """What the official binary archive holds."""
    return {
        f"cifar-10-batches-bin/{name}.bin": np.hstack([labels[:, None], planes(images)]).tobytes()
        for name, (images, labels) in batches(train, test).items()
    }


def string(content):
    """A string as Python 2 pickles it: BINSTRING."""
    return b"T" + struct.pack("<i", len(content)) + content


def integer(value):
    return b"J" + struct.pack("<i", value)


def python2_array(values):
    """A matrix of bytes as numpy of Python 2 pickles it, protocol 2."""
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


def python2_batch(images, labels):
    """A batch as the official archive for Python has it."""
    listed = b"](" + b"".join(map(integer, labels.tolist())) + b"e"
    content = string(b"data") + python2_array(planes(images)) + string(b"labels") + listed
    return b"\x80\x02}(" + content + b"u."


def python_files(train, test):
    """What the official archive for Python holds."""
    return {
        f"cifar-10-batches-py/{name}": python2_batch(*part) for name, part in batches(train, test).items()
    }


def encoded(image, form):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, form, **({"quality": 75} if form == "JPEG" else {}))
    return stream.getvalue()


def png(image, *, bits=8, colour, first=(), before=()):
    """A PNG file, chunk by chunk.

    Args:
        image: rows of bytes, (row, byte), as they are stored.
        bits: of a channel, or of an index into the palette.
        colour: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        first: name and content of chunks before the header, where none may be.
        before: likewise of the chunks before the image.
    """
    width = 8 * image.shape[1] // (bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    header = struct.pack(">IIBBBBB", width, len(image), bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = (*first, (b"IHDR", header), *before, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def image_files(train, test, form="PNG", names=CLASS_NAMES):
    """One file an image, one folder a class."""
    return {
        f"{split}/{names[label]}/{number:04}.{form.lower()}": encoded(image, form)
        for split, (images, labels) in (("train", train), ("test", test))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    }


def spread(folder, files):
    """The same as a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def idx(values):
    """An IDX file of bytes."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def fashion(folder, train, test, compressed=True):
    """Four files as those of Fashion-MNIST."""
    folder.mkdir(exist_ok=True)
    for part, (images, labels) in (("train", train), ("t10k", test)):
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx(values), mtime=0) if compressed else idx(values)
            (folder / f"{part}-{name}-ubyte{'.gz' if compressed else ''}").write_bytes(content)
    return folder
