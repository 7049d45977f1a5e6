"""The paper's claims against what was measured: one registry, one row a claim.

Each claim says what is measured, over what it is averaged and by which criterion it counts as
reproduced.  The criteria and their numbers were fixed before any result was looked at (rows added
later say so), and the words of a rule are written from the same numbers that decide, so that the two
cannot drift apart.  A claim that does not reproduce is a result; a claim that the grid, the seeds or
the protocol at hand cannot speak on is *not tested at this scale*, and its rule says why.

Nothing here reads a file: datasets by role in, rows out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dynamical_loss.claims import images, instabilities, spiral, thresholds
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.evidence import (
    MINIMUM_RUNS,
    PRIMARY,
    Claim,
    Evidence,
    Inputs,
    Measurement,
    UntestedError,
)
from dynamical_loss.config.analysis import BootstrapSettings

CLAIMS: tuple[Claim, ...] = (
    *images.CLAIMS,
    *spiral.CLAIMS,
    *instabilities.CLAIMS,
    *thresholds.CLAIMS,
    *instabilities.KERNEL_CLAIMS,
    *images.SUPPLEMENT_CLAIMS,
)
"""Every claim, in the order of the paper's figures."""


@dataclass(frozen=True)
class Row:
    """One row of ``claims.csv``; fields in the order of its columns.  NaN is written as empty."""

    id: str
    source: str
    statement: str
    paper_value: float
    measured_value: float
    interval_lower: float
    interval_upper: float
    n: int
    verdict: Verdict
    rule: str
    file: str


def _judge(claim: Claim, evidence: Evidence) -> tuple[Measurement, Verdict, str]:
    try:
        found = claim.measure(evidence)
    except UntestedError as untested:
        return untested.measurement, Verdict.NOT_TESTED, str(untested)
    if found.n < MINIMUM_RUNS:
        return found, Verdict.NOT_TESTED, f"n = {found.n}"
    if not all(map(math.isfinite, (found.value, *found.interval))):
        return found, Verdict.NOT_TESTED, "no interval"
    verdict, reason = claim.criterion.decide(*found.interval)
    return found, verdict, reason


def evaluate(
    inputs: Inputs, settings: BootstrapSettings, files: Mapping[str, Sequence[str]] | None = None
) -> list[Row]:
    """Hold every claim against the results.

    Args:
        inputs: datasets by role; a claim whose roles are absent is not tested.
        settings: of the bootstrap behind the intervals.
        files: their names by role, for the last column.

    Returns:
        One row a claim, in the registry's order; those about the threshold of instability once for
        each definition that ``threshold.nc`` has, the paper's first.
    """
    definitions = [PRIMARY]
    for item in inputs.get("threshold", ()):
        definitions += [name for name in item["definition"].values.tolist() if name not in definitions]
    rows = []
    evidence = Evidence(inputs, settings)
    for claim in CLAIMS:
        for definition in definitions if claim.per_definition else [PRIMARY]:
            found, verdict, reason = _judge(claim, replace(evidence, definition=definition))
            statement = claim.statement.format(definition=definition)
            names = dict.fromkeys(name for role in claim.roles for name in (files or {}).get(role, ()))
            rows.append(
                Row(
                    id=claim.id.format(definition=definition),
                    source=claim.source,
                    statement=statement + (f" ({found.remark})" if found.remark else ""),
                    paper_value=claim.paper_value,
                    measured_value=found.value,
                    interval_lower=found.interval[0],
                    interval_upper=found.interval[1],
                    n=found.n,
                    verdict=verdict,
                    rule=f"{claim.rule} [not tested here: {reason}]" if reason else claim.rule,
                    file="; ".join(names),
                )
            )
    return rows
