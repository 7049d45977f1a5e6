"""What every kind of dataset of images says of itself, beside what `kind` asks of all."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from dynamical_loss.datasets.kind import DatasetSettings, Shape
from dynamical_loss.settings import Count, Seed

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.datasets.images import Source


class ImageSettings(DatasetSettings):
    """What all sets of images share.

    Attributes:
        whole: sizes of the set of which a part may be taken.
    """

    precision = "float32"
    draw_seed = "sample_seed"
    whole: ClassVar[Shape]

    train_samples: Count | None = Field(
        None, description="training images, as many of each class as of the others; null: all"
    )
    validation_samples: Count | None = Field(None, description="likewise of the official test set")
    sample_seed: Seed = Field(0, description="seed of the order of the images, and of which are taken")
    reduction: Count = Field(
        1, description="edge of the squares of pixels whose mean is one pixel; 2 makes 16×16 of 32×32"
    )
    normalisation: Literal["standard", "zca", "none"] = Field(
        "standard",
        description="standard: training mean 0 and standard deviation 1 in each channel; zca: whitened; "
        "none: 0 to 1",
    )
    zca_regularisation: Annotated[float, Field(gt=0)] = Field(
        0.1, description="of zca: added to every variance, in units of their mean"
    )

    @abstractmethod
    def read(self) -> Source:
        """All images of the set.

        Raises:
            UserError: if they cannot be read, or are not there.
        """

    def prepare(self) -> xr.Dataset:
        """See `DatasetSettings`."""
        from dynamical_loss.datasets.preparation import images

        return images(self, self.read())

    def redrawn(self, seed: int) -> Self:
        """See `DatasetSettings`."""
        if self.shape.train_samples == self.whole.train_samples:
            raise ValueError(
                "all images of the set are taken, so there is nothing to draw; set train_samples"
            )
        return super().redrawn(seed)

    @property
    def seeds(self) -> list[int]:
        """See `DatasetSettings`."""
        return [self.sample_seed]

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make."""
        rows, columns, channels = self.whole.sample
        return self.whole._replace(
            train_samples=self.train_samples or self.whole.train_samples,
            validation_samples=self.validation_samples or self.whole.validation_samples,
            sample=(rows // self.reduction, columns // self.reduction, channels),
        )

    @field_validator("reduction")
    @classmethod
    def _divides(cls, reduction: int) -> int:
        rows, columns, _ = cls.whole.sample
        if rows % reduction or columns % reduction:
            raise ValueError(f"squares of {reduction} do not cover {rows}×{columns} pixels; take a divisor")
        return reduction

    @field_validator("train_samples", "validation_samples")
    @classmethod
    def _are_there(cls, samples: int | None, info: ValidationInfo) -> int | None:
        most: int = getattr(cls.whole, str(info.field_name))
        if samples is not None and samples > most:
            raise ValueError(f"must be at most {most}, as many as the set has; take fewer, or null for all")
        return samples
