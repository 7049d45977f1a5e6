"""CIFAR-10: colour images of 32×32 pixels."""

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
"""File that CIFAR-10 is downloaded to.  The images are read from it if `source` is unset."""


class Cifar10Settings(ImageSettings):
    """CIFAR-10: colour images of 32×32 pixels."""

    whole = Shape(50_000, 10_000, (32, 32, 3), 10)

    kind: Literal["cifar10"] = Field(
        description="kind of dataset; cifar10: CIFAR-10, ten classes of colour images, 32×32 pixels"
    )
    source: Place | None = Field(
        None,
        description="file or folder with the images: the official archive cifar-10-binary.tar.gz or "
        "cifar-10-python.tar.gz, or a folder, tar or zip with PNG or JPEG files train/<class>/* and "
        "test/<class>/*; null: data/cifar-10-binary.tar.gz, which is downloaded if it does not exist",
    )

    @property
    def location(self) -> Path:
        """File or folder that the images are read from."""
        return DOWNLOADED if self.source is None else located(self.source)

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import cifar10

        return cifar10.read(self.location)
