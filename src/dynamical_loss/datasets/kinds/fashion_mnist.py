"""Fashion-MNIST: grey images of 28×28 pixels, or other images in the same file layout."""

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
    """Return a title that a figure can show and that names no dataset with known checksums.

    Raises:
        ValueError: if the title cannot be shown, or names such a dataset.
    """
    if not title or not title.isprintable() or title != title.strip() or "$" in title:
        raise ValueError(
            "must be one line of text without $, and no spaces at its ends; say what the images are"
        )
    if any(name in "".join(filter(str.isalnum, title.casefold())) for name in _TAKEN):
        raise ValueError("must not name a dataset that is known by its checksum; say what the images are")
    return title


class FashionMnistSettings(ImageSettings):
    """Fashion-MNIST: grey images of 28×28 pixels, or other images in the same file layout."""

    whole = Shape(60_000, 10_000, (28, 28, 1), 10)

    kind: Literal["fashion_mnist"] = Field(
        description="kind of dataset; fashion_mnist: Fashion-MNIST, ten classes of grey images, 28×28 pixels"
    )
    source: Place = Field(
        "/usr/share/datasets/fashion-mnist",
        description="folder, tar or zip with the four IDX files, each compressed with gzip or not; Debian's "
        "package dataset-fashion-mnist installs them in the default folder",
    )
    title: Annotated[str, AfterValidator(_own)] | None = Field(
        None,
        description="name of the images, which figures show; required if they are not Fashion-MNIST; null: "
        "the files must be the official files of Fashion-MNIST",
    )

    @property
    def location(self) -> Path:
        """Folder or archive that the images are read from."""
        return located(self.source)

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import fashion_mnist

        return fashion_mnist.read(self.location, self.title)
