"""Settings of the datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from dynamical_loss.config.base import Count, Seed, Settings, one_of, require_plain

DOWNLOADED = Path("data", "cifar-10-binary.tar.gz")
"""Where CIFAR-10 is downloaded to, and read from where no source is given."""

OFFICIAL_SHA256 = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}
"""Checksums of CIFAR-10's official archives, by name."""

_KINDS = "spiral, digits, fashion_mnist or cifar10"


class Shape(NamedTuple):
    """What can be told of a dataset before it is read.

    Attributes:
        train_samples: in the training set.
        validation_samples: in the validation set.
        sample: shape of one input.
        classes: C.
    """

    train_samples: int
    validation_samples: int
    sample: tuple[int, ...]
    classes: int


class SpiralSettings(Settings):
    """The spiral of Fig. 2."""

    kind: Literal["spiral"] = Field("spiral", description=_KINDS)
    classes: Annotated[int, Field(ge=2)] = Field(3, description="arms, one per class")
    points_per_class: Count = Field(100, description="points on each arm")
    turns: Annotated[float, Field(gt=0)] = Field(2.0, description="revolutions of an arm")
    noise: Annotated[float, Field(ge=0)] = Field(0.2, description="standard deviation of the angle, radians")
    train_seed: Seed = Field(0, description="seed of the training noise; 0 is the authors'")
    validation_seed: Seed = Field(
        1, description="seed of the validation noise; the paper does not publish its own"
    )

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make."""
        samples = self.classes * self.points_per_class
        return Shape(samples, samples, (2,), self.classes)

    @property
    def location(self) -> None:
        """It is made from nothing."""


def _readable(source: str) -> str:
    """A file or folder as it was given.

    Raises:
        ValueError: if Snakemake would take it for something else, or it begins with a home that is none.
    """
    if not source:
        raise ValueError("must name a file or folder; choose one")
    require_plain(source)
    try:
        Path(source).expanduser()
    except RuntimeError:
        raise ValueError("begins with the home folder of a user who is not known; write it out") from None
    return source


Source = Annotated[str, AfterValidator(_readable)]


class _ImageSettings(Settings):
    """What all sets of images share.

    Attributes:
        whole: sizes of the set of which a part may be taken.
    """

    whole: ClassVar[Shape]

    kind: str = Field(description=_KINDS)
    train_samples: Count | None = Field(
        None, description="training images, as many of each class as of the others; null: all"
    )
    validation_samples: Count | None = Field(None, description="likewise of the official test set")
    sample_seed: Seed = Field(0, description="seed of the order of the images, and of which are taken")
    normalisation: Literal["standard", "zca", "none"] = Field(
        "standard",
        description="standard: training mean 0 and standard deviation 1 in each channel; zca: whitened; "
        "none: 0 to 1",
    )
    zca_regularisation: Annotated[float, Field(gt=0)] = Field(
        0.1, description="of zca: added to every variance, in units of their mean"
    )

    @property
    def location(self) -> Path | None:
        """The file or folder that the images are read from; None: a package brings them along."""
        return None

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make."""
        return self.whole._replace(
            train_samples=self.train_samples or self.whole.train_samples,
            validation_samples=self.validation_samples or self.whole.validation_samples,
        )

    @field_validator("train_samples", "validation_samples")
    @classmethod
    def _are_there(cls, samples: int | None, info: ValidationInfo) -> int | None:
        most: int = getattr(cls.whole, str(info.field_name))
        if samples is not None and samples > most:
            raise ValueError(f"must be at most {most}, as many as the set has; take fewer, or null for all")
        return samples


class DigitsSettings(_ImageSettings):
    """Handwritten digits, 8×8 grey, which scikit-learn brings along: images for any machine."""

    # There is no official split: 297 of 1797 are set apart before any part is taken.
    whole = Shape(1_500, 297, (8, 8, 1), 10)

    kind: Literal["digits"] = Field(description=_KINDS)


class FashionMnistSettings(_ImageSettings):
    """Fashion-MNIST, 28×28 grey."""

    whole = Shape(60_000, 10_000, (28, 28, 1), 10)

    kind: Literal["fashion_mnist"] = Field(description=_KINDS)
    source: Source = Field(
        "/usr/share/datasets/fashion-mnist",
        description="folder of the four IDX files, compressed or not; Debian: dataset-fashion-mnist",
    )

    @property
    def location(self) -> Path:
        """The folder that the images are read from."""
        return Path(self.source).expanduser()


class Cifar10Settings(_ImageSettings):
    """CIFAR-10, 32×32 in colour."""

    whole = Shape(50_000, 10_000, (32, 32, 3), 10)

    kind: Literal["cifar10"] = Field(description=_KINDS)
    source: Source | None = Field(
        None,
        description="cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or a folder or tar of images "
        "train/<class>/*, test/<class>/* (png, jpeg); null: downloaded to data/",
    )

    @property
    def location(self) -> Path:
        """The file or folder that the images are read from."""
        return DOWNLOADED if self.source is None else Path(self.source).expanduser()


if TYPE_CHECKING:
    DatasetSettings = SpiralSettings | DigitsSettings | FashionMnistSettings | Cifar10Settings
else:
    DatasetSettings = one_of(SpiralSettings, DigitsSettings, FashionMnistSettings, Cifar10Settings)
"""Settings of one dataset, told apart by `kind`; the spiral where that is left out."""
