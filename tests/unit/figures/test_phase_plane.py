"""Statistics and colours of the (T, A) plane that Fig. 1 and Fig. 3 draw."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from dynamical_loss.errors import UserError
from dynamical_loss.figures import phase_plane


def plane(values, periods=(10,), amplitudes=(1.0, 5.0, 70.0)):
    """Return accuracies over (period, amplitude, seed)."""
    values = np.asarray(values, dtype=float)
    coordinates = {"period": list(periods), "amplitude": list(amplitudes), "seed": range(values.shape[-1])}
    return xr.DataArray(values, coordinates, ("period", "amplitude", "seed"))


def test_cells_are_ordered_by_their_coordinates():
    values = np.stack([np.full((3, 4), level) for level in (0.9, 0.5, 0.7)], axis=1)
    found = phase_plane.statistics(plane(values, (100, 10, 1000), (70.0, 1.0, 5.0)))
    np.testing.assert_allclose(found.periods, [10, 100, 1000])
    np.testing.assert_allclose(found.amplitudes, [5.0, 70.0])
    np.testing.assert_allclose(found.mean[:, 0], [0.7, 0.9])
    assert found.static == pytest.approx((0.5, 0.0))


def test_changes_are_those_that_a_paired_t_test_finds():
    generator = np.random.default_rng(2)
    values = 0.7 + 0.05 * generator.normal(size=(1, 12, 5)) + np.linspace(-0.1, 0.1, 12)[None, :, None]
    found = phase_plane.statistics(plane(values, amplitudes=range(1, 13)))
    expected = []
    for cell in values[0, 1:]:
        lower, upper = stats.ttest_rel(cell, values[0, 0]).confidence_interval(0.95)
        expected.append(int(lower > 0) - int(upper < 0))
    np.testing.assert_array_equal(found.change[:, 0], expected)
    assert len(set(expected)) > 1


def colour_limits(static, *means):
    values = np.array([static, *means])[None, :, None] * np.ones((1, len(means) + 1, 3))
    item = plane(values, amplitudes=range(1, len(means) + 2))
    norm = phase_plane.colour_range([phase_plane.statistics(item)])
    return norm.vmin, norm.vmax


@pytest.mark.parametrize(
    ("means", "limits"),
    [
        ((0.47, 0.6, 0.8, 0.99), (0.4, 1.0)),  # a large effect
        ((0.975, 0.962, 0.97, 0.987), (0.96, 0.99)),  # a small effect
        ((0.5, 0.5, 0.5, 0.5), (0.48, 0.5)),  # no effect
        ((0.993, 0.993, 0.992, 0.993), (0.975, 0.995)),  # an effect of one sample
        ((0.98, 0.97, 0.975, 0.98, 0.984, 0.6), (0.965, 0.985)),  # one cell far below the others
        ((0.5, 0.99, 0.98, 0.99, 0.99), (0.5, 1.0)),  # all cells far above the static loss
        ((np.nan, 0.8, 0.9, np.nan), (0.8, 0.9)),  # runs without a number
        ((np.nan, np.nan), (0.0, 1.0)),  # only runs without a number
    ],
)
def test_colours_show_the_effect(means, limits):
    assert colour_limits(*means) == pytest.approx(limits)


def test_the_static_loss_alone_is_no_plane():
    alone = plane(np.ones((1, 1, 2)), amplitudes=[1.0]).to_dataset(name="train_accuracy")
    with pytest.raises(UserError, match=r"Fig\. 1 needs an amplitude above 1; add one to the phase study"):
        phase_plane.require_dynamical(alone, "Fig. 1", "phase")
