"""From images as they were found to a dataset that can be stored.

Training reads datasets and never makes them, so that a change here retrains nothing whose data stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynamical_loss.datasets.images import DESCRIPTION, Bytes, Images, Source, sizes
from dynamical_loss.datasets.normalisation import channel_statistics, whitening
from dynamical_loss.datasets.selection import balanced
from dynamical_loss.errors import UserError
from dynamical_loss.results import netcdf

if TYPE_CHECKING:
    from dynamical_loss.datasets.image_kind import ImageSettings


def images(settings: ImageSettings, source: Source) -> xr.Dataset:
    """Variables and attributes of a set of images, of which the settings ask for a part or all.

    Raises:
        UserError: if there are fewer images than asked for, or they cannot be normalised.
    """
    _require_enough(settings, source)
    shape = settings.shape
    train = _chosen(source.train, shape.train_samples, (settings.sample_seed, 0), settings.reduction)
    validation = _chosen(
        source.validation, shape.validation_samples, (settings.sample_seed, 1), settings.reduction
    )
    title = source.title
    if settings.reduction > 1:
        rows, columns, _ = shape.sample
        title += f" reduced to {rows}×{columns} pixels"
    variables = netcdf.Variables()
    for part, taken in (("train", train), ("validation", validation)):
        variables.add(
            f"{part}_input",
            (f"{part}_sample", "row", "column", "channel"),
            taken.pixels,
            f"{part} images, intensities 0 to 255",
            reference="Fig. 1",
        )
        variables.add(
            f"{part}_label", (f"{part}_sample",), taken.labels, f"{part} labels", reference="Fig. 1"
        )
    variables.add(
        "class_name",
        ("class_index",),
        np.array(source.class_names, object),
        "names of the classes",
        reference="Fig. 1",
    )
    _add_statistics(variables, settings, train)
    official = source.train, source.validation
    return variables.dataset().assign_attrs(
        {
            "dataset": source.dataset,
            "dataset_source": source.origin,
            "dataset_source_sha256": source.sha256,
            "dataset_copies": source.copies,
            "split": f"{sizes(*(len(part.labels) for part in official))} images, {source.split}",
            DESCRIPTION: f"{title}, {sizes(len(train.labels), len(validation.labels))} images",
            "dataset_normalisation": settings.normalisation,
        }
    )


def _require_enough(settings: ImageSettings, source: Source) -> None:
    """Refuse a source that is not what the sizes of the dataset were reckoned with.

    Raises:
        UserError: one line with what was found and what to set.
    """
    shape = settings.shape
    where = settings.location or source.origin
    found = len(source.train.labels), len(source.validation.labels)
    for name, given, wanted in (
        ("train_samples", source.train, shape.train_samples),
        ("validation_samples", source.validation, shape.validation_samples),
    ):
        present = len(given.labels)
        if present == wanted:
            continue
        if getattr(settings, name) is None:
            whole = settings.whole
            raise UserError(
                f"{where} holds {sizes(*found)} images, and without train_samples and validation_samples "
                f"{sizes(whole.train_samples, whole.validation_samples)} are taken; set both"
            )
        counts = np.bincount(given.labels, minlength=len(source.class_names))
        share = -(-wanted // len(counts))
        scarce = int(counts.argmin())
        if counts[scarce] < share:
            raise UserError(
                f"{name}: {wanted} images are up to {share} of each class, and {where} holds "
                f"{counts[scarce]} of {source.class_names[scarce]}; set it to at most "
                f"{counts[scarce] * len(counts)}"
            )


def _chosen(images: Images, count: int, seed: tuple[int, int], reduction: int) -> Images:
    taken = balanced(images.labels, count, seed)
    return Images(reduced(images.pixels[taken], reduction), images.labels[taken])


def reduced(pixels: Bytes, reduction: int) -> Bytes:
    """Means of squares of pixels, rounded to whole intensities.

    Args:
        pixels: (sample, row, column, channel).
        reduction: edge of a square, a divisor of rows and columns.

    Returns:
        (sample, row / reduction, column / reduction, channel).
    """
    if reduction == 1:
        return pixels
    count, rows, columns, channels = pixels.shape
    squares = pixels.reshape(count, rows // reduction, reduction, columns // reduction, reduction, channels)
    means: Bytes = np.rint(squares.mean(axis=(2, 4))).astype(np.uint8)
    return means


def _add_statistics(variables: netcdf.Variables, settings: ImageSettings, train: Images) -> None:
    """Add what `loading.load` normalises with, of the chosen training images, and nothing else.

    So the content of the file, and with it its checksum, decides what a network is trained on.

    Raises:
        UserError: if they are of one colour, so that there is nothing to divide by.
    """
    if settings.normalisation == "standard":
        mean, standard_deviation = channel_statistics(train.pixels)
        if not standard_deviation.all():
            raise UserError("normalisation: a channel is the same in all training images; take none")
        for name, values, words in (
            ("mean", mean, "mean of each channel of the training images, intensities 0 to 1"),
            ("standard_deviation", standard_deviation, "standard deviation of the same"),
        ):
            variables.add(name, ("channel",), values, words, reference="Fig. 1")
    if settings.normalisation == "zca":
        centre, matrix = whitening(train.pixels, settings.zca_regularisation)
        variables.add(
            "whitening_mean", ("feature",), centre, "mean training image, 0 to 1", reference="Fig. 1"
        )
        variables.add(
            "whitening",
            ("feature", "feature_out"),
            matrix.astype(np.float32),
            "matrix that whitens an image without its mean",
            reference="Fig. 1",
        )
