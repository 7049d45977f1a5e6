"""The documents, and the fenced blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from project import ROOT

README = ROOT / "README.md"
PAGES = tuple(sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *PAGES)


def text(path: Path) -> str:
    """Read a document."""
    return path.read_text(encoding="utf-8")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Yield the fenced blocks of a language, each after the name of its document."""
    for path in DOCUMENTS:
        for indent, block in re.findall(
            rf"^( *)```{language}\n(.*?)^\1```$", text(path), re.DOTALL | re.MULTILINE
        ):
            yield path.relative_to(ROOT).as_posix(), re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
