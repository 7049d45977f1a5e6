"""Hold the paper's claims against the results: the last room of the pipeline."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dynamical_loss import claims
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.errors import UserError
from dynamical_loss.figures import registry
from dynamical_loss.results import files, sidecars
from dynamical_loss.results.record import Provenance


def run(
    settings: BootstrapSettings,
    inputs: Mapping[str, Sequence[Path]],
    output: Path,
    given_only: bool = False,
) -> None:
    """Write ``claims.csv``, UTF-8, numbers with 6 significant digits, and its sidecar.

    There is one row a claim, and a closing one with the expected number of false verdicts.

    Args:
        settings: of the bootstrap behind the intervals.
        inputs: files by role; figures declare the roles as `evidence`. A claim whose role is absent is
            written as not tested.
        output: the CSV file.
        given_only: leave out claims of which no role is given.

    Raises:
        UserError: if an input cannot be read, is a result of another stage than its role asks for, or its
            role is unknown.
    """
    record = Provenance(__name__, settings.model_dump(), [settings.seed], "float64")
    known = {role for claim in claims.CLAIMS for role in claim.roles}
    unknown = [role for role in inputs if role not in known]
    if unknown:
        raise UserError(f"no claim looks at --input {unknown[0]}=…; the roles are {', '.join(sorted(known))}")
    roles = registry.roles_of_claims()
    datasets = {
        role: [record.inputs.read(path, roles[role].variables, roles[role].made_by) for path in paths]
        for role, paths in inputs.items()
    }
    names = {role: [str(path) for path in paths] for role, paths in inputs.items()}
    rows = claims.evaluate(datasets, settings, names)
    shown = [row for row in rows if row.file] if given_only else rows
    write([*shown, claims.expected_false(shown)], output)
    sidecars.write([output], record.attributes(output.parent), record.inputs.paths)


def write(rows: Iterable[claims.Row], output: Path) -> None:
    """Write rows as CSV: whole or not at all, NaN and None as empty fields."""
    columns = [field.name for field in dataclasses.fields(claims.Row)]
    with (
        files.atomic_path(output) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(getattr(row, name)) for name in columns] for row in rows)


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
