"""From images as they were found to a dataset that can be stored.

Training reads datasets and never makes them, so that a change here retrains nothing whose data stay.
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

# Beside sample_seed, so that no two draws are the same; digits are set apart with 2.
_TRAIN, _VALIDATION, _POOL = 0, 1, 3


def images(settings: ImageSettings, source: Source) -> xr.Dataset:
    """Variables and attributes of a set of images, of which the settings ask for a part or all.

    Raises:
        UserError: if there are fewer images than asked for, or they cannot be normalised.
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
    """What the images are and what was made of them, in words."""
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
    """Refuse a source that is not what the sizes of the dataset were reckoned with.

    Raises:
        UserError: one line with what was found and what to set.
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
        # All that is there may be asked for, unless classes that are not equal would be made one.
        if present == wanted and settings.labels == "class":
            continue
        if present != wanted and getattr(settings, name, wanted) is None:
            whole = settings.whole
            raise UserError(
                f"{where} holds {sizes(*found)} images, and without train_samples and validation_samples "
                f"{sizes(whole.train_samples, whole.validation_samples)} are taken; set both"
            )
        counts = np.bincount(labels, minlength=len(source.class_names))
        share = -(-wanted // len(counts))
        scarce = int(counts.argmin())
        if counts[scarce] < share:
            raise UserError(
                f"{name}: {wanted} images are up to {share} of each class, and {where} holds "
                f"{counts[scarce]} of {source.class_names[scarce]}; set it to at most "
                f"{counts[scarce] * len(counts)}"
            )


def _parts(settings: ImageSettings, source: Source) -> tuple[Images, Images]:
    """The images for training and for validation, reduced, with the labels of the source."""
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


def _add_statistics_of_all(
    variables: netcdf.Variables, settings: ImageSettings, source: Source, taken: tuple[Images, Images]
) -> None:
    """Likewise for normalisations by all images of the source, which labels do not enter.

    Args:
        variables: to add to.
        settings: with the normalisation.
        source: whose images are reduced here.
        taken: the chosen images, reduced.

    Raises:
        UserError: if they cannot be normalised so.
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
