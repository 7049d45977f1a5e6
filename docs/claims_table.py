"""Write the README's table of claims from the stored one: ``python docs/claims_table.py``."""

from __future__ import annotations

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "paper_figures" / "data" / "claims.csv"
_BETWEEN = re.compile(r"(<!-- claims -->\n).*?(<!-- end of claims -->)", re.DOTALL)


_DIGITS = 3
_MOST_DIGITS = 6


def number(text: str, digits: int = _DIGITS) -> str:
    """A number with so many significant digits, or a dash where there is none."""
    value = float(text or "nan")
    return "–" if value != value else f"{value:.{digits}g}".replace("-", "−")


def measured(row: dict[str, str]) -> str:
    """What was measured and its interval, with enough digits to tell the ends of the interval apart."""
    lower, upper = row["interval_lower"], row["interval_upper"]
    if number(lower) == "–":
        return number(row["measured_value"])
    digits = _DIGITS
    if float(lower) != float(upper):
        while digits < _MOST_DIGITS and number(lower, digits) == number(upper, digits):
            digits += 1
    value, low, high = (number(text, digits) for text in (row["measured_value"], lower, upper))
    return f"{value} [{low}, {high}]"


def table(rows: list[dict[str, str]]) -> str:
    """The claims as a Markdown table, and the sentence of its closing row, which has no verdict."""
    lines = ["| Paper | Claim | Paper's value | Here [95 %] | n | Verdict |", "|---|---|---|---|---|---|"]
    closing = [row for row in rows if not row["verdict"]]
    for row in (row for row in rows if row["verdict"]):
        verdict = row["verdict"]
        shown = verdict if verdict == "reproduced" else f"**{verdict}**"
        if row.get("runs_to_decide"):
            shown += f" (n ≈ {row['runs_to_decide']} would decide)"
        cells = (row["source"], row["statement"], number(row["paper_value"]))
        lines.append("| " + " | ".join((*cells, measured(row), row["n"], shown)) + " |")
    sentences = [
        f"\nOf the {row['n']} claims that were tested, at most {number(row['measured_value'])} are expected "
        f"to have a false verdict: {row['rule']}.\n"
        for row in closing
    ]
    return "\n".join(lines) + "\n" + "".join(sentences)


def stored_rows() -> list[dict[str, str]]:
    """Rows of the stored claims."""
    with CLAIMS.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def updated(readme: str) -> str:
    """The README's text with its table written anew."""
    return _BETWEEN.sub(lambda match: match[1] + table(stored_rows()) + match[2], readme)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
