"""Fashion-MNIST, 28×28 grey, or other images in its layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from dynamical_loss.datasets.image_kind import ImageSettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.settings import Place, located

if TYPE_CHECKING:
    from dynamical_loss.datasets.images import Source

_TAKEN = ("fashionmnist", "cifar10", "spiral", "official")


def _own(title: str) -> str:
    """A title that no checked dataset has, and that a figure can show.

    Raises:
        ValueError: if it is another.
    """
    if not title or not title.isprintable() or title != title.strip() or "$" in title:
        raise ValueError(
            "must be one line of text without $, and no spaces at its ends; say what the images are"
        )
    if any(name in "".join(filter(str.isalnum, title.casefold())) for name in _TAKEN):
        raise ValueError("must not name a dataset that is known by its checksum; say what the images are")
    return title


class FashionMnistSettings(ImageSettings):
    """Fashion-MNIST, 28×28 grey."""

    whole = Shape(60_000, 10_000, (28, 28, 1), 10)

    kind: Literal["fashion_mnist"] = Field(description="kind of dataset")
    source: Place = Field(
        "/usr/share/datasets/fashion-mnist",
        description="folder, tar or zip of the four IDX files, compressed or not; Debian: "
        "dataset-fashion-mnist",
    )
    title: Annotated[str, AfterValidator(_own)] | None = Field(
        None,
        description="what the images are, where they are not Fashion-MNIST; null: only its official files "
        "are accepted",
    )

    @property
    def location(self) -> Path:
        """The folder or archive that the images are read from."""
        return located(self.source)

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import fashion_mnist

        return fashion_mnist.read(self.location, self.title)
