"""A short paper about the results, as a PDF; its numbers come from the table of claims and from files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.pages.page import beside
from dynamical_loss.report import claims, front
from dynamical_loss.report.captions import Caption
from dynamical_loss.report.figures import label

FIGURES = ("fig3_phase_spiral", "fig4_cascade", "fig5_threshold_scaling")
"""Figures that the summary shows, if they exist."""


def content(rows: Sequence[claims.Row], described: Sequence[Caption]) -> dict[str, Any]:
    """Return all that the template shows.

    Args:
        rows: rows of the table of claims.
        described: captions of the figures that exist.
    """
    known = {one.name: one for one in described}
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["verdict"]:
            groups.setdefault(front.paper(row["source"]), []).append(_claim(row))
    closing = [row for row in rows if not row["verdict"]]
    return {
        "sentence": claims.sentence(rows),
        "false_verdicts": [
            {"tested": row["n"], "expected": claims.number(row["measured_value"])} for row in closing
        ],
        "groups": [
            {"title": title, "claims": found, "counts": _counts(found)} for title, found in groups.items()
        ],
        "figures": [
            {
                "file": f"{name}.png",
                "label": label(name),
                "title": known[name].title,
                "alternative": known[name].alternative,
                "facts": "; ".join(
                    [*(f"{words}: {value}" for words, value in known[name].facts), known[name].problem]
                ).strip("; "),
            }
            for name in FIGURES
            if name in known and known[name].is_intact
        ],
    }


def write(rows: Sequence[claims.Row], described: Mapping[Path, Caption], output: Path) -> None:
    """Write the PDF.

    Args:
        rows: rows of the table of claims.
        described: caption of each figure, by its PNG file.
        output: file to write.
    """
    # The compiler takes a moment to load, and no other command needs it.
    import typst

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = content(rows, list(described.values()))
        (folder / "data.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        for picture in described:
            shutil.copyfile(picture, folder / picture.name)
        (folder / "summary.typ").write_text(template(), encoding="utf-8")
        output.write_bytes(typst.compile(folder / "summary.typ", root=folder))


def template() -> str:
    """Return the template of the summary."""
    return beside(__name__, ".typ")


def _claim(row: claims.Row) -> dict[str, str]:
    return {
        "source": row["source"],
        "statement": row["statement"],
        "paper": claims.number(row["paper_value"]),
        "measured": claims.measured(row),
        "n": row["n"],
        "verdict": row["verdict"],
    }


def _counts(found: Sequence[Mapping[str, str]]) -> str:
    """Return how many of these claims have each verdict, in words."""
    numbers = {verdict: sum(one["verdict"] == verdict for one in found) for verdict in claims.VERDICTS}
    return ", ".join(f"{count} {verdict}" for verdict, count in numbers.items() if count)
