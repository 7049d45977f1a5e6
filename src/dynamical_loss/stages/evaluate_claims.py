"""Test the paper's claims against the results, as the last stage of the pipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dynamical_loss import claims
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.errors import UserError
from dynamical_loss.figures import registry
from dynamical_loss.results import sidecars, tables
from dynamical_loss.results.record import Provenance


def run(
    settings: BootstrapSettings,
    inputs: Mapping[str, Sequence[Path]],
    output: Path,
    given_only: bool = False,
) -> None:
    """Write ``claims.csv``, UTF-8, numbers with 6 significant digits, and its sidecar.

    The table has one row per claim, and a last row with the expected number of false verdicts.

    Args:
        settings: settings of the bootstrap that computes the intervals.
        inputs: files by role; figures declare the roles as `evidence`.  A claim whose role is absent is
            written as not tested.
        output: CSV file to write.
        given_only: whether to leave out claims whose files are not given.

    Raises:
        UserError: if an input cannot be read, is a result of another stage than its role asks for, or has an
            unknown role.
    """
    record = Provenance(__name__, settings.model_dump(), [settings.seed], "float64")
    known = {role for claim in claims.CLAIMS for role in claim.roles}
    unknown = [role for role in inputs if role not in known]
    if unknown:
        raise UserError(f"no claim uses --input {unknown[0]}=…; the roles are {', '.join(sorted(known))}")
    roles = registry.roles_of_claims()
    datasets = {
        role: [record.inputs.read(path, roles[role].variables, roles[role].made_by) for path in paths]
        for role, paths in inputs.items()
    }
    names = {role: [str(path) for path in paths] for role, paths in inputs.items()}
    rows = claims.evaluate(datasets, settings, names, given_only=given_only)
    write([*rows, claims.expected_false(rows)], output)
    sidecars.write([output], record.attributes(output.parent), record.inputs.paths)


def write(rows: Iterable[claims.Row], output: Path) -> None:
    """Write rows as CSV, see `tables.write`."""
    columns = [field.name for field in dataclasses.fields(claims.Row)]
    tables.write(columns, map(dataclasses.asdict, rows), output)
