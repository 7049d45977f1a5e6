"""The rule that decides all claims by their intervals, and the number of runs that would decide a claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some
from scipy import stats

from dynamical_loss.claims.criteria import Range, Verdict, above, below

finite = some.floats(-1e6, 1e6)
limits = some.tuples(finite, finite).filter(lambda pair: pair[0] < pair[1])
ranges = some.one_of(finite.map(above), finite.map(below), limits.map(lambda pair: Range(*pair)))
intervals = some.tuples(finite, finite).map(sorted)


@pytest.mark.parametrize(
    ("criterion", "interval", "verdict"),
    [
        (above(0.9), (0.91, 1.0), Verdict.REPRODUCED),
        (above(0.9), (0.89, 1.0), Verdict.UNDECIDED),
        (above(0.9), (0.1, 0.89), Verdict.CONTRADICTED),
        (above(0.0), (0.0, 0.0), Verdict.CONTRADICTED),
        (below(0.1), (0.0, 0.39), Verdict.UNDECIDED),
        (below(0.1), (0.0, 0.09), Verdict.REPRODUCED),
        (below(0.1), (0.1, 0.1), Verdict.CONTRADICTED),
        (Range(8, 12), (5.3, 10.7), Verdict.UNDECIDED),
        (Range(8, 12), (8.0, 12.0), Verdict.REPRODUCED),
        (Range(8, 12), (7.0, 13.0), Verdict.UNDECIDED),
        (Range(8, 12), (12.1, 40.0), Verdict.CONTRADICTED),
        (Range(-1.05, -0.95), (-0.984, -0.966), Verdict.REPRODUCED),
    ],
)
def test_verdicts(criterion, interval, verdict):
    assert criterion.decide(*interval) == verdict


@given(ranges, intervals, some.floats(0, 1))
def test_a_verdict_is_that_of_every_value_in_the_interval(criterion, interval, place):
    lower, upper = interval
    value = min(max(lower + place * (upper - lower), lower), upper)
    verdict = criterion.decide(lower, upper)
    if verdict is Verdict.UNDECIDED:
        assert criterion.decide(lower, lower) != criterion.decide(upper, upper) or (
            criterion.low >= lower and criterion.high <= upper
        )
    else:
        assert (value in criterion) == (verdict is Verdict.REPRODUCED)


@given(ranges, intervals, some.floats(0, 1), some.floats(0, 1))
def test_a_narrower_interval_never_turns_a_verdict_round(criterion, interval, one, other):
    lower, upper = interval
    first, second = sorted(min(max(lower + x * (upper - lower), lower), upper) for x in (one, other))
    verdict = criterion.decide(lower, upper)
    assert verdict in (Verdict.UNDECIDED, criterion.decide(first, second))


@pytest.mark.parametrize("pair", [(1.0, 1.0), (2.0, 1.0), (-math.inf, math.inf), (math.nan, 1.0)])
def test_a_range_that_no_interval_could_decide_on_is_refused(pair):
    with pytest.raises(ValueError, match="no interval"):
        Range(*pair)


def test_the_runs_that_decide_are_those_of_student_s_interval():
    """With mean 0.3 and standard deviation 1, a search finds the smallest n with t / sqrt(n) below 0.3."""
    half = {n: float(stats.t.ppf(0.975, n - 1)) / math.sqrt(n) for n in range(2, 200)}
    enough = next(n for n, value in half.items() if value < 0.3)
    assert above(0.0).runs_to_decide(0.3, (0.3 - half[4], 0.3 + half[4]), 4) == enough
    assert below(0.0).runs_to_decide(0.3, (0.3 - half[4], 0.3 + half[4]), 4) == enough
    # A value in the middle of a band needs as many runs, if the band's half-width is 0.3.
    assert Range(0.0, 0.6).runs_to_decide(0.3, (0.3 - half[9], 0.3 + half[9]), 9) == enough


def test_a_value_on_a_limit_is_decided_by_no_number_of_runs():
    assert Range(8, 12).runs_to_decide(8.0, (5.3, 10.7), 3) is None
    assert above(0.0).runs_to_decide(0.0, (-1.0, 1.0), 3) is None


@given(
    some.floats(-3, 3),
    some.floats(0.01, 3),
    some.sampled_from(["above", "below", "band"]),
    some.integers(2, 50),
)
def test_that_many_runs_like_these_decide(value, half, kind, n):
    criterion = {"above": above(0.0), "below": below(0.0), "band": Range(0.0, 2.0)}[kind]
    interval = (value - half, value + half)
    assume(criterion.decide(*interval) is Verdict.UNDECIDED)
    runs = criterion.runs_to_decide(value, interval, n)
    assume(runs is not None)
    assert runs > n

    def ends(count):
        scale = stats.t.ppf([0.975] * 2, [count - 1, n - 1]) / np.sqrt([count, n])
        return value - half * scale[0] / scale[1], value + half * scale[0] / scale[1]

    assert criterion.decide(*ends(runs)) is not Verdict.UNDECIDED
    # The number is rounded up to two digits, so a number with a second digit smaller by 1 does not decide.
    fewer = runs - 10 ** max(len(str(runs)) - 2, 0)
    assert fewer <= n or criterion.decide(*ends(fewer)) is Verdict.UNDECIDED


@pytest.mark.parametrize("criterion", [above(0.0), Range(0.0, 0.4), Range(-0.1, 0.0)])
@pytest.mark.parametrize("truth", [-0.05, 0.0, 0.2])
def test_verdicts_are_false_no_more_often_than_is_said(criterion, truth):
    """Student's intervals of 8 normal values contain the truth 95 times in 100."""
    values = np.random.default_rng(0).normal(truth, 0.3, (4000, 8))
    half = stats.t.ppf(0.975, 7) * values.std(axis=1, ddof=1) / math.sqrt(8)
    verdicts = [
        criterion.decide(mean - h, mean + h) for mean, h in zip(values.mean(axis=1), half, strict=True)
    ]
    wrong = Verdict.CONTRADICTED if truth in criterion else Verdict.REPRODUCED
    found = verdicts.count(wrong)
    most = criterion.chance_of_error * len(verdicts)
    # The tolerance is four standard deviations of a binomial count.
    assert found <= most + 4 * math.sqrt(most)
