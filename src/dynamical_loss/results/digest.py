"""Where a result came from: digests of code and settings, the git state, the machine.

Only the standard library is imported here, because the Snakefile computes digests each time it is
read.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent
REPOSITORY = PACKAGE.parent.parent
LOCK_FILES = ("envs/cpu.txt", "envs/cuda.txt")


def _path(module: str) -> Path | None:
    """The file of a module of this package, or None if there is none."""
    relative = Path(*module.split(".")[1:])
    for candidate in ((PACKAGE / relative).with_suffix(".py"), PACKAGE / relative / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Modules of this package that `module` imports, at any depth of its source, and its parent."""
    path = _path(module)
    if path is None:
        return frozenset()
    # Importing a module runs the packages it lies in first, so they count too.
    found = {module.rpartition(".")[0]} - {""}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name for name in names if name.split(".")[0] == PACKAGE.name and _path(name)}
    return frozenset(found)


def imported_modules(roots: Iterable[str]) -> list[str]:
    """All modules of this package that the `roots` import, directly or not, sorted, roots included.

    Args:
        roots: dotted names, e.g. ``dynamical_loss.stages.train_phase_block``.

    Raises:
        ValueError: if a root does not exist.
    """
    waiting, seen = list(roots), set()
    for root in waiting:
        if _path(root) is None:
            raise ValueError(f"no module {root}")
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += _imports(module)
    return sorted(seen)


def code_digest(*roots: str) -> str:
    """Digest of everything a stage's numbers depend on in this repository.

    It covers the source of the `roots` and of all modules of this package that they import, and the
    lock files.  Editing a figure therefore changes no digest of training; editing the training step
    changes those of all training rules.

    Args:
        roots: dotted names of modules of this package.

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: if a root does not exist.
    """
    digest = hashlib.sha256()
    for module in imported_modules(roots):
        digest.update(module.encode())
        digest.update(_path(module).read_bytes())  # type: ignore[union-attr]
    for name in LOCK_FILES:
        path = REPOSITORY / name
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Digest of settings, whatever the order of their keys (16 hexadecimal digits)."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
