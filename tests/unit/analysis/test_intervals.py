"""Intervals, compared with those of SciPy."""

import numpy as np
import pytest
from scipy import stats

from dynamical_loss.analysis.intervals import student_interval


@pytest.mark.parametrize("n", [2, 3, 30])
def test_students_interval_is_scipys(n):
    values = np.random.default_rng(n).normal(size=(4, n))
    mean, reach = student_interval(values)
    for row, centre, half in zip(values, mean, reach, strict=True):
        expected = stats.ttest_1samp(row, 0.0).confidence_interval(0.95)
        np.testing.assert_allclose([centre - half, centre + half], expected)


def test_students_interval_leaves_out_what_is_not_finite():
    mean, reach = student_interval([[1.0, np.nan, 3.0, 5.0], [2.0, np.nan, np.inf, np.nan], [np.nan] * 4])
    alone = student_interval([1.0, 3.0, 5.0])
    np.testing.assert_allclose(mean, [alone[0], 2.0, np.nan])
    np.testing.assert_allclose(reach, [alone[1], np.nan, np.nan])
