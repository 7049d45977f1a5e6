"""Give the files of a tree of results times that Snakemake accepts, if their checksums are right.

Snakemake re-runs a job if its result is older than one of its inputs.  ``cp -r`` and downloads do not keep
the times of the original files, so Snakemake might recompute every result of such a copy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from dynamical_loss.errors import UserError
from dynamical_loss.results import verify


def accept(folders: Iterable[Path]) -> verify.Report:
    """Set the modification time of all results below `folders` to now, if none of them has a fault.

    All files get the same time, so that none is older than another.  The time is later than now if an input
    of the results, or the target of a link, has a time in the future.  For a link into a cache of Snakemake,
    the time of the link is set.  The time of the entry in the cache, which other users share, stays the same.

    Returns:
        report of `verify.examine`; if it has failed, nothing was changed.

    Raises:
        UserError: if one of `folders` does not exist, or a file belongs to another user; nothing was changed.
    """
    report = verify.examine(folders)
    if report.failed:
        return report
    for path in report.files:
        if os.geteuid() not in (0, path.lstat().st_uid):
            # Checked before any change: a tree with some new times may be worse than a tree with none.
            raise UserError(f"{path} belongs to another user, so its time cannot be set; work on a copy")
    others = (*report.made_from, *(path for path in report.files if path.is_symlink()))
    now = max(time.time_ns(), *(path.stat().st_mtime_ns for path in others if path.exists()), 0)
    for path in report.files:
        os.utime(path, ns=(now, now), follow_symlinks=False)
    return report
