"""From stored intensities to the inputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from dynamical_loss.datasets.images import WHITE, Bytes
from dynamical_loss.errors import UserError

Real = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Precision = TypeVar("Precision", np.float32, np.float64)

_CHUNK_BYTES = 2**26


def _chunks(images: Bytes) -> Iterator[slice]:
    """Parts of the images that take little memory as float64."""
    count = max(1, _CHUNK_BYTES // max(8 * images[:1].size, 1))
    return (slice(first, first + count) for first in range(0, len(images), count))


def channel_statistics(images: Bytes) -> tuple[Real, Real]:
    """Mean and standard deviation of each channel over all pixels of all images.

    Args:
        images: (sample, row, column, channel).

    Returns:
        both (channel,), in units of the largest intensity.
    """
    channels = images.shape[-1]
    counts = np.zeros((channels, WHITE + 1))
    for part in _chunks(images):
        for channel in range(channels):
            counts[channel] += np.bincount(images[part][..., channel].reshape(-1), minlength=WHITE + 1)
    # Of counted values nothing is rounded before the division.
    values = np.arange(WHITE + 1) / WHITE
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)


def whitening(images: Bytes, regularisation: float) -> tuple[Real, Real]:
    """Mean m and matrix W of the zero-phase whitening x → (x − m) W.

    With the covariance U diag(v) Uᵀ of the features, W = U diag(v + ε)^−½ Uᵀ and ε is `regularisation` times
    the mean of v.  The covariance of what comes out is U diag(v / (v + ε)) Uᵀ.

    Args:
        images: (sample, row, column, channel); a feature is one intensity of an image, 0 to 1.
        regularisation: in units of the mean variance, dimensionless.

    Returns:
        m (feature,) and W (feature, feature_out).

    Raises:
        UserError: if all images are equal.
    """
    with threadpool_limits(1, "blas"):  # sums in one order, whatever the machine
        mean, covariance = _moments(images)
        typical = np.trace(covariance) / len(covariance)
        if typical == 0:
            raise UserError("normalisation: zca needs images that differ; take more, or none")
        variances, modes = np.linalg.eigh(covariance)
        # Rounding may leave the smallest a little below zero.
        scales = 1 / np.sqrt(np.maximum(variances, 0) + regularisation * typical)
        return mean, (modes * scales) @ modes.T


def principal_axes(images: Bytes, components: int) -> tuple[Real, Real]:
    """Mean m and matrix P of the projection x → (x − m) P on principal components of variance 1.

    With the covariance U diag(v) Uᵀ of the features, a mean over the samples (and not over one fewer), column
    k of P is column k of U over √v_k, in falling order of v.  Of both signs of a column the one is taken that
    makes its largest entry positive.

    Args:
        images: (sample, row, column, channel); a feature is one intensity of an image, 0 to 1.
        components: how many, at most the features.

    Returns:
        m (feature,) and P (feature, component).

    Raises:
        UserError: if the images differ along fewer directions.
    """
    with threadpool_limits(1, "blas"):
        mean, covariance = _moments(images)
        variances, modes = np.linalg.eigh(covariance)
    variances, modes = variances[::-1], modes[:, ::-1]
    # Directions without variance have one of rounding's size, to which nothing can be scaled.
    varied = int(np.count_nonzero(variances > len(variances) * np.finfo(float).eps * variances[0]))
    if varied < components:
        raise UserError(
            f"components: the images differ along {varied} directions, fewer than {components}; take fewer, "
            "or another normalisation"
        )
    axes = modes[:, :components] / np.sqrt(variances[:components])
    largest = np.abs(axes).argmax(axis=0)
    return mean, axes * np.sign(axes[largest, np.arange(components)])


def mean_image(images: Bytes) -> Real:
    """Mean over the samples of images (sample, row, column, channel): (feature,), intensities 0 to 1."""
    mean: Real = images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / WHITE
    return mean


def _moments(images: Bytes) -> tuple[Real, Real]:
    """Mean (feature,) and covariance (feature, feature), a mean over the samples, of intensities 0 to 1."""
    flat = images.reshape(len(images), -1)
    mean = mean_image(images)
    covariance = np.zeros((flat.shape[1], flat.shape[1]))
    for part in _chunks(images):
        centred = flat[part] / WHITE - mean
        covariance += centred.T @ centred
    covariance /= len(flat)
    return mean, covariance


def require_directions(images: Bytes, mean: Real) -> None:
    """Refuse images that `on_sphere` has no place for.

    Args:
        images: (sample, row, column, channel).
        mean: (feature,), intensities 0 to 1.

    Raises:
        UserError: if one of them is the mean.
    """
    flat = images.reshape(len(images), -1)
    for part in _chunks(images):
        if not (flat[part] / WHITE != mean).any(axis=1).all():
            raise UserError(
                "normalisation: an image is the mean image and has no direction from it, which sphere needs; "
                "take another"
            )


def _converted(
    images: Bytes,
    convert: Callable[[npt.NDArray[Precision]], npt.NDArray[Precision]],
    precision: type[Precision],
    sample: tuple[int, ...],
) -> npt.NDArray[Precision]:
    """Images as inputs (sample, *sample), part by part, so that there is never a second copy of them all."""
    inputs = np.empty((len(images), *sample), precision)
    for part in _chunks(images):
        inputs[part] = convert(images[part].astype(precision) / precision(WHITE))
    return inputs


def scaled(images: Bytes) -> Single:
    """Intensities from 0 to 1, (sample, row, column, channel)."""
    return _converted(images, lambda values: values, np.float32, images.shape[1:])


def standardised(images: Bytes, mean: Real, standard_deviation: Real) -> Single:
    """Intensities from 0 to 1, less the mean, over the standard deviation of their channel.

    Args:
        images: (sample, row, column, channel).
        mean: (channel,).
        standard_deviation: (channel,).
    """
    centre, width = mean.astype(np.float32), standard_deviation.astype(np.float32)
    return _converted(images, lambda values: (values - centre) / width, np.float32, images.shape[1:])


def whitened(images: Bytes, mean: Real, matrix: npt.NDArray[np.floating]) -> Single:
    """Intensities from 0 to 1 as `whitening` says, in the images' own shape.

    Args:
        images: (sample, row, column, channel).
        mean: (feature,).
        matrix: (feature, feature_out).
    """
    centre, weights = mean.astype(np.float32), matrix.astype(np.float32, copy=False)

    def convert(values: Single) -> Single:
        white = (values.reshape(len(values), -1) - centre) @ weights
        return white.reshape(values.shape).astype(np.float32, copy=False)

    with threadpool_limits(1, "blas"):
        return _converted(images, convert, np.float32, images.shape[1:])


def on_sphere(images: Bytes, mean: Real) -> Real:
    """Directions from the mean image, on the sphere ‖x‖² = d, in the images' own shape.

    Args:
        images: (sample, row, column, channel) with d features, none of them the mean; see
            `require_directions`.
        mean: (feature,), intensities 0 to 1.
    """

    def convert(values: Real) -> Real:
        centred = values.reshape(len(values), -1) - mean
        radii = np.linalg.norm(centred, axis=1, keepdims=True)
        on: Real = (np.sqrt(len(mean)) * centred / radii).reshape(values.shape)
        return on

    return _converted(images, convert, np.float64, images.shape[1:])


def projected(images: Bytes, mean: Real, axes: Real) -> Real:
    """Principal components of images as `principal_axes` says, (sample, component).

    Args:
        images: (sample, row, column, channel).
        mean: (feature,), intensities 0 to 1.
        axes: (feature, component).
    """

    def convert(values: Real) -> Real:
        components: Real = (values.reshape(len(values), -1) - mean) @ axes
        return components

    with threadpool_limits(1, "blas"):
        return _converted(images, convert, np.float64, axes.shape[1:])
