"""Convert stored intensities to the inputs of a network."""

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
    """Yield slices of the images that are small enough to be converted to float64."""
    count = max(1, _CHUNK_BYTES // max(8 * images[:1].size, 1))
    return (slice(first, first + count) for first in range(0, len(images), count))


def channel_statistics(images: Bytes) -> tuple[Real, Real]:
    """Return the mean and the standard deviation of each channel over all pixels of all images.

    Args:
        images: intensities, (sample, row, column, channel).

    Returns:
        mean and standard deviation, each (channel,), in units of the largest intensity.
    """
    channels = images.shape[-1]
    counts = np.zeros((channels, WHITE + 1))
    for part in _chunks(images):
        for channel in range(channels):
            counts[channel] += np.bincount(images[part][..., channel].reshape(-1), minlength=WHITE + 1)
    # The counts are exact, so nothing is rounded before this division.
    values = np.arange(WHITE + 1) / WHITE
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)


def whitening(images: Bytes, regularisation: float) -> tuple[Real, Real]:
    """Return the mean m and the matrix W of the zero-phase whitening x → (x − m) W.

    With the covariance U diag(v) Uᵀ of the features, W = U diag(v + ε)^−½ Uᵀ and ε is `regularisation` times
    the mean of v.  The covariance of the whitened features is U diag(v / (v + ε)) Uᵀ.

    Args:
        images: intensities, (sample, row, column, channel); a feature is one intensity of an image, 0 to 1.
        regularisation: ε in units of the mean variance, dimensionless.

    Returns:
        m (feature,) and W (feature, feature_out).

    Raises:
        UserError: if all images are equal.
    """
    with threadpool_limits(1, "blas"):  # one thread always sums in the same order
        mean, covariance = _moments(images)
        typical = np.trace(covariance) / len(covariance)
        if typical == 0:
            raise UserError(
                "normalisation: zca needs images that differ; take more images, or set normalisation: none"
            )
        variances, modes = np.linalg.eigh(covariance)
        # Rounding may leave the smallest variances a little below zero.
        scales = 1 / np.sqrt(np.maximum(variances, 0) + regularisation * typical)
        return mean, (modes * scales) @ modes.T


def principal_axes(images: Bytes, components: int) -> tuple[Real, Real]:
    """Return the mean m and the matrix P of the projection x → (x − m) P on principal components.

    The components have variance 1.  With the covariance U diag(v) Uᵀ of the features, column k of P is column
    k of U divided by √v_k, in decreasing order of v.  The covariance is divided by the number of samples, not
    by one fewer.  The sign of a column is chosen so that the entry of the largest magnitude is positive.

    Args:
        images: intensities, (sample, row, column, channel); a feature is one intensity of an image, 0 to 1.
        components: number of principal components, at most the number of features.

    Returns:
        m (feature,) and P (feature, component).

    Raises:
        UserError: if the images vary along fewer directions than `components`.
    """
    with threadpool_limits(1, "blas"):
        mean, covariance = _moments(images)
        variances, modes = np.linalg.eigh(covariance)
    variances, modes = variances[::-1], modes[:, ::-1]
    # Along a direction without variance, rounding leaves a tiny variance that must not be divided by.
    varied = int(np.count_nonzero(variances > len(variances) * np.finfo(float).eps * variances[0]))
    if varied < components:
        raise UserError(
            f"components: the images differ along {varied} directions, fewer than {components}; take fewer "
            "components, or another normalisation"
        )
    axes = modes[:, :components] / np.sqrt(variances[:components])
    largest = np.abs(axes).argmax(axis=0)
    return mean, axes * np.sign(axes[largest, np.arange(components)])


def mean_image(images: Bytes) -> Real:
    """Return the mean image (feature,), 0 to 1, of images (sample, row, column, channel), 0 to 255."""
    mean: Real = images.reshape(len(images), -1).mean(axis=0, dtype=np.float64) / WHITE
    return mean


