"""The breast-cancer data, compared with scikit-learn's scaler."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from dynamical_loss.datasets.kinds.breast_cancer import BreastCancerSettings
from dynamical_loss.settings import validate

KIND = {"kind": "breast_cancer"}


def prepared(**settings):
    chosen = validate(BreastCancerSettings, {**KIND, **settings}, "settings")
    return chosen, chosen.prepare()


@pytest.mark.parametrize("settings", [{}, {"validation_samples": 2, "split_seed": 7}])
def test_every_sample_is_in_one_set_and_scaled_by_the_training_set(settings):
    chosen, found = prepared(**settings)
    shape = chosen.shape
    assert found["train_input"].shape == (shape.train_samples, *shape.sample)
    assert found["validation_input"].shape == (shape.validation_samples, *shape.sample)
    whole = load_breast_cancer()
    np.testing.assert_allclose(found["train_input"].mean("train_sample"), 0.0, atol=1e-12)
    np.testing.assert_allclose(found["train_input"].std("train_sample"), 1.0, rtol=1e-12)
    # Each row is one sample, scaled by the scaler that was fitted to the training rows.
    raw = {row.tobytes(): place for place, row in enumerate(whole.data)}
    assert len(raw) == len(whole.data)
    order = np.random.default_rng(chosen.split_seed).permutation(len(whole.data))
    apart, rest = order[: shape.validation_samples], order[shape.validation_samples :]
    scaler = StandardScaler().fit(whole.data[rest])
    for part, rows in (("train", rest), ("validation", apart)):
        np.testing.assert_allclose(found[f"{part}_input"], scaler.transform(whole.data[rows]), atol=1e-12)
        np.testing.assert_array_equal(found[f"{part}_label"], whole.target[rows])


def test_another_seed_is_another_draw():
    chosen, found = prepared()
    other = chosen.redrawn(1).prepare()
    assert not np.array_equal(found["validation_label"], other["validation_label"])
