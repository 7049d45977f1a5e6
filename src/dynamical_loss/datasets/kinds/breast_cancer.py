"""Breast cancer: 30 measured numbers for each cell sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from dynamical_loss.datasets.kind import DatasetSettings, Precision, Shape
from dynamical_loss.settings import Seed

if TYPE_CHECKING:
    import xarray as xr

_SAMPLES, _FEATURES, _CLASSES = 569, 30, 2


class BreastCancerSettings(DatasetSettings):
    """Breast cancer (UCI, Wisconsin), which is part of scikit-learn: 30 numbers for each cell sample."""

    draw_seed = "split_seed"

    kind: Literal["breast_cancer"] = Field(
        description="kind of dataset; breast_cancer: 569 cell samples of 30 measured numbers, in two classes"
    )
    validation_samples: Annotated[int, Field(ge=2, le=_SAMPLES - 2)] = Field(
        119, description="number of samples in the validation set; the training set gets the rest of the 569"
    )
    split_seed: Seed = Field(0, description="seed of the random choice of the validation samples")

    @property
    def shape(self) -> Shape:
        """See `DatasetSettings`."""
        return Shape(_SAMPLES - self.validation_samples, self.validation_samples, (_FEATURES,), _CLASSES)

    @property
    def precision(self) -> Precision:
        """See `DatasetSettings`."""
        return "float64"

    @property
    def seeds(self) -> list[int]:
        """See `DatasetSettings`."""
        return [self.split_seed]

    def prepare(self) -> xr.Dataset:
        """See `DatasetSettings`."""
        from dynamical_loss.datasets.breast_cancer import dataset

        return dataset(self.validation_samples, self.split_seed)
