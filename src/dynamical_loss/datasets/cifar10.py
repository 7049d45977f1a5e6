"""CIFAR-10 in whatever form it is at hand: an official archive, or images as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from dynamical_loss import checksums
from dynamical_loss.datasets import cifar10_binary, cifar10_python, image_folder
from dynamical_loss.datasets.images import OFFICIAL_SPLIT, Images, Source, base_name
from dynamical_loss.errors import UserError

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class Official(NamedTuple):
    """An archive of the authors of CIFAR-10.

    Attributes:
        sha256: of the file.
        kind: in words.
        read: what gives its training and test images.
    """

    sha256: str
    kind: str
    read: Callable[[Path], tuple[Images, Images]]


BINARY_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
PYTHON_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
OFFICIAL = {
    "cifar-10-binary.tar.gz": Official(BINARY_SHA256, "official binary archive", cifar10_binary.read),
    "cifar-10-python.tar.gz": Official(PYTHON_SHA256, "official archive for Python", cifar10_python.read),
}


def read(path: Path, official: Mapping[str, Official] = OFFICIAL) -> Source:
    """All images.

    An official archive is known by its checksum, whatever its name.

    Args:
        path: an official archive, or a folder or tar of images as `image_folder` reads them.
        official: the official archives, by name.

    Raises:
        UserError: if it is missing, has an official name and another checksum, or cannot be read.
    """
    if path.is_dir():
        return _from_images(path)
    if not path.is_file():
        raise UserError(
            f"{path} does not exist; download it with: python -m dynamical_loss download-dataset, or set "
            "datasets.<name>.source to a copy"
        )
    sha256 = checksums.of_file(path)
    for archive in official.values():
        if archive.sha256 == sha256:
            train, test = archive.read(path)
            origin = f"{base_name(path)} ({archive.kind})"
            return _source("CIFAR-10", origin, sha256, train, test)
    if path.name in official:
        raise UserError(
            f"{path} is not the official file: SHA-256 {official[path.name].sha256} expected, "
            f"{sha256} found; remove it and download it again"
        )
    return _from_images(path)


def _from_images(path: Path) -> Source:
    found = image_folder.read(path, CLASS_NAMES, cifar10_binary.SIDE)
    formats = " and ".join(found.formats)
    lossy = " (lossy)" if "JPEG" in found.formats else ""
    kind = "folder" if path.is_dir() else "tar"
    return _source(
        f"CIFAR-10 from {formats} copies{lossy}",
        f"{base_name(path)} ({kind} of {formats} images)",
        found.sha256,
        found.train,
        found.test,
    )


def _source(title: str, origin: str, sha256: str, train: Images, test: Images) -> Source:
    return Source("CIFAR-10", title, origin, sha256, OFFICIAL_SPLIT, train, test, CLASS_NAMES)
