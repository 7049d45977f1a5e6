"""Write the README's table of claims from the stored one: ``python docs/claims_table.py``."""

from __future__ import annotations

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "paper_figures" / "data" / "claims.csv"
_BETWEEN = re.compile(r"(<!-- claims -->\n).*?(<!-- end of claims -->)", re.DOTALL)


def number(text: str) -> str:
    """Three significant digits, or a dash where there is no number."""
    value = float(text or "nan")
    return "–" if value != value else f"{value:.3g}".replace("-", "−")


def table(rows: list[dict[str, str]]) -> str:
    """The claims as a Markdown table, and the sentence of its closing row, which has no verdict."""
    lines = ["| Paper | Claim | Paper's value | Here [95 %] | n | Verdict |", "|---|---|---|---|---|---|"]
    closing = [row for row in rows if not row["verdict"]]
    for row in (row for row in rows if row["verdict"]):
        interval = ""
        if number(row["interval_lower"]) != "–":
            interval = f" [{number(row['interval_lower'])}, {number(row['interval_upper'])}]"
        verdict = row["verdict"]
        shown = verdict if verdict == "reproduced" else f"**{verdict}**"
        if row.get("runs_to_decide"):
            shown += f" (n ≈ {row['runs_to_decide']} would decide)"
        cells = (row["source"], row["statement"], number(row["paper_value"]))
        lines.append(
            "| " + " | ".join((*cells, number(row["measured_value"]) + interval, row["n"], shown)) + " |"
        )
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
