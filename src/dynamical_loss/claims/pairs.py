"""Pairs of studies: one with the static loss and one with a dynamical loss."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from dynamical_loss.claims.evidence import Evidence, UntestedError, require
from dynamical_loss.paper.departures import Protocol, facts_of
from dynamical_loss.results import recorded


def member(
    evidence: Evidence, role: str, protocol: Callable[[bool], Protocol], dynamical: str, *, static: bool
) -> xr.Dataset:
    """Return one study of a pair, each of which gathers the runs of several seeds.

    Args:
        evidence: files by role.
        role: role of both studies.
        protocol: function that takes whether a study is the static one, and returns the study's protocol.
        dynamical: name of the dynamical loss, for messages.
        static: whether to return the study with the static loss.

    Raises:
        UntestedError: if there is not exactly one such study, or if it departs from its protocol.
    """
    found = []
    for item in evidence.files(role):
        training = recorded.settings_of(item)["trajectory"]
        if (training["amplitude"] == 1) == static:
            require(protocol(static), facts_of(item, training))
            found.append(item)
    if len(found) != 1:
        raise UntestedError(f"exactly one study is needed with {'the static loss' if static else dynamical}")
    return found[0]
