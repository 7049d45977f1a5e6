"""Judge the paper's claims by the results: a registry of claims, and one row for each claim.

Each claim states what is measured, what the value is averaged over, and for which values the claim holds.
These limits were fixed before any result had been seen; rows that were added or changed later say so.  The
words of a rule are written from the numbers that decide, so words and numbers cannot drift apart.

A contradicted claim is a result.  A claim is *undecided* if its interval contains a limit, and its row then
says how many runs would decide it.  A claim is *not tested at this scale* if the grid, the seeds or the
protocol at hand cannot test it, and its rule then says why.

The functions read no files: they take datasets by role and return rows.
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
"""Id of the closing row, which holds the expected number of false verdicts."""

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
"""All claims, in the order of the paper's figures."""


@dataclass(frozen=True)
class Row:
    """One row of ``claims.csv``.

    The fields are in the order of the columns.  NaN and None are written as empty cells.

    Attributes:
        id: short name of the claim.
        source: place in the paper where the claim is made.
        statement: the claim as a sentence.
        paper_value: number that the paper (or the theory) gives.
        measured_value: measured number, in the units of the claim.
        interval_lower: lower end of the 95 % interval of the measured value.
        interval_upper: upper end of this interval.
        n: number of seeds, runs or events behind the measured value.
        runs_to_decide: about how many seeds, runs or events would decide an undecided claim, if they
            scattered like those at hand; None if no number of them would, and for all other verdicts.
        verdict: verdict on the claim; None in the row `EXPECTED_FALSE`.
        chance_of_error: largest chance that such a verdict is false; NaN if the claim was not tested.
        rule: rule behind the verdict, in words.
        network: network or networks that the claim is about.  This field and the next five are empty if the
            claim was not computed from any file, or does not depend on what the field describes.
        initialisation: how the initial weights of these networks are drawn.
        data: training and validation data of these networks.
        cycle: number of steps from one class to the next.
        grid: cells of the phase diagram, and the length and precision of their training.
        reading: how instabilities were detected.
        file: files that the claim was computed from.
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
    """Judge every claim by the results.

    Args:
        inputs: datasets by role; a claim whose roles are absent is not tested.
        settings: settings of the bootstrap behind the intervals.
        files: names of the files by role, for the last column; None leaves this column empty.
        given_only: whether to leave out claims whose files are not given.

    Returns:
        One row for each claim, in the registry's order.  A claim about the threshold of instability has one
        row for each definition in the threshold files, the paper's definition first.
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
    """Return the closing row of a table, which holds the expected number of false verdicts in the table.

    The chances of error of all tests add up, whether the tests are independent or not.

    Args:
        rows: all rows that `evaluate` returned, or some of them.
    """
    tested = [row for row in rows if row.verdict is not Verdict.NOT_TESTED]
    return Row(
        id=EXPECTED_FALSE,
        source="all rows",
        statement="at most this many of the n tested claims are expected to have a false verdict",
        paper_value=math.nan,
        measured_value=math.fsum(row.chance_of_error for row in tested),
        interval_lower=math.nan,
        interval_upper=math.nan,
        n=len(tested),
        runs_to_decide=None,
        verdict=None,
        chance_of_error=math.nan,
        rule="a verdict by one limit is false with a chance of 2.5 %, and a verdict by two limits with a "
        "chance of 5 %, because a 95 % interval misses the truth so often; rows that follow from a "
        "calculation count as free of error",
        network="",
        initialisation="",
        data="",
        cycle="",
        grid="",
        reading="",
        file="",
    )
