"""Datasets as training takes them, read from their files.

Training reads datasets and never makes them, so that a change of how they are made retrains nothing whose
data stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.datasets.kind import Precision, Shape
from dynamical_loss.datasets.normalisation import on_sphere, projected, scaled, standardised, whitened
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Inputs

Array = npt.NDArray[Any]


class Data(NamedTuple):
    """A classification problem in memory.

    Attributes:
        train_inputs: (sample, feature), or images (sample, row, column, channel), normalised; float32 or
            float64.
        train_labels: integers 0 … C−1, (sample,).
        validation_inputs: like the training inputs, and normalised with their statistics.
        validation_labels: integers 0 … C−1, (sample,).
        classes: C.
        attributes: what the file says of its data, for what is made from it; see `recorded.of_data`.
    """

    train_inputs: Array
    train_labels: Array
    validation_inputs: Array
    validation_labels: Array
    classes: int
    attributes: Mapping[str, Any] = MappingProxyType({})

    @property
    def shape(self) -> Shape:
        """What a configuration is checked against."""
        return Shape(
            len(self.train_inputs), len(self.validation_inputs), self.train_inputs.shape[1:], self.classes
        )

    @property
    def precision(self) -> Precision:
        """Floating-point precision of the inputs."""
        return "float32" if self.train_inputs.dtype == np.float32 else "float64"

    def one_hot(self, labels: Array) -> Array:
        """Labels (sample,) as targets (sample, class_index) of 0 and 1."""
        return np.eye(self.classes)[labels]


def load(path: Path, inputs: Inputs) -> Data:
    """Read a dataset; images come out normalised, in the precision that `normalisation` says.

    Args:
        path: the file.
        inputs: of the result that it is read for.

    Raises:
        UserError: if the file is missing, damaged or no dataset.
    """
    names = [f"{part}_{what}" for part in ("train", "validation") for what in ("input", "label")]
    stored = inputs.read(path, names, made_by="prepare_dataset")
    train_inputs, train_labels, validation_inputs, validation_labels = (stored[name].values for name in names)
    classes = stored.sizes.get("class_index", int(train_labels.max()) + 1)
    normalise = _normaliser(stored)
    return Data(
        normalise(train_inputs),
        train_labels,
        normalise(validation_inputs),
        validation_labels,
        classes=classes,
        attributes=recorded.of_data(stored),
    )


def _normaliser(stored: xr.Dataset) -> Callable[[Array], Array]:
    """What makes inputs of what is stored, by the variables that are there and not by what the file says.

    Inputs that are no images are stored as they are.
    """
    if "whitening" in stored:
        return lambda images: whitened(images, stored["whitening_mean"].values, stored["whitening"].values)
    if "principal_axes" in stored:
        return lambda images: projected(
            images, stored["principal_mean"].values, stored["principal_axes"].values
        )
    if "sphere_mean" in stored:
        return lambda images: on_sphere(images, stored["sphere_mean"].values)
    if "standard_deviation" in stored:
        return lambda images: standardised(images, stored["mean"].values, stored["standard_deviation"].values)
    return scaled if stored["train_input"].dtype == np.uint8 else lambda inputs: inputs
