"""Read image files from a folder, tar or zip that has one folder per class.

The files are ``train/<class>/*`` and ``test/<class>/*``.
"""

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
"""Pillow's colour modes that convert to RGB without a loss if a channel has at most 8 bits."""

# Positions in a PNG file: the name of the first chunk, which must be the header, and the bits per channel.
_HEADER, _BITS = slice(12, 16), slice(24, 25)


class Folder(NamedTuple):
    """Images that were read from a folder or archive.

    Attributes:
        train: images of ``train``, sorted by class and name.
        test: images of ``test``, sorted by class and name.
        formats: formats of the files, e.g. ``("JPEG",)``.
        sha256: checksum of the archive; for a folder, the checksum of the lines ``<sha256>  <name>``, as
            `sha256sum` prints them, for all images in the order of their names.
    """

    train: Images
    test: Images
    formats: tuple[str, ...]
    sha256: str


def read(path: Path, classes: Sequence[str], side: int) -> Folder:
    """Read all images in the class folders below `path`; hidden files and files elsewhere are ignored.

    Args:
        path: a folder, or a tar or zip archive, with the folders ``train`` and ``test``; in an archive they
            may lie in a single top folder.
        classes: names of the class folders, in the order of the labels.
        side: height and width that every image must have, in pixels.

    Returns:
        colour images, (sample, side, side, 3).

    Raises:
        UserError: if a class has no images or is not one of `classes`; if a file is no PNG or JPEG image of
            this size, or holds more than red, green and blue with 8 bits each; if the archive is truncated or
            holds links; or if the system cannot read a file.
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
    """Sort images by class and name, so that an archive and its unpacked folder are the same dataset."""
    order = sorted(range(len(names)), key=names.__getitem__)
    images = np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 3)
    return Images(images[order], np.array([names[index][0] for index in order], np.uint8))


def _decoded(content: bytes, side: int, where: str) -> tuple[bytes, str]:
    """Return red, green and blue of every pixel, and the format of the file."""
    try:
        # The size is known, and checked, before the image is decoded.
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
    except (OSError, ValueError, SyntaxError) as error:  # damaged PNG files raise SyntaxError
        reason = "truncated" if "truncated" in str(error) else "damaged or of another format"
        raise UserError(f"{where} is no PNG or JPEG image ({reason}); replace it or take it out") from None


def _require_sound(image: ImageFile.ImageFile, content: bytes) -> None:
    """Refuse files that Pillow reads although they violate their format.

    Raises:
        ValueError: if a chunk of a PNG comes before the header, or a pixel has no colour in the palette.
    """
    if image.format == "PNG" and content[_HEADER] != b"IHDR":
        raise ValueError("no header")
    if image.mode == "P" and 3 * (max(image.tobytes()) + 1) > len(image.getpalette() or ()):
        raise ValueError("no colour")


def _require_lossless(image: ImageFile.ImageFile, content: bytes, where: str) -> None:
    """Refuse an image that holds more information than red, green and blue with 8 bits each.

    Raises:
        UserError: if a conversion to RGB would lose information.
    """
    if image.mode not in _MODES:
        raise UserError(f"{where} has the colour mode {image.mode}; convert it to RGB")
    # Pillow silently opens colour images of 16 bits as images of 8 bits.
    if image.format == "PNG" and content[_BITS] == b"\x10":
        raise UserError(f"{where} has 16 bits a channel, of which 8 would be lost; convert it to 8")
    if "transparency" in image.info:
        raise UserError(f"{where} states transparency, which would be lost; convert it to RGB")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UserError(f"{where} holds {frames} images, of which all but one would be lost; keep one alone")


def _tree(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name relative to `path` and the content of every file in a class folder."""
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
    """Yield the name, without a top folder, and the content of every file in a class folder of an archive."""
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
