"""The claims as a page: verdict, interval, n and rule of each claim, with links to its figure and files."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dynamical_loss.pages.page import Cell, Choice, Link, Page, Section, Table

Row = Mapping[str, str]

VERDICTS = ("reproduced", "contradicted", "undecided", "not tested at this scale")
"""Verdicts in the order in which they are counted."""

_DIGITS, _MOST_DIGITS = 3, 6
_MOST_FILES = 3
_HERE, _PAPER = re.compile(r"\(Fig\. (\w+)"), re.compile(r"Fig\. (\d+)")


def read(path: Path) -> list[Row]:
    """Return the rows of a table of claims."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many claims have each verdict; the closing row of the table has none."""
    found = Counter(row["verdict"] for row in rows if row["verdict"])
    return {verdict: found[verdict] for verdict in VERDICTS}


def number(text: str, digits: int = _DIGITS) -> str:
    """Return a number with so many significant digits, or a dash if there is none.

    Examples:
        >>> number("-1.08765"), number("")
        ('−1.09', '–')
    """
    value = float(text or "nan")
    return "–" if math.isnan(value) else f"{value:.{digits}g}".replace("-", "−")


def measured(row: Row) -> str:
    """Return what was measured and its interval, with enough digits to tell the interval's ends apart."""
    lower, upper = row["interval_lower"], row["interval_upper"]
    if number(lower) == "–":
        return number(row["measured_value"])
    digits = _DIGITS
    if float(lower) != float(upper):
        while digits < _MOST_DIGITS and number(lower, digits) == number(upper, digits):
            digits += 1
    value, low, high = (number(text, digits) for text in (row["measured_value"], lower, upper))
    return f"{value} [{low}, {high}]"


def sentence(rows: Sequence[Row]) -> str:
    """Return how many claims have each verdict, in words."""
    found = counts(rows)
    untested = found.pop("not tested at this scale")
    words = (
        f"Of {sum(found.values())} claims that were tested, {found['reproduced']} are reproduced, "
        f"{found['undecided']} are undecided and {found['contradicted']} are contradicted."
    )
    if not untested:
        return words
    return f"{words} Another {untested} claims were not tested; the rule of each says why."


def closing(rows: Sequence[Row]) -> list[str]:
    """Return the sentence of the closing row of a table, which has no verdict, if there is such a row."""
    return [
        f"Of the {row['n']} claims that were tested, at most {number(row['measured_value'])} are expected "
        f"to have a false verdict: {row['rule']}."
        for row in rows
        if not row["verdict"]
    ]


def decided(row: Row) -> str:
    """Return in brackets how many runs would decide an undecided claim, or nothing."""
    return f" (n ≈ {row['runs_to_decide']} would decide)" if row["runs_to_decide"] else ""


def render(rows: Sequence[Row], figures: Mapping[str, str], pages: Mapping[str, str]) -> Page:
    """Build the page of claims.

    Args:
        rows: rows of the table of claims.
        figures: address of each figure of the report, by name, e.g. ``fig4_cascade``.
        pages: address of the explorer's page of a file, by the end of the file's path, e.g.
            ``phase/spiral_w100``.
    """
    shown = [row for row in rows if row["verdict"]]
    columns = ["Claim", "Paper", "Paper's value", "Here [95 %]", "n", "Verdict", "Rule", "Figure", "Files"]
    table = Table(
        "Every claim with its verdict; the verdict follows from the rule in the same row.",
        columns,
        [_row(row, figures, pages) for row in shown],
        [f"claim-{row['id']}" for row in shown],
    )
    verdicts = [("", "all verdicts"), *((verdict, verdict) for verdict in VERDICTS)]
    return Page(
        title="Claims",
        lead=[sentence(rows), *closing(rows)],
        controls=[Choice("verdict", "Show", verdicts)],
        links=[Link("Report", "index.html")],
        sections=[Section(tables=[table], wide=True)],
        script=__name__,
    )


def _row(row: Row, figures: Mapping[str, str], pages: Mapping[str, str]) -> list[Cell]:
    paths = [path for path in row["file"].split("; ") if path]
    files: list[str | Link] = [_file(path, pages) for path in paths[:_MOST_FILES]]
    if len(paths) > _MOST_FILES:
        files.append(f"and {len(paths) - _MOST_FILES} more")
    number_here = figure_of(row["source"])
    return [
        row["statement"],
        row["source"],
        number(row["paper_value"]),
        measured(row),
        row["n"],
        row["verdict"] + decided(row),
        row["rule"],
        [
            Link(f"Fig. {number_here}", address)
            for name, address in figures.items()
            if name.partition("_")[0] == f"fig{number_here}"
        ],
        files,
    ]


def figure_of(source: str) -> str:
    """Return the number of the figure here that shows a claim, or nothing.

    Sources name figures of several papers; those of this project stand in brackets.

    Examples:
        >>> figure_of("Fig. 4f, Sec. III.4"), figure_of("arXiv 1906.08034, Fig. 9 (Fig. L3 here)")
        ('4', 'L3')
        >>> figure_of("all rows")
        ''
    """
    match = _HERE.search(source) or _PAPER.match(source)
    return match[1] if match else ""


def _file(path: str, pages: Mapping[str, str]) -> str | Link:
    """Return a file of the table, with a link to the page that shows it if there is one."""
    folder, name = Path(path).parent.name, Path(path).stem
    shown = f"{folder if folder in ('phase', 'threshold') else 'run'}/{name}"
    short = f"{folder}/{Path(path).name}"
    return Link(short, pages[shown]) if shown in pages else short
