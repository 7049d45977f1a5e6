"""Compute a digest of the content of a folder without reading all its files."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

_DEPTH = 8  # depth of folders, because links may lead back into a folder above
_READ = 16  # largest number of files whose content is read; with more files, names and sizes suffice


@functools.cache
def of_folder(folder: Path) -> str:
    """Return a digest of the names and sizes of the files below a folder; of few files also the content.

    Folders that are links count too, because the readers of images follow them.  Files more than eight
    folders deep do not count; images lie two deep.

    Some formats fix the size of a file: MNIST and Fashion-MNIST differ in nothing but their content.  Two
    sets of thousands of compressed images never agree in all their sizes by chance.

    Args:
        folder: folder to examine; hidden files and folders do not count.

    Returns:
        16 hexadecimal digits.

    Raises:
        OSError: if a file is a broken link or cannot be read.
    """
    files = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if len(Path(parent).relative_to(folder).parts) >= _DEPTH:
            folders.clear()
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    digest = hashlib.sha256()
    for path in sorted(files):
        # A name is a string of bytes, which need not be valid text.
        name = os.fsencode(path.relative_to(folder))
        digest.update(b"%s %d\n" % (name, path.stat().st_size))
        if len(files) <= _READ:
            with open(path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
