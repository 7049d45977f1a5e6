"""Claims about the talk's question 4: learning rates that follow the curvature (Fig. F7, F8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

import xarray as xr

from dynamical_loss.claims.criteria import above
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.errors import UserError
from dynamical_loss.notation import exact
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.learning_rates import CELLS, LONG, SHORT, STATIC, Cell, LearningRate, runs_of
from dynamical_loss.paper.protocols import NARROW, RULE, spiral_study

CHOOSING = 5
"""Seeds below this number choose one learning rate among several; only the other seeds measure."""

USUAL = LearningRate(1.0)
"""The paper's learning rate."""

AUTHORS = LearningRate(1.0, power=1.0, cap=5.0)
"""The rule and the cap in the code of the authors of arXiv 2302.01952."""

REPLAYED = LearningRate(1.0, power=1.0, cap=2.0)
"""The rule whose learning rates are replayed in other runs."""


def runs_at(evidence: Evidence, cell: Cell) -> dict[LearningRate, xr.DataArray]:
    """Return the validation accuracies in one cell by learning rate, each of shape (seed,).

    Raises:
        UntestedError: if a study departs from the protocol, or two have the same learning rate in this cell.
    """
    items = evidence.files("learning_rates")
    for item in items:
        require(spiral_study(NARROW), facts_of(item), but=["learning_rate_schedule", RULE])
    try:
        return runs_of(items, cell)
    except UserError as error:
        raise UntestedError(str(error)) from None


def one(wanted: LearningRate, cell: Cell, evidence: Evidence) -> xr.DataArray:
    """Return the accuracies with one learning rate, for the seeds that do not choose, shape (seed,).

    Raises:
        UntestedError: if there is no study with this learning rate.
    """
    found = runs_at(evidence, cell)
    if wanted not in found:
        raise UntestedError(f"there is no study of {wanted.words()} with {_cell_words(cell)}")
    return _measuring(found[wanted])


def best(
    of: Callable[[LearningRate], bool], cell: Cell, evidence: Evidence
) -> tuple[LearningRate, xr.DataArray]:
    """Return the learning rate that is best on the choosing seeds, and its accuracies on the other seeds.

    Args:
        of: function that returns whether a learning rate takes part in the choice.
        cell: T and A.
        evidence: files by role.

    Raises:
        UntestedError: if there are not two learning rates to choose from, or choosing seeds are missing.
    """
    runs = {rate: values for rate, values in runs_at(evidence, cell).items() if of(rate)}
    if len(runs) < 2:
        raise UntestedError(f"there are not two learning rates to choose from with {_cell_words(cell)}")
    choosing = {rate: values.sel(seed=slice(0, CHOOSING - 1)) for rate, values in runs.items()}
    if any(values.sizes["seed"] < CHOOSING for values in choosing.values()):
        raise UntestedError(f"a study lacks some of the first {CHOOSING} seeds, which choose a learning rate")
    chosen = max(sorted(runs), key=lambda rate: float(choosing[rate].mean()))
    return chosen, _measuring(runs[chosen])


def _measuring(values: xr.DataArray) -> xr.DataArray:
    return values.sel(seed=slice(CHOOSING, None))


def _paired(evidence: Evidence, first: xr.DataArray, second: xr.DataArray, remark: str = "") -> Measurement:
    first, second = xr.align(first, second, join="inner")
    found = evidence.mean((first - second).values)
    return Measurement(found.value, found.interval, found.n, remark)


def _chosen(words: Iterable[LearningRate]) -> str:
    return "chosen on other seeds: " + "; ".join(rate.words() for rate in words)


def _against_usual(cell: Cell, evidence: Evidence) -> Measurement:
    rate, values = best(lambda rate: rate.follows, cell, evidence)
    return _paired(evidence, values, one(USUAL, cell, evidence), _chosen([rate]))


def _against_fixed(cell: Cell, evidence: Evidence) -> Measurement:
    rate, values = best(lambda rate: rate.follows, cell, evidence)
    fixed, others = best(lambda rate: rate.is_constant, cell, evidence)
    return _paired(evidence, values, others, _chosen([rate, fixed]))


def _of_two(first: LearningRate, second: LearningRate, cell: Cell, evidence: Evidence) -> Measurement:
    return _paired(evidence, one(first, cell, evidence), one(second, cell, evidence))


def _against_decay(evidence: Evidence) -> Measurement:
    rate, values = best(lambda rate: rate.follows, STATIC, evidence)
    return _paired(evidence, values, one(USUAL._replace(decays=True), STATIC, evidence), _chosen([rate]))


def _oscillation_under_rule(evidence: Evidence) -> Measurement:
    static, values = best(lambda rate: rate.follows, STATIC, evidence)
    dynamical, others = best(lambda rate: rate.follows, SHORT, evidence)
    return _paired(evidence, others, values, _chosen([dynamical, static]))


