"""The list of all pages of a configuration, made and missing."""

from __future__ import annotations

from collections.abc import Mapping

from dynamical_loss.pages.page import Link, Page, Section, Table

LINK = Link("All pages", "../index.html")
"""Link from the page of a study to this list."""

_HEADINGS = {
    "phase": "Phase diagrams: accuracy over (T, A)",
    "threshold": "Thresholds of instability",
    "run": "Runs, step by step",
}


def render(scale: str, made: Mapping[str, str], missing: Mapping[str, str]) -> Page:
    """Build the list.

    Args:
        scale: what is shown, in words.
        made: first sentence of each page that exists, by kind and name, e.g. ``phase/spiral_w100``.
        missing: command that makes each page whose results are missing, by kind and name.
    """
    sections = []
    for kind, heading in _HEADINGS.items():
        rows = [
            (Link(page.partition("/")[2], f"{page}.html"), words)
            for page, words in made.items()
            if page.partition("/")[0] == kind
        ]
        if rows:
            sections.append(
                Section(heading, tables=[Table("Pages", ["Page", "What it shows"], rows)], wide=True)
            )
    lead = [f"Pages that show {scale}: {len(made)}. They need no network."]
    if missing:
        lead.append(f"Pages that are missing, because their results have not been computed: {len(missing)}.")
        table = Table(
            "Each command computes the results and makes the page.",
            ["Page", "Command"],
            [*missing.items()],
        )
        sections.append(Section("Missing pages", tables=[table], wide=True))
    return Page(title="Explorer", lead=lead, sections=sections)
