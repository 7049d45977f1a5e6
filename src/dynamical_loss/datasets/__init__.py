"""Datasets: training and validation inputs and labels, one NetCDF file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss import store
from dynamical_loss.config.datasets import SpiralSettings
from dynamical_loss.datasets.spiral import spiral

Array = npt.NDArray[Any]


class Data(NamedTuple):
    """A classification problem in memory.

    Attributes:
        train_inputs: (sample, feature).
        train_labels: integers 0 … C−1, (sample,).
        validation_inputs: (sample, feature).
        validation_labels: integers 0 … C−1, (sample,).
        classes: C.
    """

    train_inputs: Array
    train_labels: Array
    validation_inputs: Array
    validation_labels: Array
    classes: int

    def one_hot(self, labels: Array) -> Array:
        """Labels (sample,) as targets (sample, class_index) of 0 and 1."""
        return np.eye(self.classes)[labels]


def generate(settings: SpiralSettings) -> xr.Dataset:
    """Training and validation set of the spiral, ready to be stored."""
    variables = store.Variables()
    for part, seed in (
        ("train", settings.train_seed),
        ("validation", settings.validation_seed),
    ):
        inputs, labels = spiral(
            classes=settings.classes,
            points_per_class=settings.points_per_class,
            turns=settings.turns,
            noise=settings.noise,
            seed=seed,
        )
        variables.add(
            f"{part}_input",
            (f"{part}_sample", "feature"),
            inputs,
            f"{part} inputs",
            reference="Fig. 2",
        )
        variables.add(f"{part}_label", (f"{part}_sample",), labels, f"{part} labels", reference="Fig. 2")
    return variables.dataset()


def load(path: Path, inputs: store.Inputs) -> Data:
    """Read a dataset.

    Args:
        path: the file.
        inputs: of the result that it is read for.

    Raises:
        UserError: if the file is missing, damaged or no dataset.
    """
    names = [f"{part}_{what}" for part in ("train", "validation") for what in ("input", "label")]
    stored = inputs.read(path, names, made_by="prepare_dataset")
    train_inputs, train_labels, validation_inputs, validation_labels = (stored[name].values for name in names)
    return Data(
        train_inputs,
        train_labels,
        validation_inputs,
        validation_labels,
        classes=int(train_labels.max()) + 1,
    )
