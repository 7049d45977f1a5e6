"""What every reader of images gives."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dynamical_loss.datasets.file_names import printable
from dynamical_loss.errors import UserError

Bytes = npt.NDArray[np.uint8]

WHITE = 255
"""The stored intensity that counts as 1."""


class Images(NamedTuple):
    """Images with their classes.

    Attributes:
        pixels: intensities 0 … 255, (sample, row, column, channel).
        labels: integers 0 … C−1, (sample,).
    """

    pixels: Bytes
    labels: Bytes


class Source(NamedTuple):
    """A set of images as it was found.

    Attributes:
        dataset: its name in the literature, e.g. ``CIFAR-10``.
        title: the same for readers of a figure, with what they should know of these images.
        origin: base name of the file or folder, and what kind it is.
        sha256: checksum of the file or archive, or of the list that `sha256sum` makes of a folder's files.
        split: where training and validation images part.
        train: the training images.
        validation: the validation images.
        class_names: C names, in the order of the labels.
        copies: ``lossy`` if a file was of a format that changes intensities, else ``exact``; it tells of the
            format alone, and not of what the images are.
    """

    dataset: str
    title: str
    origin: str
    sha256: str
    split: str
    train: Images
    validation: Images
    class_names: tuple[str, ...]
    copies: Literal["exact", "lossy"] = "exact"


DESCRIPTION = "dataset_description"
"""Attribute of a dataset's file: one line for the titles of figures."""

PARITIES = ("even", "odd")
"""Names of the classes where a label is the parity of an index of a class."""

OFFICIAL_SPLIT = "official; the validation set is the test set, as in the paper"

UNCHECKED_SPLIT = "as the source parts them, which was compared with no official split"

POOLED_SPLIT = "pooled and dealt out class after class, drawn from sample_seed"


def together(source: Source) -> Images:
    """All images of a source, those for training first."""
    return Images(*map(np.concatenate, zip(source.train, source.validation, strict=True)))


def require_labels(labels: npt.NDArray[np.integer], classes: int, where: str) -> Bytes:
    """Labels as they are stored.

    Args:
        labels: (sample,).
        classes: C.
        where: what to call their place in an error.

    Raises:
        UserError: if one of them is not in 0 … C−1.
    """
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise UserError(
            f"{where}: label {int(wrong[0])} is not one of 0 to {classes - 1}; fetch or make it again"
        )
    return labels.astype(np.uint8)


def base_name(path: Path) -> str:
    """The last part of a path as valid text, also where it is relative and names none."""
    return printable(path.name or path.resolve().name)


def sizes(train: int, validation: int) -> str:
    """How many samples a dataset has, for a sentence."""
    return f"{train:,} + {validation:,}".replace(",", " ")
