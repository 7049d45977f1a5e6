"""Front page of the report: what reproduced, what did not, what was not tested, and where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamical_loss.pages.page import Link, Page, Section, Table
from dynamical_loss.report import claims

_TILTING = "Tilting the playing field"
_PAPERS = {
    "Fig. ": _TILTING,
    "Sec. ": _TILTING,
    "section": _TILTING,
    "supplement": _TILTING,
    "arXiv 1906": "Feature and lazy training",
    "arXiv 2302": "Principal flow",
}


def render(
    scale: str, rows: Sequence[claims.Row], pages: Mapping[str, str], missing: Mapping[str, str]
) -> Page:
    """Build the page.

    Args:
        scale: what is shown, in words.
        rows: rows of the table of claims; may be empty.
        pages: addresses of the other pages, by their titles.
        missing: commands that make what is missing, by what it is.
    """
    sections = [Section("Pages", links=[Link(title, address) for title, address in pages.items()])]
    if rows:
        sections.insert(
            0, Section("Claims in numbers", text=[claims.sentence(rows)], tables=[_by_source(rows)])
        )
    if missing:
        table = Table("Each command makes what is missing.", ["Missing", "Command"], list(missing.items()))
        sections.append(Section("Missing", tables=[table], wide=True))
    return Page(
        title="Dynamical loss functions: report",
        lead=[
            f"This report shows {scale}: figures, claims and runs of a pipeline that reproduces "
            '"Tilting the playing field: dynamical loss functions for machine learning" (Ruiz-García, Zhang, '
            "Schoenholz, Liu, ICML 2021) and goes on from there. It needs no network."
        ],
        sections=sections,
    )


def restructured(rows: Sequence[claims.Row]) -> str:
    """Return the numbers of the front page as reStructuredText, for Snakemake's own report."""
    counts = claims.counts(rows)
    lines = [claims.sentence(rows), "", *(f":{verdict}: {count}" for verdict, count in counts.items())]
    return "\n".join(lines) + "\n"


def paper(source: str) -> str:
    """Return which paper a claim is about.

    Examples:
        >>> paper("Fig. 3a"), paper("arXiv 1906.08034, Fig. 3 (Fig. L1 here)"), paper("talk, open question")
        ('Tilting the playing field', 'Feature and lazy training', 'Talk, follow-up and beyond')
    """
    for start, words in _PAPERS.items():
        if source.startswith(start):
            return words
    return "Talk, follow-up and beyond"


def _by_source(rows: Sequence[claims.Row]) -> Table:
    """Return the number of claims of each paper with each verdict."""
    table: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["verdict"]:
            counted = table.setdefault(paper(row["source"]), dict.fromkeys(claims.VERDICTS, 0))
            counted[row["verdict"]] += 1
    cells = [
        [words, *(str(counted[verdict]) for verdict in claims.VERDICTS)] for words, counted in table.items()
    ]
    return Table("Number of claims with each verdict.", ["Source", *claims.VERDICTS], cells)
