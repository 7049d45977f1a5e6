"""Images as files, one folder a class: ``train/<class>/*``, ``test/<class>/*`` in a folder, tar or zip."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from dynamical_loss.datasets import archive
from dynamical_loss.datasets.file_names import as_bytes, of_system, printable
from dynamical_loss.datasets.images import Images
from dynamical_loss.datasets.reading import reading, sha256_of
from dynamical_loss.errors import UserError

SPLITS = ("train", "test")
_LARGEST = 2**20
_MODES = ("RGB", "L", "P", "1")
"""Of Pillow, that become RGB without a loss, where a channel has no more than 8 bits."""

# Where a PNG has the name of its header, which comes first, and the bits of a channel.
_HEADER, _BITS = slice(12, 16), slice(24, 25)


class Folder(NamedTuple):
    """What was read.

    Attributes:
        train: the images of ``train``, by class and name.
        test: those of ``test``.
        formats: of the files, e.g. ``("JPEG",)``.
        sha256: of the archive; or of the lines ``<sha256>  <name>``, as `sha256sum` writes them, of all
            images of the folder in the order of their names.
    """

    train: Images
    test: Images
    formats: tuple[str, ...]
    sha256: str


def read(path: Path, classes: Sequence[str], side: int) -> Folder:
    """All images below `path`; hidden files, and those that lie elsewhere, are passed over.

    Args:
        path: a folder, or a tar or zip archive with the two folders in it or in its only top folder.
        classes: names of the class folders, in the order of the labels.
        side: height and width that every image must have, pixels.

    Returns:
        images in colour, (sample, side, side, 3).

    Raises:
        UserError: if a class has no images, or is none of `classes`; if a file is no PNG or JPEG image of
            this size, or says more than 8 bits of red, green and blue; if the archive is truncated or holds
            links; if the system cannot read something.
    """
    pixels = {split: bytearray() for split in SPLITS}
    order: dict[str, list[tuple[int, bytes]]] = {split: [] for split in SPLITS}
    lines: dict[bytes, str] = {}
    formats = set()
    label = {name: number for number, name in enumerate(classes)}
    for name, content in _tree(path) if path.is_dir() else _packed(path):
        split, folder, _ = PurePosixPath(name).parts
        if folder not in label:
            raise UserError(
                f"{path}: {split}/{printable(folder)} is no class; the classes are {', '.join(classes)}"
            )
        own = as_bytes(name)
        if own in lines:
            raise UserError(f"{path} holds {printable(name)} twice; take one out")
        lines[own] = hashlib.sha256(content).hexdigest()
        decoded, form = _decoded(content, side, f"{path}: {printable(name)}")
        pixels[split] += decoded
        order[split].append((label[folder], own))
        formats.add(form)
    for split in SPLITS:
        present = {number for number, _ in order[split]}
        for name, number in label.items():
            if number not in present:
                raise UserError(
                    f"{path}: no images in {split}/{name}; each of {', '.join(SPLITS)} needs the "
                    f"{len(classes)} class folders {', '.join(classes)}"
                )
    if path.is_dir():
        listing = b"".join(b"%s  %s\n" % (lines[own].encode("ascii"), own) for own in sorted(lines))
        sha256 = hashlib.sha256(listing).hexdigest()
    else:
        sha256 = sha256_of(path)
    train, test = (_sorted(pixels.pop(split), order[split], side) for split in SPLITS)
    return Folder(train, test, tuple(sorted(formats)), sha256)


def _sorted(pixels: bytearray, names: list[tuple[int, bytes]], side: int) -> Images:
    """Images in the order of class and name, so that an archive and its folder are the same dataset."""
    order = sorted(range(len(names)), key=names.__getitem__)
    images = np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 3)
    return Images(images[order], np.array([names[index][0] for index in order], np.uint8))


def _decoded(content: bytes, side: int, where: str) -> tuple[bytes, str]:
    """Red, green and blue of every pixel, and the format of the file."""
    try:
        # The size is known before anything is decoded.
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.size != (side, side):
                width, height = image.size
                raise UserError(
                    f"{where} is {width}×{height} pixels, and not {side}×{side}; replace it or take it out"
                )
            image.load()
            _require_sound(image, content)
            _require_lossless(image, content, where)
            return image.convert("RGB").tobytes(), str(image.format)
    except Image.DecompressionBombError:
        raise UserError(f"{where} is far larger than {side}×{side} pixels; take it out") from None
    except (OSError, ValueError, SyntaxError) as error:  # the last for damaged PNG files
        reason = "truncated" if "truncated" in str(error) else "damaged or of another format"
        raise UserError(f"{where} is no PNG or JPEG image ({reason}); replace it or take it out") from None


def _require_sound(image: ImageFile.ImageFile, content: bytes) -> None:
    """Refuse what Pillow reads although the formats forbid it.

    Raises:
        ValueError: if a chunk of a PNG comes before its header, or a pixel has no colour in the palette.
    """
    if image.format == "PNG" and content[_HEADER] != b"IHDR":
        raise ValueError("no header")
    if image.mode == "P" and 3 * (max(image.tobytes()) + 1) > len(image.getpalette() or ()):
        raise ValueError("no colour")


def _require_lossless(image: ImageFile.ImageFile, content: bytes, where: str) -> None:
    """Refuse an image of which red, green and blue of 8 bits each are not all.

    Raises:
        UserError: if it is one.
    """
    if image.mode not in _MODES:
        raise UserError(f"{where} has the colour mode {image.mode}; convert it to RGB")
    # Pillow opens images in colour of 16 bits as such of 8.
    if image.format == "PNG" and content[_BITS] == b"\x10":
        raise UserError(f"{where} has 16 bits a channel, of which 8 would be lost; convert it to 8")
    if "transparency" in image.info:
        raise UserError(f"{where} states transparency, which would be lost; convert it to RGB")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UserError(f"{where} holds {frames} images, of which all but one would be lost; keep one alone")


def _tree(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name relative to `path` and content of every file in a class folder."""
    for split in SPLITS:
        for folder in _visible(path / split):
            for file in _visible(folder):
                name = f"{split}/{of_system(folder.name)}/{of_system(file.name)}"
                with reading(file):
                    if not file.is_file() or file.stat().st_size > _LARGEST:
                        raise UserError(f"{path}: {printable(name)} is no image; take it out")
                    content = file.read_bytes()
                yield name, content


def _visible(folder: Path) -> list[Path]:
    with reading(folder):
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _packed(path: Path) -> Iterator[tuple[str, bytes]]:
    """The same of an archive, whose top folder does not count."""
    tops: set[tuple[str, ...]] = set()
    for name, content in archive.members(path, _LARGEST):
        parts = PurePosixPath(name).parts
        start = next((depth for depth, part in enumerate(parts[:2]) if part in SPLITS), len(parts))
        top, own = parts[:start], parts[start:]
        if len(own) < 3 or any(part.startswith(".") for part in own[1:3]):
            continue
        if len(own) > 3:
            raise UserError(f"{path}: {printable('/'.join(own[:3]))} is no image; take it out")
        tops.add(top)
        if len(tops) > 1:
            raise UserError(f"{path} holds several folders '{own[0]}'; pack one dataset alone")
        yield "/".join(own), content
