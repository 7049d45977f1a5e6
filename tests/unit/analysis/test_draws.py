"""Gathering of several draws of the data."""

import numpy as np
import pytest
import xarray as xr

from dynamical_loss.analysis.crossed import components
from dynamical_loss.analysis.draws import gather


def diagram(values):
    """A phase diagram over one period, two amplitudes and the seeds of `values`, (amplitude, seed)."""
    dimensions = ("period", "amplitude", "seed")
    words = {"long_name": "accuracy", "units": "1", "reference": "Fig. 3"}
    dataset = xr.Dataset(
        {
            "train_accuracy": (dimensions, values[None], words),
            "validation_accuracy": (dimensions, values[None] / 2, words),
        },
        coords={"period": [10], "amplitude": [1.0, 5.0], "seed": range(values.shape[1])},
    )
    for name in dataset.coords:
        dataset[name].attrs = words
    return dataset


def test_runs_and_parts_of_the_variance_are_those_of_each_cell():
    values = np.random.default_rng(0).uniform(size=(4, 2, 5))
    values[2, 1, 3] = np.nan
    found = gather([diagram(each) for each in values], [7, 3, 9, 1])
    assert found["noise_seed"].values.tolist() == [7, 3, 9, 1]
    assert found["train_accuracy"].dims == ("noise_seed", "period", "amplitude", "seed")
    np.testing.assert_array_equal(found["train_accuracy"].sel(noise_seed=3).isel(period=0), values[1])
    expected = components(values[:, 0])
    parts = found["train_accuracy_variance"].sel(amplitude=1.0, period=10)
    ends = found["train_accuracy_variance_interval"].sel(amplitude=1.0, period=10)
    for name in ("data", "seed", "rest"):
        assert parts.sel(part=name) == pytest.approx(getattr(expected, name).value)
        assert ends.sel(part=name).values == pytest.approx(getattr(expected, name).interval)
    half = found["validation_accuracy_variance"].sel(amplitude=1.0, period=10)
    np.testing.assert_allclose(half, parts / 4)
    # The variance of a cell with a run that is not finite is unknown.
    assert found["train_accuracy_variance"].sel(amplitude=5.0).isnull().all()


def test_one_draw_or_one_seed_has_no_parts():
    one_draw = gather([diagram(np.ones((2, 5)))], [0])
    one_seed = gather([diagram(np.ones((2, 1)))] * 3, [0, 1, 2])
    for found in (one_draw, one_seed):
        assert found["train_accuracy_variance"].isnull().all()


def test_grids_that_differ_are_refused():
    other = diagram(np.ones((2, 5))).assign_coords(amplitude=[1.0, 6.0])
    with pytest.raises(ValueError, match="amplitude"):
        gather([diagram(np.ones((2, 5))), other], [0, 1])
