"""Read the files of a figure or a page by their roles, and refuse files that cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from dynamical_loss.errors import UserError
from dynamical_loss.results.record import Inputs


class Wanted(NamedTuple):
    """What the files of a role must be.

    Attributes:
        made_by: stage that makes the files; if several stages are given, one of them makes the files.
        variables: variables that the files must have.
        is_needed: whether at least one file must be given.
    """

    made_by: str | Sequence[str]
    variables: Sequence[str] = ()
    is_needed: bool = True


def read(
    subject: str,
    roles: Mapping[str, Wanted],
    inputs: Mapping[str, Sequence[Path]],
    made_from: Iterable[tuple[str, str]],
    reader: Inputs,
) -> dict[str, list[xr.Dataset]]:
    """Return the files of each role, in the order in which they were given.

    Args:
        subject: what is made of the files, for errors, e.g. ``figure fig4_cascade``.
        roles: what the files of each role must be.
        inputs: files by role.
        made_from: pairs (result, source) of roles: a file of the first was made from that of the second.
        reader: reader of the files.

    Raises:
        UserError: if a role is missing or unknown; if a file cannot be read or is a result of another stage;
            or if files were not made from one another.
    """
    missing = [role for role, wanted in roles.items() if wanted.is_needed and not inputs.get(role)]
    if missing:
        raise UserError(f"{subject} needs --input {missing[0]}=FILE")
    unknown = [role for role in inputs if role not in roles]
    if unknown:
        raise UserError(f"{subject} uses no --input {unknown[0]}=…; the roles are {', '.join(roles)}")
    files = {
        role: [reader.read(path, wanted.variables, wanted.made_by) for path in inputs[role]]
        for role, wanted in roles.items()
        if inputs.get(role)
    }
    for result, source in made_from:
        for path in inputs.get(result, ()):
            reader.require_made_from(path, inputs[source][0])
    return files
