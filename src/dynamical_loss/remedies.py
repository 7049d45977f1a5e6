"""What to do about a result that cannot be used: the commands of Snakemake and git that bring it back."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from dynamical_loss.errors import ResultError, UserError


def in_words(error: UserError) -> str:
    """An error as one line, with the remedy where it is about a result."""
    return f"{error}; {remedy(error.path)}" if isinstance(error, ResultError) else str(error)


def remedy(path: Path) -> str:
    """How to get a good file in the place of one that cannot be used."""
    parts = path.parts
    shown = shlex.quote(str(path))
    if ("paper_figures", "data") in itertools.pairwise(parts[:-1]):
        return f"restore it with: git checkout -- {shown}"
    if parts[-2:-1] == ("paper_figures",):
        return f"{_without_entry(path)}make it with: snakemake --cores 1 --force {shown}"
    if "results" not in parts[:-2]:
        return "name another file, or write it anew"
    # A scale's results are made with the overlay of that name, where there is one.
    overlay = Path("workflow", "scales", f"{parts[parts.index('results') + 1]}.yaml")
    configfile = f" --configfile {shlex.quote(str(overlay))}" if overlay.is_file() else ""
    return f"{_without_entry(path)}make it with: snakemake --cores 1 --force {shown}{configfile}"


def _without_entry(path: Path) -> str:
    """What has to be removed first: the entry of a cache that a result is a link to.

    Snakemake would take a damaged entry again, even with ``--force``.
    """
    if not path.is_symlink() or not path.exists():
        return ""
    return f"remove the cache's entry with: rm {shlex.quote(str(path.resolve()))}; then "
