"""The claims of Fig. 3 to 5 under several protocols, and the choice that decides each claim."""

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
"""Beginnings of `source` in the claims that are judged under each protocol."""

_DECIDED = (Verdict.REPRODUCED, Verdict.CONTRADICTED)


@dataclass(frozen=True)
class ProtocolRow:
    """One claim under one protocol.

    Attributes:
        protocol: name of the protocol in the configuration.
        row: the claim and its verdict.
        quantity: kind of the measured number.
        criterion: values for which the claim holds.
        hangs_on: words that name the choice that decides the claim; they are equal in all rows of a claim.
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
    """Judge every claim of Fig. 3 to 5 under each protocol that can test it.

    Args:
        protocols: datasets by role, for each protocol.
        settings: settings of the bootstrap behind the intervals.
        files: names of the files by role, for each protocol.

    Returns:
        Rows in the order of the claims, and within a claim in the order of the protocols.
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
    """Return the ids of the rows of a claim: one id, or one for each definition of the threshold."""
    if not claim.per_definition:
        return [claim.id]
    definitions = dict.fromkeys([PRIMARY])
    for inputs in protocols.values():
        for item in inputs.get("threshold", ()):
            definitions |= dict.fromkeys(map(str, item["definition"].values))
    return [claim.id.format(definition=definition) for definition in definitions]


def hangs_on(rows: Sequence[tuple[str, Row]]) -> str:
    """Return which choice decides a claim, as far as the protocols show it.

    A choice decides a claim if two protocols that differ in this choice alone have opposite verdicts.

    Args:
        rows: names of the protocols and their rows, all of one claim.
    """
    decided = [row for _, row in rows if row.verdict in _DECIDED]
    if not decided:
        tested = any(row.verdict is not Verdict.NOT_TESTED for _, row in rows)
        return "undecided under every protocol" if tested else "tested under no protocol"
    if len(rows) == 1:
        return f"{decided[0].verdict} under the only protocol that tests it"
    if len({row.verdict for row in decided}) == 1:
        return _agreement(decided, len(rows))
    pairs = [
        (one, other)
        for one, other in itertools.combinations(decided, 2)
        if one.verdict != other.verdict and len(_apart(one, other)) == 1
    ]
    if not pairs:
        return "several choices together: no two protocols that differ in a single choice disagree"
    deciding = dict.fromkeys(_apart(*pair)[0] for pair in pairs)
    return "; ".join(f"{name}: {_by_value(name, decided)}" for name in deciding)


def _apart(one: Row, other: Row) -> list[str]:
    """Return the names of the choices in which two protocols differ."""
    return [name for name in CHOICES if getattr(one, name) != getattr(other, name)]


def _agreement(decided: Sequence[Row], count: int) -> str:
    verdict = decided[0].verdict
    if len(decided) < count:
        return f"{verdict} under {len(decided)} of {count} protocols, and no verdict under the others"
    varied = [name for name in CHOICES if len({getattr(row, name) for row in decided}) > 1]
    tried = f"not on {' or '.join(varied)}" if varied else "on no choice that was tried"
    return f"{tried}: {verdict} under every protocol"


def _by_value(name: str, decided: Sequence[Row]) -> str:
    """Return the verdicts at each value of a choice, over all protocols with a verdict."""
    verdicts: dict[str, dict[str, None]] = {}
    for row in decided:
        verdicts.setdefault(getattr(row, name), {})[str(row.verdict)] = None
    return ", ".join(
        f"{' or '.join(seen)} with {value}" + (" (by its other choices)" if len(seen) > 1 else "")
        for value, seen in verdicts.items()
    )
