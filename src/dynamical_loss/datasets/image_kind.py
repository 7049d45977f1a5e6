"""What every kind of dataset of images says of itself, beside what `kind` asks of all."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from dynamical_loss.datasets.kind import DatasetSettings, Precision, Shape
from dynamical_loss.settings import Count, Seed

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.datasets.images import Source


class ImageSettings(DatasetSettings):
    """What all sets of images share.

    Attributes:
        whole: sizes of the set of which a part may be taken.
    """

    draw_seed = "sample_seed"
    whole: ClassVar[Shape]

    labels: Literal["class", "parity"] = Field(
        "class",
        description="parity: two classes, the even and the odd of those of the images, by their index",
    )
    split: Literal["official", "pooled"] = Field(
        "official",
        description="pooled: images of both parts in turn one of each class, drawn from sample_seed: first "
        "train_samples, then validation_samples",
    )
    train_samples: Count | None = Field(
        None, description="training images, as many of each class as of the others; null: all"
    )
    validation_samples: Count | None = Field(None, description="likewise of the official test set")
    sample_seed: Seed = Field(0, description="seed of the order of the images, and of which are taken")
    reduction: Count = Field(
        1, description="edge of the squares of pixels whose mean is one pixel; 2 makes 16×16 of 32×32"
    )
    normalisation: Literal["standard", "zca", "sphere", "pca", "none"] = Field(
        "standard",
        description="standard: training mean 0 and standard deviation 1 in each channel; zca: whitened; "
        "none: 0 to 1; sphere: less the mean, scaled to a norm² of the number of pixel values; pca: "
        "principal components, of variance 1. For sphere and pca, mean and covariance are those of all "
        "images of the source, also those for validation and those not taken",
    )
    components: Count = Field(10, description="of pca alone: how many principal components")
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
        if self.split == "official" and self.shape.train_samples == self.whole.train_samples:
            raise ValueError(
                "all images of the set are taken, so there is nothing to draw; set train_samples"
            )
        return super().redrawn(seed)

    @property
    def seeds(self) -> list[int]:
        """See `DatasetSettings`."""
        return [self.sample_seed]

    @property
    def precision(self) -> Precision:
        """See `DatasetSettings`."""
        return "float64" if self.normalised_by_all else "float32"

    @property
    def normalised_by_all(self) -> bool:
        """Whether inputs are normalised by all images of the source, and not by the training images."""
        return self.normalisation in ("sphere", "pca")

    @property
    def image(self) -> tuple[int, int, int]:
        """Rows, columns and channels of an image as it is stored."""
        rows, columns, channels = self.whole.sample
        return rows // self.reduction, columns // self.reduction, channels

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make."""
        return Shape(
            train_samples=self.train_samples or self.whole.train_samples,
            validation_samples=self.validation_samples or self.whole.validation_samples,
            sample=(self.components,) if self.normalisation == "pca" else self.image,
            classes=2 if self.labels == "parity" else self.whole.classes,
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
        # Of pooled images it is the sum of both that has a limit.
        if samples is not None and samples > most and info.data.get("split") != "pooled":
            raise ValueError(f"must be at most {most}, as many as the set has; take fewer, or null for all")
        return samples

    @model_validator(mode="after")
    def _pool_is_large_enough(self) -> Self:
        if self.split == "official":
            return self
        if self.train_samples is None or self.validation_samples is None:
            raise ValueError("split: pooled needs train_samples and validation_samples; set both")
        asked, most = (shape.train_samples + shape.validation_samples for shape in (self.shape, self.whole))
        if asked > most:
            raise ValueError(
                f"train_samples: with validation_samples they are {asked}, and the set has {most} images; "
                "take fewer"
            )
        return self

    @model_validator(mode="after")
    def _parities_are_balanced(self) -> Self:
        if self.labels == "class":
            return self
        classes = self.whole.classes
        if classes % 2:
            raise ValueError(f"labels: of {classes} classes more are even than odd ones; take class")
        for name in ("train_samples", "validation_samples"):
            samples = getattr(self.shape, name)
            if samples % classes:
                raise ValueError(
                    f"{name}: {samples} images are not as many of each of {classes} classes, which labels: "
                    f"parity needs; take a multiple of {classes}"
                )
        return self

    @model_validator(mode="after")
    def _has_so_many_components(self) -> Self:
        features = math.prod(self.image)
        if self.normalisation == "pca" and self.components > features:
            raise ValueError(
                f"components: {self.components} are more than the {features} pixel values of an image; take "
                "fewer"
            )
        return self
