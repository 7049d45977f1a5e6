"""Write stored numbers into the documents: ``python docs/stored_numbers.py``.

The table of claims goes to docs/results.md, and a sentence with the number of each verdict to README.md.  In
the text of every document, an interval or a verdict takes the values of the claim that the comment behind it
names::

    a gain of 0.472 [0.460, 0.483]<!-- gain_in_feature_training -->
    contradicted<!-- lecun.narrow_region_train -->

A name with a point is a protocol and a claim under it (paper_figures/data/protocols.csv). With a minus before
the name, the sign of the value changes.  The written number of decimals, a plus sign and "%" are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from dynamical_loss.report import claims
from dynamical_loss.report.claims import measured, number

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "paper_figures" / "data" / "claims.csv"
PROTOCOLS = CLAIMS.with_name("protocols.csv")

_COLUMNS = ("measured_value", "interval_lower", "interval_upper")
_NUMBER = r"[+−]?\d+(?:\.\d+)?"
INTERVAL = re.compile(
    rf"(?P<value>{_NUMBER})(?P<gap>(?: %)?\s+)"
    rf"\[(?P<lower>{_NUMBER})(?P<comma>,\s+)(?P<upper>{_NUMBER})\](?P<bold>\**)"
)
"""A measured value with its interval, and the end of bold text."""

_MARK = r"<!-- (?P<sign>-?)(?P<name>[\w.]+) -->"
_MARKED_INTERVAL = re.compile(INTERVAL.pattern + _MARK)
_MARKED_VERDICT = re.compile(r"(?:reproduced|contradicted|undecided)(?P<bold>\**)" + _MARK)


def table(rows: Sequence[claims.Row]) -> str:
    """The claims as a Markdown table, and the sentence of its closing row, which has no verdict."""
    lines = ["| Paper | Claim | Paper's value | Here [95 %] | n | Verdict |", "|---|---|---|---|---|---|"]
    for row in (row for row in rows if row["verdict"]):
        verdict = row["verdict"]
        shown = verdict if verdict == "reproduced" else f"**{verdict}**"
        shown += claims.decided(row)
        cells = (row["source"], row["statement"], number(row["paper_value"]))
        lines.append("| " + " | ".join((*cells, measured(row), row["n"], shown)) + " |")
    sentences = [f"\n{sentence}\n" for sentence in claims.closing(rows)]
    return "\n".join(lines) + "\n" + "".join(sentences)


def stored_rows() -> list[claims.Row]:
    """Rows of the stored claims."""
    return claims.read(CLAIMS)


def updated(text: str, name: str, content: str) -> str:
    """Return the text of a document with new content between the two comments of that name.

    Raises:
        ValueError: if the text lacks these comments.
    """
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    replaced, count = between.subn(lambda match: match[1] + content + match[2], text)
    if count != 1:
        raise ValueError(f"the comments of the part '{name}' must stand once, and they stand {count} times")
    return replaced


def by_name() -> dict[str, claims.Row]:
    """Stored rows by the names that comments in the documents give them."""
    under = {f"{row['protocol']}.{row['id']}": row for row in claims.read(PROTOCOLS)}
    return under | _spreads() | {row["id"]: row for row in stored_rows()}


def _spreads() -> dict[str, claims.Row]:
    """Standard deviations of the static training accuracy, by initialisation and by what they are due to."""
    found: dict[str, claims.Row] = {}
    for initialisation in ("lecun", "glorot_zero"):
        with xr.open_dataset(CLAIMS.parent / f"phase/{initialisation}_redrawn.nc") as study:
            static = study.sel(amplitude=1.0).isel(period=0)  # static runs are the same at all periods
            for part in study["part"].values:
                variance = static["train_accuracy_variance"].sel(part=part)
                ends = static["train_accuracy_variance_interval"].sel(part=part)
                numbers = [float(value) for value in np.sqrt([variance, *ends])]
                found[f"{initialisation}.spread_of_{part}"] = dict(
                    zip(_COLUMNS, map(str, numbers), strict=True)
                )
    return found


def _written(value: float, like: str) -> str:
    """Return a number with as many decimals as another one, and with a plus sign if that has one."""
    decimals = len(like.partition(".")[2])
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return ("+" if like.startswith("+") and value > 0 else "") + text.replace("-", "−")


def refreshed(text: str, rows: Mapping[str, claims.Row]) -> str:
    """Return the text of a document with the stored values of all claims that it names.

    Raises:
        KeyError: if a comment names no stored claim.
    """

    def interval(match: re.Match[str]) -> str:
        row = rows[match["name"]]
        scale = (100 if "%" in match["gap"] else 1) * (-1 if match["sign"] else 1)
        value, *ends = (scale * float(row[column]) for column in _COLUMNS)
        lower, upper = sorted(ends)
        first, last = _written(lower, match["lower"]), _written(upper, match["upper"])
        interval = f"{_written(value, match['value'])}{match['gap']}[{first}{match['comma']}{last}]"
        return f"{interval}{match['bold']}<!-- {match['sign']}{match['name']} -->"

    def verdict(match: re.Match[str]) -> str:
        return f"{rows[match['name']]['verdict']}{match['bold']}<!-- {match['name']} -->"

    return _MARKED_VERDICT.sub(verdict, _MARKED_INTERVAL.sub(interval, text))


def documents() -> dict[Path, str]:
    """Return what each document should hold."""
    rows = stored_rows()
    texts = {
        path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    }
    parts = {
        ROOT / "README.md": ("summary", claims.sentence(rows) + "\n"),
        ROOT / "docs/results.md": ("claims", table(rows)),
    }
    texts |= {path: updated(texts[path], name, content) for path, (name, content) in parts.items()}
    named = by_name()
    return {path: refreshed(text, named) for path, text in texts.items()}


if __name__ == "__main__":
    for document, text in documents().items():
        document.write_text(text, encoding="utf-8")
