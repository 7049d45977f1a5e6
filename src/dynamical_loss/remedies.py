"""Commands of Snakemake and git that restore a result which cannot be used."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from dynamical_loss.errors import ResultError, UserError


def in_words(error: UserError) -> str:
    """Return an error as one line, with the remedy if the error is about a result."""
    return f"{error}; {remedy(error.path)}" if isinstance(error, ResultError) else str(error)


def remedy(path: Path) -> str:
    """Return the instruction that replaces an unusable file by an intact one."""
    parts = path.parts
    shown = shlex.quote(str(path))
    if ("paper_figures", "data") in itertools.pairwise(parts[:-1]):
        return f"restore it with: git checkout -- {shown}"
    if parts[-2:-1] == ("paper_figures",):
        return f"{_without_entry(path)}make it with: snakemake --cores 1 --force {shown}"
    if "results" not in parts[:-2]:
        return "name another file, or create it again"
    # The results of a scale are made with the overlay of the same name, if there is one.
    overlay = Path("workflow", "scales", f"{parts[parts.index('results') + 1]}.yaml")
    configfile = f" --configfile {shlex.quote(str(overlay))}" if overlay.is_file() else ""
    return f"{_without_entry(path)}make it with: snakemake --cores 1 --force {shown}{configfile}"


def _without_entry(path: Path) -> str:
    """Return the instruction to first remove the cache entry to which a result links; empty if there is none.

    Snakemake would reuse a damaged cache entry, even with ``--force``.
    """
    if not path.is_symlink() or not path.exists():
        return ""
    return f"remove the cache's entry with: rm {shlex.quote(str(path.resolve()))}; then "
