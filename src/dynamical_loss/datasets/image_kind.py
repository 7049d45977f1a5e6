"""Base class of the settings of image datasets."""

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
    """Settings that all kinds of image datasets share.

    Attributes:
        whole: sizes of the complete set, from which a part may be selected.
    """

    draw_seed = "sample_seed"
    whole: ClassVar[Shape]

    labels: Literal["class", "parity"] = Field(
        "class",
        description="what a network has to predict; class: the class of the image; parity: whether the "
        "index of that class is even or odd, which makes two classes",
    )
    split: Literal["official", "pooled"] = Field(
        "official",
        description="where the training and the validation images come from; official: from the training "
        "and the test set of the source; pooled: both sets are merged and put into a random order that "
        "sample_seed decides and in which the classes alternate, the first train_samples images are the "
        "training set, and the next validation_samples images are the validation set; pooled "
        "requires train_samples and validation_samples",
    )
    train_samples: Count | None = Field(
        None,
        description="number of training images, with class sizes as equal as possible; null: all of them",
    )
    validation_samples: Count | None = Field(
        None,
        description="number of validation images, with class sizes as equal as possible; with the official "
        "split they come from the official test set; null: all of them",
    )
    sample_seed: Seed = Field(0, description="seed that decides which images are selected and in which order")
    reduction: Count = Field(
        1,
        description="edge, in pixels, of the squares that are averaged into one pixel; 1 leaves the images "
        "as they are, 2 reduces 32×32 pixels to 16×16",
    )
    normalisation: Literal["standard", "zca", "sphere", "pca", "none"] = Field(
        "standard",
        description="how pixel values become the inputs of a network; standard: every channel has mean 0 and "
        "standard deviation 1 over the training images; zca: whitened with the mean and the covariance of "
        "the training images; none: scaled to the range from 0 to 1; sphere: the mean image is subtracted, "
        "and every image is scaled so that its squared norm equals the number of its pixel values; pca: "
        "projected on the first principal components, each scaled to variance 1. sphere and pca use the "
        "mean and the covariance of all images of the source, including validation images and images that "
        "are not selected",
    )
    components: Count = Field(
        10, description="number of principal components; used only if normalisation is pca"
    )
    zca_regularisation: Annotated[float, Field(gt=0)] = Field(
        0.1,
        description="number that is added to every variance before whitening, in units of the mean variance; "
        "used only if normalisation is zca",
    )

    @abstractmethod
    def read(self) -> Source:
        """Return all images of the set.

        Raises:
            UserError: if the images are missing or cannot be read.
        """

    def prepare(self) -> xr.Dataset:
        """See `DatasetSettings`."""
        from dynamical_loss.datasets.preparation import images

        return images(self, self.read())

    def redrawn(self, seed: int) -> Self:
        """See `DatasetSettings`."""
        if self.split == "official" and self.shape.train_samples == self.whole.train_samples:
            raise ValueError(
                "all images of the set are used, so there is nothing to draw at random; set train_samples"
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
        """Whether inputs are normalised with statistics of all images of the source."""
        return self.normalisation in ("sphere", "pca")

    @property
    def image(self) -> tuple[int, int, int]:
        """Number of rows, columns and channels of an image as it is stored."""
        rows, columns, channels = self.whole.sample
        return rows // self.reduction, columns // self.reduction, channels

    @property
    def shape(self) -> Shape:
        """See `DatasetSettings`."""
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
        # For pooled images the sum of both numbers has a limit, which is checked below.
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
                f"train_samples: with validation_samples {asked} images are needed, and the set has {most}; "
                "take fewer"
            )
        return self

    @model_validator(mode="after")
    def _parities_are_balanced(self) -> Self:
        if self.labels == "class":
            return self
        classes = self.whole.classes
        if classes % 2:
            raise ValueError(
                f"labels: parity needs an even number of classes, the set has {classes}; set labels: class"
            )
        for name in ("train_samples", "validation_samples"):
            samples = getattr(self.shape, name)
            if samples % classes:
                raise ValueError(
                    f"{name}: {samples} images cannot be shared out equally among {classes} classes, which "
                    f"labels: parity needs; take a multiple of {classes}"
                )
        return self

    @model_validator(mode="after")
    def _has_so_many_components(self) -> Self:
        features = math.prod(self.image)
        if self.normalisation == "pca" and self.components > features:
            raise ValueError(
                f"components: {self.components} is more than the {features} pixel values of an image; take "
                "fewer"
            )
        return self
