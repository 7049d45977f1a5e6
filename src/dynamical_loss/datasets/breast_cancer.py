"""Read the breast-cancer data of scikit-learn (UCI, Wisconsin): 30 numbers for each cell sample."""

from __future__ import annotations

import hashlib

import numpy as np
import xarray as xr

from dynamical_loss.datasets.images import DESCRIPTION, sizes
from dynamical_loss.results import netcdf


def dataset(validation_samples: int, seed: int) -> xr.Dataset:
    """Return the training and validation set, ready to be stored.

    Every feature has mean 0 and standard deviation 1 over the training set.

    Args:
        validation_samples: number of samples in the validation set.
        seed: seed of the random choice of the validation samples.
    """
    from sklearn.datasets import load_breast_cancer

    stored = load_breast_cancer()
    order = np.random.default_rng(seed).permutation(len(stored.target))
    parts = {"train": order[validation_samples:], "validation": order[:validation_samples]}
    train = stored.data[parts["train"]]
    inputs = (stored.data - train.mean(axis=0)) / train.std(axis=0)
    variables = netcdf.Variables()
    figure = "arXiv 2302.01952, Fig. F4"
    for part, chosen in parts.items():
        variables.add(
            f"{part}_input",
            (f"{part}_sample", "feature"),
            inputs[chosen],
            f"{part} inputs, standardised",
            reference=figure,
        )
        labels = stored.target[chosen].astype(np.int64)
        variables.add(f"{part}_label", (f"{part}_sample",), labels, f"{part} labels", reference=figure)
    names = np.array(list(map(str, stored.target_names)), object)
    variables.add("class_name", ("class_index",), names, "names of the classes", reference=figure)
    content = stored.data.tobytes() + stored.target.tobytes()
    split = f"no official one; {validation_samples} are set apart for validation, drawn from split_seed"
    size = sizes(len(parts["train"]), len(parts["validation"]))
    return variables.dataset().assign_attrs(
        {
            "dataset": "breast cancer",
            "dataset_source": "scikit-learn's load_breast_cancer",
            "dataset_source_sha256": hashlib.sha256(content).hexdigest(),
            "split": split,
            DESCRIPTION: f"breast cancer, {size} samples of 30 numbers, seed {seed}",
        }
    )
