"""Read datasets from their files for training.

Training reads datasets and never prepares them.  So a change in the preparation causes no retraining if the
data stay the same.
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
        train_inputs: normalised inputs, (sample, feature) or (sample, row, column, channel); float32 or
            float64.
        train_labels: integers 0 … C−1, (sample,).
        validation_inputs: like `train_inputs`, and normalised with the same statistics.
        validation_labels: integers 0 … C−1, (sample,).
        classes: number of classes C.
        attributes: attributes of the file that describe the data and that results made from them copy; see
            `recorded.of_data`.
    """

    train_inputs: Array
    train_labels: Array
    validation_inputs: Array
    validation_labels: Array
    classes: int
    attributes: Mapping[str, Any] = MappingProxyType({})

    @property
    def shape(self) -> Shape:
        """Sizes of the data, against which a configuration is checked."""
        return Shape(
            len(self.train_inputs), len(self.validation_inputs), self.train_inputs.shape[1:], self.classes
        )

    @property
    def precision(self) -> Precision:
        """Floating-point precision of the inputs."""
        return "float32" if self.train_inputs.dtype == np.float32 else "float64"

    def one_hot(self, labels: Array) -> Array:
        """Convert labels (sample,) to one-hot targets (sample, class_index)."""
        return np.eye(self.classes)[labels]


def load(path: Path, inputs: Inputs) -> Data:
    """Read a dataset and normalise its images; `normalisation` defines the precision of the result.

    Args:
        path: file of the dataset.
        inputs: inputs of the result that the dataset is read for.

    Raises:
        UserError: if the file is missing or damaged, or holds no dataset.
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
    """Return the function that converts stored values to inputs of a network.

    The variables in the file decide which function it is; attributes have no influence.  Inputs that are no
    images are used as they are stored.
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
