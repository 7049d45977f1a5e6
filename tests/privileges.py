"""File permissions that also hold if the tests run as root, to whom the system permits everything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def without_permission(path: Path) -> Iterator[None]:
    """Make a file or folder unreadable for the length of the block."""
    before = path.stat().st_mode
    path.chmod(0)
    if root := os.geteuid() == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(before)


def open_to_all(folder: Path) -> None:
    """Let every user read a folder of pytest and the folders above it."""
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o005:
            above.chmod(above.stat().st_mode | 0o055)
