"""CIFAR-10, 32×32 in colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.kind import ImageSettings, Place, Shape

if TYPE_CHECKING:
    from dynamical_loss.datasets.images import Source

DOWNLOADED = Path("data", "cifar-10-binary.tar.gz")
"""Where CIFAR-10 is downloaded to, and read from where no source is given."""

OFFICIAL_SHA256 = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
}
"""Checksums of CIFAR-10's official archives, by name."""


class Cifar10Settings(ImageSettings):
    """CIFAR-10, 32×32 in colour."""

    whole = Shape(50_000, 10_000, (32, 32, 3), 10)

    kind: Literal["cifar10"] = Field(description="kind of dataset")
    source: Place | None = Field(
        None,
        description="cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or a folder or tar of images "
        "train/<class>/*, test/<class>/* (png, jpeg); null: downloaded to data/",
    )

    @property
    def location(self) -> Path:
        """The file or folder that the images are read from."""
        return DOWNLOADED if self.source is None else Path(self.source).expanduser()

    def read(self) -> Source:
        """See `ImageSettings`."""
        from dynamical_loss.datasets import cifar10

        return cifar10.read(self.location)
