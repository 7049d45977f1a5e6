"""Read CIFAR-10 from an official archive or from image files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dynamical_loss.datasets import archive, cifar10_binary, cifar10_python, image_folder
from dynamical_loss.datasets.images import OFFICIAL_SPLIT, UNCHECKED_SPLIT, Images, Source, base_name
from dynamical_loss.datasets.official import SHA256
from dynamical_loss.datasets.reading import reading, sha256_of
from dynamical_loss.errors import UserError

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class Official(NamedTuple):
    """Archive that the authors of CIFAR-10 publish.

    Attributes:
        sha256: checksum of the archive.
        kind: kind of archive, in words.
        folder: folder in the archive that holds its files.
        read: function that returns the training and test images.
    """

    sha256: str
    kind: str
    folder: str
    read: Callable[[Path], tuple[Images, Images]]


BINARY_SHA256 = SHA256["cifar-10-binary.tar.gz"]
OFFICIAL = {
    "cifar-10-binary.tar.gz": Official(
        BINARY_SHA256, "official binary archive", cifar10_binary.FOLDER, cifar10_binary.read
    ),
    "cifar-10-python.tar.gz": Official(
        SHA256["cifar-10-python.tar.gz"],
        "official archive for Python",
        cifar10_python.FOLDER,
        cifar10_python.read,
    ),
}


def read(path: Path, official: Mapping[str, Official] = OFFICIAL) -> Source:
    """Read all images.

    An official archive is recognised by its checksum, whatever its name.

    Args:
        path: an official archive, or a folder, tar or zip of images as `image_folder` reads them.
        official: the official archives, by name.

    Raises:
        UserError: if the file is missing or cannot be read, or if it has the name or the files of an official
            archive but another checksum.
    """
    with reading(path):
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return _from_images(path)
    if not is_file:
        raise UserError(
            f"{path} does not exist; download it with: python -m dynamical_loss download-dataset, or set "
            "datasets.<name>.source to a copy"
        )
    sha256 = sha256_of(path)
    for known in official.values():
        if known.sha256 == sha256:
            train, test = known.read(path)
            origin = f"{base_name(path)} ({known.kind})"
            return _source("CIFAR-10", origin, sha256, train, test)
    if path.name in official:
        raise _altered(path, official[path.name], sha256)
    try:
        return _from_images(path)
    except UserError:
        # Checked only after a failure, because this check takes as long as reading the images.
        resembled = _resembled(path, official)
        if resembled is None:
            raise
    raise _altered(path, resembled, sha256)


def _altered(path: Path, known: Official, sha256: str) -> UserError:
    return UserError(
        f"{path} is not the official file: SHA-256 {known.sha256} expected, {sha256} found; remove it and "
        "download it again"
    )


def _resembled(path: Path, official: Mapping[str, Official]) -> Official | None:
    """Return the official archive whose folder appears in the archive at `path`; None if there is none.

    A damaged archive is examined up to the damage.
    """
    folders = {known.folder: known for known in official.values()}
    # Damage ends the list of names early; the checksums in the caller's message report it.
    with suppress(UserError):
        for name in archive.names(path):
            for part in PurePosixPath(name).parts:
                if part in folders:
                    return folders[part]
    return None


def _from_images(path: Path) -> Source:
    """Read image files, which only the names of their folders identify as CIFAR-10."""
    found = image_folder.read(path, CLASS_NAMES, cifar10_binary.SIDE)
    formats = " and ".join(found.formats)
    # `image_folder` reads PNG and JPEG, and PNG alone keeps every bit.
    lossy = found.formats != ("PNG",)
    kind = "folder" if path.is_dir() else archive.kind_of(path)
    source = _source(
        f"CIFAR-10 from {formats} copies ({'lossy, ' if lossy else ''}not checked)",
        f"{base_name(path)} ({kind} of {formats} images)",
        found.sha256,
        found.train,
        found.test,
    )
    return source._replace(copies="lossy" if lossy else "exact", split=UNCHECKED_SPLIT)


def _source(title: str, origin: str, sha256: str, train: Images, test: Images) -> Source:
    return Source("CIFAR-10", title, origin, sha256, OFFICIAL_SPLIT, train, test, CLASS_NAMES)
