"""Variance components, compared with closed forms and with simulated tables."""

import numpy as np
import pytest

from dynamical_loss.analysis.crossed import components, half_widths


def test_parts_of_a_table_without_rest_are_the_variances_of_its_parts():
    data, seed = np.array([0.1, 0.4, 0.7]), np.array([0.0, 0.2, -0.1, 0.3])
    found = components(0.5 + data[:, None] + seed)
    assert found.mean.value == pytest.approx(0.5 + data.mean() + seed.mean())
    assert found.data.value == pytest.approx(data.var(ddof=1))
    assert found.seed.value == pytest.approx(seed.var(ddof=1))
    assert found.rest.value == pytest.approx(0.0, abs=1e-15)
    # If there is no rest, the interval of a component is that of an ordinary variance.
    stats = pytest.importorskip("scipy.stats")
    ends = [2 * data.var(ddof=1) / stats.chi2.ppf(p, 2) for p in (0.975, 0.025)]
    assert found.data.interval == pytest.approx(ends)


def test_axes_change_places_with_the_table():
    table = np.random.default_rng(3).normal(size=(5, 8))
    found, turned = components(table), components(table.T)
    for name, other in (("data", "seed"), ("seed", "data"), ("rest", "rest"), ("mean", "mean")):
        assert getattr(turned, name).value == pytest.approx(getattr(found, other).value)
        assert getattr(turned, name).interval == pytest.approx(getattr(found, other).interval)


def test_estimates_scale_with_the_values():
    table = np.random.default_rng(4).normal(size=(6, 6))
    found, scaled = components(table), components(3 * table + 1)
    assert scaled.mean.value == pytest.approx(3 * found.mean.value + 1)
    for part in ("data", "seed", "rest"):
        assert getattr(scaled, part).value == pytest.approx(9 * getattr(found, part).value)
        assert getattr(scaled, part).interval == pytest.approx(
            tuple(9 * end for end in getattr(found, part).interval)
        )


@pytest.mark.parametrize(("data", "seed", "rest"), [(1.0, 0.3, 0.5), (0.2, 1.0, 0.2), (0.0, 0.0, 1.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(data, seed, rest):
    generator = np.random.default_rng(5)
    runs, rows, columns = 600, 8, 10
    held = dict.fromkeys(("mean", "data", "seed", "rest"), 0)
    values = dict.fromkeys(("data", "seed", "rest"), 0.0)
    truth = {"mean": 0.0, "data": data, "seed": seed, "rest": rest}
    for _ in range(runs):
        table = (
            np.sqrt(data) * generator.normal(size=(rows, 1))
            + np.sqrt(seed) * generator.normal(size=columns)
            + np.sqrt(rest) * generator.normal(size=(rows, columns))
        )
        found = components(table)
        for name, value in truth.items():
            lower, upper = getattr(found, name).interval
            held[name] += lower <= value <= upper
        for name in values:
            values[name] += getattr(found, name).value / runs
    # The shares may differ from 0.95 by three standard errors; the interval of a zero variance may hold more
    # often.
    for name, count in held.items():
        assert count / runs > 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs), name
        assert count / runs < 0.999 or truth[name] == 0.0 or name == "mean", name
    for name, value in values.items():
        assert value == pytest.approx(truth[name], abs=0.1), name


@pytest.mark.parametrize("table", [np.zeros(4), np.zeros((1, 5)), [[1.0, np.nan], [0.0, 1.0]]])
def test_no_table_is_refused(table):
    with pytest.raises(ValueError, match="table of finite values"):
        components(table)


def test_half_widths_are_those_of_each_table_alone():
    tables = np.random.default_rng(5).normal(size=(3, 2, 4, 5))
    tables[1, 0, 2, 3] = np.nan
    found = half_widths(tables)
    for place in np.ndindex(3, 2):
        if place == (1, 0):
            assert np.isnan(found[place])
        else:
            mean = components(tables[place]).mean
            assert mean.value + found[place] == pytest.approx(mean.interval[1])
    assert np.isnan(half_widths(tables[..., :1])).all()
