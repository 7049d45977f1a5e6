"""Turn images as a reader found them into a dataset that can be stored.

Training reads the stored datasets and never prepares them.  So a change in this module causes no retraining
if the data stay the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from dynamical_loss.datasets.images import (
    DESCRIPTION,
    PARITIES,
    POOLED_SPLIT,
    Bytes,
    Images,
    Source,
    sizes,
    together,
)
from dynamical_loss.datasets.normalisation import (
    channel_statistics,
    mean_image,
    principal_axes,
    require_directions,
    whitening,
)
from dynamical_loss.datasets.selection import Indices, balanced, interleaved
from dynamical_loss.errors import UserError
from dynamical_loss.results import netcdf

if TYPE_CHECKING:
    from dynamical_loss.datasets.image_kind import ImageSettings


_DISENTANGLING = "arXiv 1906.08034"

# Second part of a seed, after sample_seed, so that no two draws are the same.  The draw that sets digits
# apart uses 2.
_TRAIN, _VALIDATION, _POOL = 0, 1, 3


def images(settings: ImageSettings, source: Source) -> xr.Dataset:
    """Return the dataset of the images that the settings select from a source.

    Raises:
        UserError: if the source has fewer images than the settings ask for, or the images cannot be
            normalised.
    """
    _require_enough(settings, source)
    train, validation = _parts(settings, source)
    parity = settings.labels == "parity"
    variables = netcdf.Variables()
    for part, taken in (("train", train), ("validation", validation)):
        variables.add(
            f"{part}_input",
            (f"{part}_sample", "row", "column", "channel"),
            taken.pixels,
            f"{part} images, intensities 0 to 255",
            reference="Fig. 1",
        )
        labels = taken.labels % len(PARITIES) if parity else taken.labels
        variables.add(f"{part}_label", (f"{part}_sample",), labels, f"{part} labels", reference="Fig. 1")
    variables.add(
        "class_name",
        ("class_index",),
        np.array(PARITIES if parity else source.class_names, object),
        "names of the classes",
        reference="Fig. 1",
    )
    if settings.normalised_by_all:
        _add_statistics_of_all(variables, settings, source, (train, validation))
    else:
        _add_statistics(variables, settings, train)
    official = source.train, source.validation
    split = POOLED_SPLIT if settings.split == "pooled" else source.split
    taken_sizes = sizes(len(train.labels), len(validation.labels))
    return variables.dataset().assign_attrs(
        {
            "dataset": source.dataset,
            "dataset_source": source.origin,
            "dataset_source_sha256": source.sha256,
            "dataset_copies": source.copies,
            "split": f"{sizes(*(len(part.labels) for part in official))} images, {split}",
            DESCRIPTION: f"{_title(settings, source)}, {taken_sizes} images",
            "dataset_normalisation": settings.normalisation,
        }
    )


def _title(settings: ImageSettings, source: Source) -> str:
    """Describe in words what the images are and how they were changed."""
    title = source.title
    if settings.reduction > 1:
        rows, columns, _ = settings.image
        title += f" reduced to {rows}×{columns} pixels"
    words = [title]
    if settings.labels == "parity":
        words.append("parity labels")
    if settings.split == "pooled":
        words.append("pooled split")
    if settings.normalisation == "sphere":
        words.append("on a sphere")
    if settings.normalisation == "pca":
        words.append(f"{settings.components} principal components")
    return ", ".join(words)


def _require_enough(settings: ImageSettings, source: Source) -> None:
    """Refuse a source that has not the images which the sizes of the dataset were computed for.

    Raises:
        UserError: if images are missing; the message is one line that says what was found and what to set.
    """
    shape = settings.shape
    where = settings.location or source.origin
    parts = (source.train.labels, source.validation.labels)
    found = len(parts[0]), len(parts[1])
    wants = {
        "train_samples": (parts[0], shape.train_samples),
        "validation_samples": (parts[1], shape.validation_samples),
    }
    if settings.split == "pooled":
        both = shape.train_samples + shape.validation_samples
        wants = {"train_samples + validation_samples": (np.concatenate(parts), both)}
    for name, (labels, wanted) in wants.items():
        present = len(labels)
        # All images may be used, whatever the sizes of their classes.  Parity labels need equal classes.
        if present == wanted and settings.labels == "class":
            continue
        if present != wanted and getattr(settings, name, wanted) is None:
            whole = settings.whole
            raise UserError(
                f"{where} holds {sizes(*found)} images, and "
                f"{sizes(whole.train_samples, whole.validation_samples)} are expected unless train_samples "
                "and validation_samples are set; set both"
            )
        counts = np.bincount(labels, minlength=len(source.class_names))
        share = -(-wanted // len(counts))
        scarce = int(counts.argmin())
        if counts[scarce] < share:
            raise UserError(
                f"{name}: {wanted} images need up to {share} images of each class, and {where} holds "
                f"{counts[scarce]} of {source.class_names[scarce]}; set it to at most "
                f"{counts[scarce] * len(counts)}"
            )


def _parts(settings: ImageSettings, source: Source) -> tuple[Images, Images]:
    """Return the selected training and validation images, reduced in size, with the labels of the source."""
    seed, shape = settings.sample_seed, settings.shape
    if settings.split == "pooled":
        train = validation = together(source)
        order = interleaved(train.labels, (seed, _POOL))
        taken, rest = np.split(order, [shape.train_samples])
        set_apart = rest[: shape.validation_samples]
    else:
        train, validation = source.train, source.validation
        taken = balanced(train.labels, shape.train_samples, (seed, _TRAIN))
        set_apart = balanced(validation.labels, shape.validation_samples, (seed, _VALIDATION))
    return _chosen(train, taken, settings.reduction), _chosen(validation, set_apart, settings.reduction)


def _chosen(images: Images, positions: Indices, reduction: int) -> Images:
    return Images(reduced(images.pixels[positions], reduction), images.labels[positions])


def reduced(pixels: Bytes, reduction: int) -> Bytes:
    """Average the pixels of squares and round the means to whole intensities.

    Args:
        pixels: intensities, (sample, row, column, channel).
        reduction: edge of a square in pixels; it divides the numbers of rows and columns.

    Returns:
        intensities, (sample, row / reduction, column / reduction, channel).
    """
    if reduction == 1:
        return pixels
    count, rows, columns, channels = pixels.shape
    squares = pixels.reshape(count, rows // reduction, reduction, columns // reduction, reduction, channels)
    means: Bytes = np.rint(squares.mean(axis=(2, 4))).astype(np.uint8)
    return means


def _add_statistics(variables: netcdf.Variables, settings: ImageSettings, train: Images) -> None:
    """Add the statistics of the selected training images with which `loading.load` normalises.

    No statistics are added that `loading.load` does not use.  So the content of the file, and with it the
    checksum of the content, determines what a network is trained on.

    Raises:
        UserError: if a channel is constant or all images are equal, so that a standard deviation is 0.
    """
    if settings.normalisation == "standard":
        mean, standard_deviation = channel_statistics(train.pixels)
        if not standard_deviation.all():
            raise UserError(
                "normalisation: a channel has one value in all training images; set normalisation: none"
            )
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


def _add_statistics_of_all(
    variables: netcdf.Variables, settings: ImageSettings, source: Source, taken: tuple[Images, Images]
) -> None:
    """Add the statistics of all images of the source with which `loading.load` normalises.

    The statistics do not depend on the labels.

    Args:
        variables: variables of the file, to which the statistics are added.
        settings: settings of the dataset, which name the normalisation.
        source: all images, in their original size.
        taken: selected training and validation images, already reduced in size.

    Raises:
        UserError: if the images cannot be normalised in this way.
    """
    everything = reduced(together(source).pixels, settings.reduction)
    if settings.normalisation == "sphere":
        mean = mean_image(everything)
        for part in taken:
            require_directions(part.pixels, mean)
        variables.add(
            "sphere_mean",
            ("feature",),
            mean,
            "mean of all images of the source, 0 to 1",
            reference=_DISENTANGLING,
        )
    if settings.normalisation == "pca":
        mean, axes = principal_axes(everything, settings.components)
        variables.add(
            "principal_mean",
            ("feature",),
            mean,
            "mean of all images of the source, 0 to 1",
            reference=_DISENTANGLING,
        )
        variables.add(
            "principal_axes",
            ("feature", "component"),
            axes,
            "principal axes of all images of the source, each over the standard deviation along it",
            reference=_DISENTANGLING,
        )
