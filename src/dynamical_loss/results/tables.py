"""Write tables of results as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dynamical_loss.results import files

Value = float | str | None


def write(columns: Sequence[str], rows: Iterable[Mapping[str, Value]], output: Path) -> None:
    """Write rows as CSV: UTF-8, numbers with 6 significant digits, NaN and None as empty fields.

    The file appears only when it is complete.

    Args:
        columns: names of the columns, in order.
        rows: values of each row, by column.
        output: file to write.
    """
    with (
        files.atomic_path(output) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(row[name]) for name in columns] for row in rows)


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
