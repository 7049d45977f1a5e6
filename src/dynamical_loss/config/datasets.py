"""Settings of the datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from dynamical_loss.config.base import Count, Seed, Settings, one_of

DOWNLOADED = Path("data", "cifar-10-binary.tar.gz")
"""Where CIFAR-10 is downloaded to, and read from where no source is given."""


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


class _ImageSettings(Settings):
    """What all sets of images share."""

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

    def _shape(self, train: int, validation: int, side: int, channels: int) -> Shape:
        return Shape(
            self.train_samples or train, self.validation_samples or validation, (side, side, channels), 10
        )


class DigitsSettings(_ImageSettings):
    """Handwritten digits, 8×8 grey, which scikit-learn brings along: images for any machine."""

    kind: Literal["digits"] = Field(description=_KINDS)

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make; the set has no official split."""
        return self._shape(1_500, 297, 8, 1)


class FashionMnistSettings(_ImageSettings):
    """Fashion-MNIST, 28×28 grey."""

    kind: Literal["fashion_mnist"] = Field(description=_KINDS)
    source: str = Field(
        "/usr/share/datasets/fashion-mnist",
        description="folder of the four IDX files, compressed or not; Debian: dataset-fashion-mnist",
    )

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make."""
        return self._shape(60_000, 10_000, 28, 1)

    @property
    def location(self) -> Path:
        """The folder that the images are read from."""
        return Path(self.source).expanduser()


class Cifar10Settings(_ImageSettings):
    """CIFAR-10, 32×32 in colour."""

    kind: Literal["cifar10"] = Field(description=_KINDS)
    source: str | None = Field(
        None,
        description="cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or a folder or tar of images "
        "train/<class>/*, test/<class>/* (png, jpeg); null: downloaded to data/",
    )

    @property
    def shape(self) -> Shape:
        """Sizes of what these settings make."""
        return self._shape(50_000, 10_000, 32, 3)

    @property
    def location(self) -> Path:
        """The file or folder that the images are read from."""
        return DOWNLOADED if self.source is None else Path(self.source).expanduser()


if TYPE_CHECKING:
    DatasetSettings = SpiralSettings | DigitsSettings | FashionMnistSettings | Cifar10Settings
else:
    DatasetSettings = one_of(SpiralSettings, DigitsSettings, FashionMnistSettings, Cifar10Settings)
"""Settings of one dataset, told apart by `kind`; the spiral where that is left out."""
