"""The text of HTML pages as a reader sees it, and a name that must appear as text."""

from __future__ import annotations

import html
import re
from pathlib import Path

HOSTILE = "<script>alert('1')</script> & \"quoted\""


def text_of(path: Path) -> str:
    """Return the text of a page without its scripts and styles, with single spaces."""
    content = re.sub(r"<(script|style)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())
