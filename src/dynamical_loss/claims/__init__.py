"""The paper's claims against what was measured: one registry, one row a claim.

Each claim says what is measured, over what it is averaged and for which values it holds.  These limits
were fixed before any result was looked at (rows added or changed later say so), and the words of a rule
are written from the same numbers that decide, so that the two cannot drift apart.  A contradicted claim
is a result.  Where the interval contains a limit the claim is *undecided*, and the row says how many runs
would decide it.  A claim that the grid, the seeds or the protocol at hand cannot speak on is *not tested
at this scale*, and its rule says why.

Nothing here reads a file: datasets by role in, rows out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dynamical_loss.claims import (
    averages,
    edge,
    flows,
    images,
    ingredients,
    instabilities,
    lazy,
    learning_rates,
    losses,
    questions,
    regime,
    regimes,
    residual,
    spiral,
    thresholds,
)
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
from dynamical_loss.paper import choices

EXPECTED_FALSE = "expected_false_verdicts"
"""Id of the closing row, which says how many verdicts may be expected to be false."""

CLAIMS: tuple[Claim, ...] = (
    *images.CLAIMS,
    *spiral.CLAIMS,
    *instabilities.CLAIMS,
    *thresholds.CLAIMS,
    *instabilities.KERNEL_CLAIMS,
    *images.SUPPLEMENT_CLAIMS,
    *regime.CLAIMS,
    *questions.CLAIMS,
    *losses.CLAIMS,
    *averages.CLAIMS,
    *ingredients.CLAIMS,
    *learning_rates.CLAIMS,
    *edge.CLAIMS,
    *residual.CLAIMS,
    *flows.CLAIMS,
    *lazy.CLAIMS,
    *regimes.CLAIMS,
)
"""Every claim, in the order of the paper's figures."""


@dataclass(frozen=True)
class Row:
    """One row of ``claims.csv``; fields in the order of its columns.  NaN and None are written as empty.

    Attributes:
        id: short name of the claim.
        source: where the paper makes it.
        statement: the claim.
        paper_value: the paper's (or the theory's) number.
        measured_value: in the units of the claim.
        interval_lower: lower end of its 95 % interval.
        interval_upper: upper end.
        n: seeds, runs or events behind it.
        runs_to_decide: about how many of them would decide an undecided claim, if they were like these.
        verdict: what became of the claim; empty in the row `EXPECTED_FALSE`.
        chance_of_error: how often such a verdict is false, at most; NaN if the claim was not tested.
        rule: the rule behind the verdict.
        network: the network or networks that it is about; this and the next five are empty where the claim
            was not computed from any file, or does not depend on it.
        initialisation: how they start.
        data: what they are trained on.
        cycle: steps from one class to the next.
        grid: cells of the phase diagram, and how they were trained.
        reading: how instabilities were found.
        file: what it was computed from.
    """

    id: str
    source: str
    statement: str
    paper_value: float
    measured_value: float
    interval_lower: float
    interval_upper: float
    n: int
    runs_to_decide: int | None
    verdict: Verdict | None
    chance_of_error: float
    rule: str
    network: str
    initialisation: str
    data: str
    cycle: str
    grid: str
    reading: str
    file: str


class _Judged(NamedTuple):
    found: Measurement
    verdict: Verdict
    reason: str = ""
    absent: bool = False


def _judge(claim: Claim, evidence: Evidence) -> _Judged:
    try:
        found = claim.measure(evidence)
    except UntestedError as untested:
        return _Judged(untested.measurement, Verdict.NOT_TESTED, str(untested), untested.absent)
    if found.n < MINIMUM_RUNS:
        return _Judged(found, Verdict.NOT_TESTED, f"n = {found.n}")
    if not all(map(math.isfinite, (found.value, *found.interval))):
        return _Judged(found, Verdict.NOT_TESTED, "no interval")
    return _Judged(found, claim.criterion.decide(*found.interval))


def evaluate(
    inputs: Inputs,
    settings: BootstrapSettings,
    files: Mapping[str, Sequence[str]] | None = None,
    *,
    given_only: bool = False,
) -> list[Row]:
    """Hold every claim against the results.

    Args:
        inputs: datasets by role; a claim whose roles are absent is not tested.
        settings: of the bootstrap behind the intervals.
        files: their names by role, for the last column.
        given_only: leave out claims whose files are not given.

    Returns:
        One row a claim, in the registry's order; those about the threshold of instability once for
        each definition that a threshold file has, the paper's first.
    """
    definitions = [PRIMARY]
    for item in inputs.get("threshold", ()):
        definitions += [name for name in item["definition"].values.tolist() if name not in definitions]
    rows = []
    evidence = Evidence(inputs, settings)
    for claim in CLAIMS:
        for definition in definitions if claim.per_definition else [PRIMARY]:
            found, verdict, reason, absent = _judge(claim, replace(evidence, definition=definition))
            if absent and given_only:
                continue
            statement = claim.statement.format(definition=definition)
            names = dict.fromkeys(name for role in claim.roles for name in (files or {}).get(role, ()))
            told = choices.choices_of(*claim.looks_at(inputs))
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
                    runs_to_decide=claim.criterion.runs_to_decide(found.value, found.interval, found.n)
                    if verdict is Verdict.UNDECIDED
                    else None,
                    verdict=verdict,
                    chance_of_error=_chance_of_error(claim, verdict, found),
                    rule=f"{claim.rule} [not tested here: {reason}]" if reason else claim.rule,
                    network=claim.network or told.get(choices.NETWORK, ""),
                    initialisation=told.get(choices.INITIALISATION, ""),
                    data=told.get(choices.DATA, ""),
                    cycle=told.get(choices.CYCLE, ""),
                    grid=told.get(choices.GRID, ""),
                    reading=told.get(choices.READING, ""),
                    file="; ".join(names),
                )
            )
    return rows


def _chance_of_error(claim: Claim, verdict: Verdict, found: Measurement) -> float:
    if verdict is Verdict.NOT_TESTED:
        return math.nan
    return 0.0 if found.exact else claim.criterion.chance_of_error


def expected_false(rows: Sequence[Row]) -> Row:
    """The closing row of a table: how many of its verdicts may be expected to be false.

    The chances of all tests add up, whether the tests are independent or not.

    Args:
        rows: as `evaluate` gives them, or some of them.
    """
    tested = [row for row in rows if row.verdict is not Verdict.NOT_TESTED]
    return Row(
        id=EXPECTED_FALSE,
        source="all rows",
        statement="of the n claims that were tested, at most so many are expected to have a false verdict",
        paper_value=math.nan,
        measured_value=math.fsum(row.chance_of_error for row in tested),
        interval_lower=math.nan,
        interval_upper=math.nan,
        n=len(tested),
        runs_to_decide=None,
        verdict=None,
        chance_of_error=math.nan,
        rule="2.5 % for each tested row with one limit and 5 % for each with two: a 95 % interval lies "
        "beyond the truth so often; none for what was calculated",
        network="",
        initialisation="",
        data="",
        cycle="",
        grid="",
        reading="",
        file="",
    )
