"""The claims of Fig. 3 to 5 under several protocols, and the choice that each of them hangs on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamical_loss import claims
from dynamical_loss.claims import Row
from dynamical_loss.claims.criteria import Range, Verdict
from dynamical_loss.claims.evidence import PRIMARY, Claim, Inputs
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.paper.choices import CHOICES

FIGURES = ("Fig. 3", "Fig. 4", "Fig. 5", "Sec. III.4")
"""Beginnings of the sources of the claims that are held against protocols."""

_DECIDED = (Verdict.REPRODUCED, Verdict.CONTRADICTED)


@dataclass(frozen=True)
class ProtocolRow:
    """One claim under one protocol.

    Attributes:
        protocol: its name in the configuration.
        row: the claim and its verdict.
        quantity: what kind of number it is.
        criterion: the values for which the claim holds.
        hangs_on: the choice that decides the claim, in a sentence; the same in all rows of a claim.
    """

    protocol: str
    row: Row
    quantity: str
    criterion: Range
    hangs_on: str


def evaluate(
    protocols: Mapping[str, Inputs],
    settings: BootstrapSettings,
    files: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> list[ProtocolRow]:
    """Hold every claim of Fig. 3 to 5 against each protocol that can speak to it.

    Args:
        protocols: datasets by role, by protocol.
        settings: of the bootstrap behind the intervals.
        files: their names by role, by protocol.

    Returns:
        rows in the order of the claims, and of the protocols within a claim.
    """
    by_id = {identity: claim for claim in claims.CLAIMS for identity in _identities(claim, protocols)}
    found: dict[str, list[tuple[str, Row]]] = {}
    for name, inputs in protocols.items():
        names = (files or {}).get(name)
        for row in claims.evaluate(inputs, settings, names, given_only=True):
            if row.source.startswith(FIGURES):
                found.setdefault(row.id, []).append((name, row))
    return [
        ProtocolRow(name, row, by_id[identity].quantity, by_id[identity].criterion, sentence)
        for identity in by_id
        if identity in found
        for sentence in [hangs_on(found[identity])]
        for name, row in found[identity]
    ]


def _identities(claim: Claim, protocols: Mapping[str, Inputs]) -> list[str]:
    """Ids of the rows of a claim: one, or one for each definition of the threshold."""
    if not claim.per_definition:
        return [claim.id]
    definitions = dict.fromkeys([PRIMARY])
    for inputs in protocols.values():
        for item in inputs.get("threshold", ()):
            definitions |= dict.fromkeys(map(str, item["definition"].values))
    return [claim.id.format(definition=definition) for definition in definitions]


def hangs_on(rows: Sequence[tuple[str, Row]]) -> str:
    """Which choice decides a claim, as far as its protocols tell.

    A choice decides if two protocols that differ in nothing else have opposite verdicts.

    Args:
        rows: the protocols' names and rows of one claim.
    """
    decided = [row for _, row in rows if row.verdict in _DECIDED]
    if not decided:
        tested = any(row.verdict is not Verdict.NOT_TESTED for _, row in rows)
        return "undecided under every protocol" if tested else "tested under no protocol"
    if len(rows) == 1:
        return f"{decided[0].verdict} under the only protocol that can speak to it"
    if len({row.verdict for row in decided}) == 1:
        return _agreement(decided, len(rows))
    pairs = [
        (one, other)
        for one, other in itertools.combinations(decided, 2)
        if one.verdict != other.verdict and len(_apart(one, other)) == 1
    ]
    if not pairs:
        return "several choices together: no two protocols that differ in one alone disagree"
    deciding = dict.fromkeys(_apart(*pair)[0] for pair in pairs)
    return "; ".join(f"{name}: {_by_value(name, decided)}" for name in deciding)


def _apart(one: Row, other: Row) -> list[str]:
    """Choices in which two protocols differ."""
    return [name for name in CHOICES if getattr(one, name) != getattr(other, name)]


def _agreement(decided: Sequence[Row], count: int) -> str:
    verdict = decided[0].verdict
    if len(decided) < count:
        return f"{verdict} under {len(decided)} of {count} protocols, and no verdict under the others"
    varied = [name for name in CHOICES if len({getattr(row, name) for row in decided}) > 1]
    tried = f"not on {' or '.join(varied)}" if varied else "on no choice that was tried"
    return f"{tried}: {verdict} under every protocol"


def _by_value(name: str, decided: Sequence[Row]) -> str:
    """The verdicts that go with each value of a choice, over all protocols that decide."""
    verdicts: dict[str, dict[str, None]] = {}
    for row in decided:
        verdicts.setdefault(getattr(row, name), {})[str(row.verdict)] = None
    return ", ".join(
        f"{' or '.join(seen)} with {value}" + (" (by its other choices)" if len(seen) > 1 else "")
        for value, seen in verdicts.items()
    )
