"""Test the claims of Fig. 3 to 5 under every protocol, and name the choice that decides each claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dynamical_loss.claims import protocols
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.errors import UserError
from dynamical_loss.figures import registry, requirements
from dynamical_loss.results import netcdf, sidecars, tables
from dynamical_loss.results.record import Provenance

_TEXT = {
    "protocol": "name of the protocol",
    "id": "short name of the claim",
    "source": "where the paper makes the claim",
    "statement": "the claim",
    "quantity": "kind of number",
    "verdict": "what became of the claim",
    "hangs_on": "the choice that decides the claim; the same in all rows of a claim",
    "rule": "the rule behind the verdict",
    "network": "the network or networks",
    "initialisation": "how they start",
    "data": "what they are trained on",
    "cycle": "steps from one class to the next",
    "grid": "cells of the phase diagram, and how they were trained",
    "reading": "how instabilities were found",
    "file": "files that the row was computed from",
}
_NUMBERS = {
    "paper_value": "the paper's or the theory's number",
    "measured_value": "measured number",
    "interval_lower": "lower end of its 95 % interval",
    "interval_upper": "upper end of its 95 % interval",
    "limit_lower": "the claim holds above this",
    "limit_upper": "the claim holds below this",
    "n": "seeds, runs or events behind the number",
}


def run(
    settings: BootstrapSettings,
    inputs: Mapping[str, Mapping[str, Sequence[Path]]],
    output: Path,
    table: Path,
) -> None:
    """Write one row for each claim and protocol, as a NetCDF file and as a CSV file with its sidecar.

    Args:
        settings: settings of the bootstrap that computes the intervals.
        inputs: files by protocol and role; a claim has no row for a protocol that lacks the claim's files.
        output: NetCDF file to write, for the figure.
        table: CSV file to write, for readers.

    Raises:
        UserError: if an input cannot be read, is a result of another stage than its role asks for, or has an
            unknown role; or if the files suffice for no claim.
    """
    record = Provenance(__name__, settings.model_dump(), [settings.seed], "float64")
    roles = registry.roles_of_claims()
    unknown = [role for files in inputs.values() for role in files if role not in roles]
    if unknown:
        raise UserError(f"no claim uses a role '{unknown[0]}'; the roles are {', '.join(sorted(roles))}")
    datasets = {
        protocol: {
            role: [
                record.inputs.read(path, roles[role].variables, _made_by(roles[role].made_by))
                for path in paths
            ]
            for role, paths in files.items()
        }
        for protocol, files in inputs.items()
    }
    names = {
        protocol: {role: list(map(str, paths)) for role, paths in files.items()}
        for protocol, files in inputs.items()
    }
    found = protocols.evaluate(datasets, settings, names)
    if not found:
        raise UserError("these files suffice for no claim; give more files")
    rows = [_columns(row) for row in found]
    variables = netcdf.Variables()
    for name, words in _TEXT.items():
        values = np.array([str(row[name]) for row in rows], object)
        variables.add(name, ("row",), values, words, reference="Fig. 3-5")
    for name, words in _NUMBERS.items():
        numbers = np.array([row[name] for row in rows])
        variables.add(name, ("row",), numbers, words, reference="Fig. 3-5")
    record.write(variables.dataset(), output)
    tables.write(list(rows[0]), rows, table)
    sidecars.write([table], record.attributes(table.parent), record.inputs.paths)


def _made_by(stage: str | Sequence[str]) -> str | Sequence[str]:
    return requirements.ANY_DIAGRAM if stage == "aggregate_phase" else stage


def _columns(found: protocols.ProtocolRow) -> dict[str, tables.Value]:
    """Return a row as columns: the protocol, the columns of `claims.Row`, and the limits of the rule."""
    return {
        "protocol": found.protocol,
        **dataclasses.asdict(found.row),
        "quantity": found.quantity,
        "limit_lower": found.criterion.low,
        "limit_upper": found.criterion.high,
        "hangs_on": found.hangs_on,
    }
