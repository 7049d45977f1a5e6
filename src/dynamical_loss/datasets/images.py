"""Types that every reader of images returns."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dynamical_loss.datasets.file_names import printable
from dynamical_loss.errors import UserError

Bytes = npt.NDArray[np.uint8]

WHITE = 255
"""Stored intensity that stands for 1."""


class Images(NamedTuple):
    """Images with their classes.

    Attributes:
        pixels: intensities 0 … 255, (sample, row, column, channel).
        labels: integers 0 … C−1, (sample,).
    """

    pixels: Bytes
    labels: Bytes


class Source(NamedTuple):
    """Set of images as a reader found it.

    Attributes:
        dataset: name in the literature, e.g. ``CIFAR-10``.
        title: name in figures, with what their readers should know about these images.
        origin: base name of the file or folder, and the kind of file.
        sha256: checksum of the file or archive, or of the list that `sha256sum` prints for a folder's files.
        split: how the images are divided into training and validation images, in words.
        train: the training images.
        validation: the validation images.
        class_names: C names, in the order of the labels.
        copies: ``lossy`` if a file has a format that changes intensities, else ``exact``; the value depends
            on the format alone, not on the content of the images.
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
"""Attribute of a dataset's file that holds one line for the titles of figures."""

PARITIES = ("even", "odd")
"""Names of the classes if a label is the parity of the index of a class."""

OFFICIAL_SPLIT = "official; the validation set is the test set, as in the paper"

UNCHECKED_SPLIT = "as the source parts them, which was compared with no official split"

POOLED_SPLIT = "pooled and dealt out class after class, drawn from sample_seed"


def together(source: Source) -> Images:
    """Return all images of a source, the training images first."""
    return Images(*map(np.concatenate, zip(source.train, source.validation, strict=True)))


def require_labels(labels: npt.NDArray[np.integer], classes: int, where: str) -> Bytes:
    """Return labels in the type in which they are stored.

    Args:
        labels: integers, (sample,).
        classes: number of classes C.
        where: name of the file in error messages.

    Raises:
        UserError: if a label is not in 0 … C−1.
    """
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise UserError(
            f"{where}: label {int(wrong[0])} is not one of 0 to {classes - 1}; fetch or make it again"
        )
    return labels.astype(np.uint8)


def base_name(path: Path) -> str:
    """Return the last part of a path as valid text; a path such as ``.`` is resolved first."""
    return printable(path.name or path.resolve().name)


def sizes(train: int, validation: int) -> str:
    """Return the sizes of the training and validation sets as text for a sentence, e.g. ``1 500 + 297``."""
    return f"{train:,} + {validation:,}".replace(",", " ")
