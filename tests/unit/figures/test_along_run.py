"""Drawing of one run against its steps, as in Fig. 4 and Fig. S2."""

import numpy as np
import pytest

from dynamical_loss.figures import along_run


def test_envelope_keeps_spikes_both_branches_and_the_ends():
    x = np.arange(70_001)
    y = 0.1 * (-1.0) ** x
    y[40_001] = 5.0
    kept_x, kept_y = along_run.envelope(x, y, 1000)
    assert kept_x.size <= 2002
    assert kept_y.max() == 5.0
    assert kept_x[kept_y.argmax()] == 40_001
    assert {0.1, -0.1} <= set(kept_y)
    assert (kept_x[0], kept_x[-1]) == (0, 70_000)
    assert np.all(np.diff(kept_x) > 0)


def test_envelope_leaves_out_what_is_not_finite():
    x, y = along_run.envelope([0, 1, 2], [1.0, np.nan, np.inf])
    assert (x.tolist(), y.tolist()) == ([0], [1.0])


@pytest.mark.parametrize("length", [0, 1, 2])
def test_envelope_of_a_short_record_is_the_record(length):
    x, y = along_run.envelope(np.arange(length), np.ones(length))
    assert (x.size, y.size) == (length, length)
