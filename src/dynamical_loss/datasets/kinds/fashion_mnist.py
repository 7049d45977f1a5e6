"""Fashion-MNIST, 28×28 grey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.image_kind import ImageSettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.settings import Place, located

if TYPE_CHECKING:
    from dynamical_loss.datasets.images import Source


class FashionMnistSettings(ImageSettings):
    """Fashion-MNIST, 28×28 grey."""

    whole = Shape(60_000, 10_000, (28, 28, 1), 10)

    kind: Literal["fashion_mnist"] = Field(description="kind of dataset")
    source: Place = Field(
        "/usr/share/datasets/fashion-mnist",
        description="folder of the four IDX files, compressed or not; Debian: dataset-fashion-mnist",
    )

    @property
    def location(self) -> Path:
        """The folder that the images are read from."""
        return located(self.source)

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import fashion_mnist

        return fashion_mnist.read(self.location)
