"""Give a tree of results times that Snakemake accepts, where checksums say that it is sound.

Snakemake makes a result anew that is older than something it was made from.  A copy that has lost the times
of its original, as ``cp -r`` and downloads lose them, may therefore be made anew as a whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from dynamical_loss.errors import UserError
from dynamical_loss.results import verify


def accept(folders: Iterable[Path]) -> verify.Report:
    """Date all results below `folders` to now, if each of them is sound; nothing else of them is changed.

    They all get the same time, so that none is older than another.  It is later than now where something that
    they were made from, or that a link leads to, has a time in the future.  Of a link into a cache of
    Snakemake the link itself is dated and the entry, which others use, is not.

    Returns:
        what `verify.examine` found; if the report has failed, nothing was changed.

    Raises:
        UserError: if one of `folders` does not exist, or a file belongs to another user; nothing was changed.
    """
    report = verify.examine(folders)
    if report.failed:
        return report
    for path in report.files:
        if os.geteuid() not in (0, path.lstat().st_uid):
            # Asked before anything is changed: a tree with some new times may be worse than one with none.
            raise UserError(f"{path} belongs to another user, who alone may date it; work on a copy")
    others = (*report.made_from, *(path for path in report.files if path.is_symlink()))
    now = max(time.time_ns(), *(path.stat().st_mtime_ns for path in others if path.exists()), 0)
    for path in report.files:
        os.utime(path, ns=(now, now), follow_symlinks=False)
    return report