def _same_steps(amplitude: float, evidence: Evidence) -> Measurement:
    replayed = REPLAYED._replace(steps_of="static_next_seed")
    period, _ = SHORT
    return _paired(evidence, one(replayed, (period, amplitude), evidence), one(replayed, STATIC, evidence))


def _cell_words(cell: Cell) -> str:
    period, amplitude = cell
    return CELLS.get(cell, f"T = {period}, A = {exact(amplitude)}")


_QUESTION = "talk, open question (Fig. F7)"
_RULE = "drift-adjusted learning rate"
_CHOICE = f"the power and cap that are best on the first {CHOOSING} seeds"
_MEASURED = (
    "final validation accuracy {first} minus that {second}, the same seed, mean over the n other seeds"
)

_Measure = Callable[[Evidence], Measurement]

_QUESTIONS: list[tuple[str, str, str, str, _Measure]] = [
    *(
        (
            f"adjusted_rate_{name}",
            f"with the {words} a {_RULE} (DAL) generalises better than η = 1",
            f"with a {_RULE} ({_CHOICE})",
            "with η = 1",
            partial(_against_usual, cell),
        )
        for name, words, cell in (
            ("static", "static loss", STATIC),
            ("dynamical", "dynamical loss (T = 200, A = 10)", SHORT),
            ("cascade", "dynamical loss of Fig. 4 (T = 5000, A = 70)", LONG),
        )
    ),
    *(
        (
            f"adjusted_rate_{name}_fixed",
            f"with the {words} a drift-adjusted learning rate (DAL) generalises better than the best "
            "constant η",
            f"with a {_RULE} ({_CHOICE})",
            f"with the constant η that is best on the first {CHOOSING} seeds",
            partial(_against_fixed, cell),
        )
        for name, words, cell in (
            ("static", "static loss", STATIC),
            ("dynamical", "dynamical loss (T = 200, A = 10)", SHORT),
        )
    ),
    (
        "adjusted_rate_authors_cap",
        "with the dynamical loss (T = 200, A = 10) a drift-adjusted learning rate (DAL) with the cap of its "
        "authors' code, 5, generalises better than η = 1",
        f"with a {_RULE} (p = 1, cap 5)",
        "with η = 1",
        partial(_of_two, AUTHORS, USUAL, SHORT),
    ),
    (
        "adjusted_rate_half_power",
        "with the static loss and a cap of 5 a drift-adjusted learning rate (DAL) generalises better with "
        "the power 1/2 than with the power 1",
        "with p = 0.5",
        "with p = 1",
        partial(_of_two, AUTHORS._replace(power=0.5), AUTHORS, STATIC),
    ),
    (
        "adjusted_rate_own_steps",
        "with the static loss a drift-adjusted learning rate (DAL) that follows the run's own curvature "
        "generalises better than one that follows the curvature of another seed's run",
        "with p = 1 and cap 2",
        "with the same steps as such a run of the next seed",
        partial(_of_two, REPLAYED, REPLAYED._replace(steps_of="next_seed"), STATIC),
    ),
    (
        "adjusted_rate_decay",
        "with the static loss a drift-adjusted learning rate (DAL) generalises better than a learning rate "
        "that falls from 2 to 0",
        f"with a {_RULE} ({_CHOICE})",
        "with η on a straight line from 2 to 0",
        _against_decay,
    ),
    (
        "adjusted_rate_adds",
        f"if both have a {_RULE} (DAL), the dynamical loss (T = 200, A = 10) generalises better than the "
        "static loss",
        f"at T = 200, A = 10 ({_CHOICE})",
        "at A = 1 (chosen in the same way)",
        _oscillation_under_rule,
    ),
    *(
        (
            f"same_steps_amplitude_{amplitude:g}",
            f"the dynamical loss (T = 200, A = {amplitude:g}) generalises better than the static loss if "
            "both replay the drift-adjusted learning rates (DAL) of one static run",
            f"at T = 200, A = {amplitude:g}",
            "at A = 1, both with the steps of a static run of the next seed (p = 1, cap 2)",
            partial(_same_steps, amplitude),
        )
        for amplitude in (2.0, 5.0, 10.0)
    ),
]
"""Each entry: id, statement, what is measured, what it is compared with, and the measuring function."""

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        identity,
        _QUESTION,
        f"{statement} (width {NARROW})",
        math.nan,
        _MEASURED.format(first=first, second=second),
        above(0.0),
        ("learning_rates",),
        measure,
        "difference of accuracies",
    )
    for identity, statement, first, second, measure in _QUESTIONS
)
"""The rules were registered before the runs (docs/flow.md)."""
