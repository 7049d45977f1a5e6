"""Accuracies of cells of a phase diagram, on made-up diagrams."""

import numpy as np
import pytest
import xarray as xr

from dynamical_loss.analysis.cells import gain


@pytest.mark.parametrize("draws", [0, 2])
def test_the_gain_is_the_mean_over_dynamical_cells_minus_the_static_accuracy(draws):
    """Accuracy = 0.5 + 0.01 seed + 0.1 log₂ A + 0.001 T for A > 1, so that the mean is known."""
    seed, period, amplitude = np.arange(4), np.array([10.0, 30.0]), np.array([2.0, 1.0, 8.0])
    cells = 0.1 * np.log2(amplitude) + np.where(amplitude > 1, 0.001 * period[:, None], 0.0)
    values = 0.5 + cells[..., None] + 0.01 * seed
    coordinates = {"period": period, "amplitude": amplitude, "seed": seed}
    accuracy = xr.DataArray(values, coordinates, ("period", "amplitude", "seed"))
    if draws:
        accuracy = xr.concat([accuracy] * draws, dim="noise_seed")
    found = gain(accuracy)
    assert found.shape == ((draws, 4) if draws else (4,))
    np.testing.assert_allclose(found, 0.1 * (1 + 3) / 2 + 0.001 * 20)


def test_a_gain_without_a_value_in_a_cell_is_unknown():
    accuracy = xr.DataArray(
        [[[0.5, 0.5], [0.7, np.nan]]],
        {"period": [10], "amplitude": [1.0, 4.0], "seed": [0, 1]},
        ("period", "amplitude", "seed"),
    )
    np.testing.assert_allclose(gain(accuracy), [0.2, np.nan])
