"""Ensembles and power laws, compared with closed forms."""

import numpy as np
import pytest

from dynamical_loss.analysis.lazy import crossing, ensemble_error, output_variance, power, pseudo_values

OUTPUTS = np.random.RandomState(0).normal(size=(3, 5, 40))
LABELS = np.where(np.arange(40) % 2, 1.0, -1.0)


def test_the_variance_is_the_papers_double_sum():
    """Eq. 16 is (1/(n − 1)) times the sum over seeds of the mean over samples of (F − F̄)²."""
    mean = OUTPUTS.mean(axis=1, keepdims=True)
    expected = ((OUTPUTS - mean) ** 2).mean(axis=2).sum(axis=1) / 4
    np.testing.assert_allclose(output_variance(OUTPUTS), expected)
    assert np.isnan(output_variance(OUTPUTS[:, :1])).all()


def test_the_ensemble_votes_with_its_mean():
    outputs = np.array([[3.0, -1.0, 0.5], [-1.0, -1.0, -2.0]])
    # The means are 1, −1, −0.75 and the labels +, +, −, so only the second mean is wrong.  Each of the two
    # networks is wrong for 2 of 3 samples.
    assert ensemble_error(outputs, np.array([1.0, 1.0, -1.0])) == pytest.approx(1 / 3)
    found = ensemble_error(OUTPUTS, LABELS)
    votes = np.sign(OUTPUTS.sum(axis=1))
    np.testing.assert_allclose(found, (votes != LABELS).mean(axis=1))


def test_a_power_law_has_its_exponent_inside_the_window():
    scales = np.logspace(-3, 4, 8)
    values = np.where(scales <= 1.0, 5 * scales**-1.4, 5 * scales**-0.9)
    assert power(scales, values, 1e-3, 1.0) == pytest.approx(-1.4)
    assert power(scales, values, 100.0, np.inf) == pytest.approx(-0.9)
    noisy = values * np.exp(np.random.RandomState(1).normal(size=(6, 8)))
    fits = [np.polyfit(np.log(scales[:4]), np.log(row[:4]), 1)[0] for row in noisy]
    np.testing.assert_allclose(power(scales, noisy, 1e-3, 1.0), fits)
    assert np.isnan(power(scales, values, 2.0, 9.0)) and np.isnan(power(scales, -values, 1e-3, 1.0))


def test_the_crossing_of_a_power_law_is_exact():
    scales = np.logspace(-2, 3, 6)
    starred = np.array([0.3, 4.0, 55.0])
    values = (scales / starred[:, None]) ** -1.5
    np.testing.assert_allclose(crossing(scales, values), starred)
    np.testing.assert_allclose(crossing(scales, 7 * values, 7.0), starred)
    assert np.isnan(crossing(scales, np.full(6, 3.0)))
    assert np.isnan(crossing([1.0, 2.0, 3.0], [2.0, 0.0, 0.0])) and np.isnan(crossing([1.0], [2.0]))
    # If the values rise again in between, the last crossing counts.
    assert crossing([1.0, 2.0, 4.0, 8.0], [4.0, 0.5, 2.0, 0.5]) == pytest.approx(2**2.5)


def test_pseudo_values_of_a_mean_are_the_values():
    values = np.random.RandomState(2).normal(size=(4, 7))
    without = (values.sum(axis=1, keepdims=True) - values) / 6
    np.testing.assert_allclose(pseudo_values(values.mean(axis=1), without), values)
    # Their mean is the statistic, and their scatter gives the jackknife's estimate of its variance.
    spread = np.var(values, axis=1, ddof=1)
    left = np.array([[np.var(np.delete(row, at), ddof=1) for at in range(7)] for row in values])
    found = pseudo_values(spread, left)
    np.testing.assert_allclose(found.mean(axis=1), spread)
    jackknife = 6 / 7 * ((left - left.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.var(axis=1, ddof=1) / 7, jackknife)
