"""Pairs of studies, one with the static loss and one with a dynamical one."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from dynamical_loss.claims.evidence import Evidence, UntestedError, require
from dynamical_loss.paper.departures import Protocol, facts_of
from dynamical_loss.results import recorded


def member(
    evidence: Evidence, role: str, protocol: Callable[[bool], Protocol], dynamical: str, *, static: bool
) -> xr.Dataset:
    """One of two gathered studies of runs.

    Args:
        evidence: files by role.
        role: of the two.
        protocol: that a study follows, told whether it is the static one.
        dynamical: what the other one's loss is called.
        static: which of the two is wanted.

    Raises:
        UntestedError: if there is not one such study, or it does not follow its protocol.
    """
    found = []
    for item in evidence.files(role):
        training = recorded.settings_of(item)["trajectory"]
        if (training["amplitude"] == 1) == static:
            require(protocol(static), facts_of(item, training))
            found.append(item)
    if len(found) != 1:
        raise UntestedError(f"there is not one study with {'the static loss' if static else dynamical}")
    return found[0]
