"""What the system refuses: permissions, also where the tests run as root, whom nothing stops."""

import os
from contextlib import contextmanager

_NOBODY = 65534


@contextmanager
def without_permission(path):
    """While this lasts, a file or folder cannot be read."""
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


def open_to_all(folder):
    """Let any user look through the folders above one of pytest's."""
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o005:
            above.chmod(above.stat().st_mode | 0o055)
