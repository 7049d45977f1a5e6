"""The rooms of the package (its subpackages and top-level modules), and which room imports which.

The picture in docs/architecture.md follows from the imports of all modules.  ``python tests/rooms.py`` writes
the picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from dynamical_loss.results import digest

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.md"
START, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"

# A room may import only the rooms before it in this list.
ROOMS = (
    "errors", "notation", "settings", "kinds", "grid", "progress", "processor", "program_cache",
    "environment", "optimisers", "arrays", "results",
    "datasets", "models", "config", "losses", "training", "flows", "probes", "analysis", "api", "adapters",
    "paper", "claims",
    "figures", "pages", "explorer", "resources", "remedies", "report", "stages", "cli",
)  # fmt: skip
# Small modules that all rooms import are left out of the picture, because their arrows would hide the others.
FOR_ALL = (
    "errors", "notation", "settings", "kinds", "grid", "progress", "processor", "program_cache",
    "environment", "optimisers", "arrays",
)  # fmt: skip


def modules() -> Iterator[str]:
    """Yield the dotted names of all modules except ``__init__`` and ``__main__`` of the package itself."""
    for path in sorted(digest.PACKAGE.rglob("*.py")):
        parts = path.relative_to(digest.PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[1:] not in (("__init__",), ("__main__",)):
            yield name


def room(module: str) -> str:
    """Return the room of a module."""
    return module.split(".")[1]


def imports(module: str) -> set[str]:
    """Return the names that a module imports, without the packages that contain the module."""
    return {name for name in digest._parsed(module).imports if not f"{module}.".startswith(f"{name}.")}


def arrows() -> dict[tuple[str, str], tuple[str, str]]:
    """Return the pairs (importing room, imported room), each with a pair of modules as an example."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for module in modules():
        for used in sorted(imports(module)):
            if used != "dynamical_loss" and room(used) != room(module):
                found.setdefault((room(module), room(used)), (module, used))
    return found


def circles() -> list[tuple[str, ...]]:
    """Return the groups of modules that import each other, directly or not, each group sorted by name."""
    reach = {module: set(imports(module)) for module in modules()}
    for middle, left in itertools.product(list(reach), list(reach)):
        if middle in reach[left]:
            reach[left] |= reach.get(middle, set())
    return sorted(
        {
            tuple(sorted(other for other in reach[module] if module in reach.get(other, ())))
            for module in reach
            if module in reach[module]
        }
    )


def picture() -> str:
    """Return a diagram of the rooms as Mermaid code, without the rooms that all others import."""
    drawn = sorted(
        (ROOMS.index(used), ROOMS.index(using))
        for using, used in arrows()
        if used not in FOR_ALL and using not in FOR_ALL
    )
    lines = [f"    {ROOMS[using]} --> {ROOMS[used]}" for used, using in drawn]
    return "\n".join(["```mermaid", "flowchart RL", *lines, "```", ""])


def updated(text: str) -> str:
    """Return the document with a new picture."""
    before, rest = text.split(START)
    return before + START + picture() + END + rest.split(END)[1]


if __name__ == "__main__":
    PICTURE.write_text(updated(PICTURE.read_text(encoding="utf-8")), encoding="utf-8")