def _moments(images: Bytes) -> tuple[Real, Real]:
    """Return the mean (feature,) and the covariance (feature, feature) of intensities 0 to 1.

    The covariance is divided by the number of samples, not by one fewer.
    """
    flat = images.reshape(len(images), -1)
    mean = mean_image(images)
    covariance = np.zeros((flat.shape[1], flat.shape[1]))
    for part in _chunks(images):
        centred = flat[part] / WHITE - mean
        covariance += centred.T @ centred
    covariance /= len(flat)
    return mean, covariance


def require_directions(images: Bytes, mean: Real) -> None:
    """Refuse images that `on_sphere` cannot scale, because their distance from the mean image is 0.

    Args:
        images: intensities, (sample, row, column, channel).
        mean: mean image, (feature,), intensities 0 to 1.

    Raises:
        UserError: if an image equals the mean image.
    """
    flat = images.reshape(len(images), -1)
    for part in _chunks(images):
        if not (flat[part] / WHITE != mean).any(axis=1).all():
            raise UserError(
                "normalisation: an image equals the mean image, so sphere cannot scale their difference; "
                "take another normalisation"
            )


def _converted(
    images: Bytes,
    convert: Callable[[npt.NDArray[Precision]], npt.NDArray[Precision]],
    precision: type[Precision],
    sample: tuple[int, ...],
) -> npt.NDArray[Precision]:
    """Convert images to inputs (sample, *sample), part by part, so that little memory is needed."""
    inputs = np.empty((len(images), *sample), precision)
    for part in _chunks(images):
        inputs[part] = convert(images[part].astype(precision) / precision(WHITE))
    return inputs


def scaled(images: Bytes) -> Single:
    """Return intensities from 0 to 1, (sample, row, column, channel)."""
    return _converted(images, lambda values: values, np.float32, images.shape[1:])


def standardised(images: Bytes, mean: Real, standard_deviation: Real) -> Single:
    """Subtract the mean of each channel from intensities 0 to 1, and divide by its standard deviation.

    Args:
        images: intensities 0 to 255, (sample, row, column, channel).
        mean: mean of each channel, (channel,), 0 to 1.
        standard_deviation: standard deviation of each channel, (channel,), in the same unit.
    """
    centre, width = mean.astype(np.float32), standard_deviation.astype(np.float32)
    return _converted(images, lambda values: (values - centre) / width, np.float32, images.shape[1:])


def whitened(images: Bytes, mean: Real, matrix: npt.NDArray[np.floating]) -> Single:
    """Whiten images with the mean and the matrix of `whitening`; the result has the shape of `images`.

    Args:
        images: intensities 0 to 255, (sample, row, column, channel).
        mean: mean image, (feature,), 0 to 1.
        matrix: W, (feature, feature_out).
    """
    centre, weights = mean.astype(np.float32), matrix.astype(np.float32, copy=False)

    def convert(values: Single) -> Single:
        white = (values.reshape(len(values), -1) - centre) @ weights
        return white.reshape(values.shape).astype(np.float32, copy=False)

    with threadpool_limits(1, "blas"):
        return _converted(images, convert, np.float32, images.shape[1:])


def on_sphere(images: Bytes, mean: Real) -> Real:
    """Subtract the mean image and scale each image to the sphere ‖x‖² = d.

    The result has the shape of `images`.

    Args:
        images: intensities 0 to 255, (sample, row, column, channel), with d features each; none may equal the
            mean image, see `require_directions`.
        mean: mean image, (feature,), intensities 0 to 1.
    """

    def convert(values: Real) -> Real:
        centred = values.reshape(len(values), -1) - mean
        radii = np.linalg.norm(centred, axis=1, keepdims=True)
        on: Real = (np.sqrt(len(mean)) * centred / radii).reshape(values.shape)
        return on

    return _converted(images, convert, np.float64, images.shape[1:])


def projected(images: Bytes, mean: Real, axes: Real) -> Real:
    """Return the principal components (sample, component) of images, see `principal_axes`.

    Args:
        images: intensities 0 to 255, (sample, row, column, channel).
        mean: mean image, (feature,), intensities 0 to 1.
        axes: P, (feature, component).
    """

    def convert(values: Real) -> Real:
        components: Real = (values.reshape(len(values), -1) - mean) @ axes
        return components

    with threadpool_limits(1, "blas"):
        return _converted(images, convert, np.float64, axes.shape[1:])
