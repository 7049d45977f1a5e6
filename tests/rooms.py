"""The rooms of the package and who uses whom, from the imports of every module."""

import itertools
from pathlib import Path

from dynamical_loss.results import digest

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.md"
START, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"

# From left to right: a room may use those before it.
ROOMS = (
    "errors", "notation", "settings", "kinds", "grid", "progress", "program_cache", "environment",
    "optimisers", "results",
    "datasets", "models", "config", "losses", "training", "flows", "probes", "analysis", "paper", "claims",
    "figures", "resources", "remedies", "stages", "cli",
)  # fmt: skip
# Small modules that everybody uses would hide the rest of the picture.
FOR_ALL = (
    "errors", "notation", "settings", "kinds", "grid", "progress", "program_cache", "environment",
    "optimisers",
)  # fmt: skip


def modules():
    """Dotted names of all modules but the package's own front door."""
    for path in sorted(digest.PACKAGE.rglob("*.py")):
        parts = path.relative_to(digest.PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[1:] not in (("__init__",), ("__main__",)):
            yield name


def room(module):
    return module.split(".")[1]


def imports(module):
    """What a module imports, without the packages that it lies in."""
    return {name for name in digest._parsed(module).imports if not f"{module}.".startswith(f"{name}.")}


def arrows():
    """(using room, used room) of each pair that occurs, with one pair of modules as an example."""
    found = {}
    for module in modules():
        for used in sorted(imports(module)):
            if used != "dynamical_loss" and room(used) != room(module):
                found.setdefault((room(module), room(used)), (module, used))
    return found


def circles():
    """Modules that import each other, as sorted lists."""
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


def picture():
    """A diagram of the rooms, without those that everybody uses."""
    drawn = sorted(
        (ROOMS.index(used), ROOMS.index(using))
        for using, used in arrows()
        if used not in FOR_ALL and using not in FOR_ALL
    )
    lines = [f"    {ROOMS[using]} --> {ROOMS[used]}" for used, using in drawn]
    return "\n".join(["```mermaid", "flowchart RL", *lines, "```", ""])


def updated(text):
    """The document with the present picture."""
    before, rest = text.split(START)
    return before + START + picture() + END + rest.split(END)[1]


if __name__ == "__main__":
    PICTURE.write_text(updated(PICTURE.read_text(encoding="utf-8")), encoding="utf-8")
