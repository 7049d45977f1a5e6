"""CIFAR-10, 32×32 in colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.image_kind import ImageSettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.settings import Place, located

if TYPE_CHECKING:
    from dynamical_loss.datasets.images import Source

DOWNLOADED = Path("data", "cifar-10-binary.tar.gz")
"""Where CIFAR-10 is downloaded to, and read from where no source is given."""


class Cifar10Settings(ImageSettings):
    """CIFAR-10, 32×32 in colour."""

    whole = Shape(50_000, 10_000, (32, 32, 3), 10)

    kind: Literal["cifar10"] = Field(description="kind of dataset")
    source: Place | None = Field(
        None,
        description="cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or a folder, tar or zip of images "
        "train/<class>/*, test/<class>/* (png, jpeg); null: downloaded to data/",
    )

    @property
    def location(self) -> Path:
        """The file or folder that the images are read from."""
        return DOWNLOADED if self.source is None else located(self.source)

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import cifar10

        return cifar10.read(self.location)
