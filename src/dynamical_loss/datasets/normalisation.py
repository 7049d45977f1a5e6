"""From stored intensities to the inputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from dynamical_loss.datasets.images import WHITE, Bytes
from dynamical_loss.errors import UserError

Real = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

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
    flat = images.reshape(len(images), -1)
    mean = flat.mean(axis=0, dtype=np.float64) / WHITE
    covariance = np.zeros((flat.shape[1], flat.shape[1]))
    with threadpool_limits(1, "blas"):  # sums in one order, whatever the machine
        for part in _chunks(images):
            centred = flat[part] / WHITE - mean
            covariance += centred.T @ centred
        covariance /= len(flat)
        typical = np.trace(covariance) / len(covariance)
        if typical == 0:
            raise UserError("normalisation: zca needs images that differ; take more, or none")
        variances, modes = np.linalg.eigh(covariance)
        # Rounding may leave the smallest a little below zero.
        scales = 1 / np.sqrt(np.maximum(variances, 0) + regularisation * typical)
        return mean, (modes * scales) @ modes.T


def _converted(images: Bytes, convert: Callable[[Single], Single]) -> Single:
    """Images as float32, part by part, so that there is never a second copy of them all."""
    inputs = np.empty(images.shape, np.float32)
    for part in _chunks(images):
        inputs[part] = convert(images[part].astype(np.float32) / np.float32(WHITE))
    return inputs


def scaled(images: Bytes) -> Single:
    """Intensities from 0 to 1, (sample, row, column, channel)."""
    return _converted(images, lambda values: values)


def standardised(images: Bytes, mean: Real, standard_deviation: Real) -> Single:
    """Intensities from 0 to 1, less the mean, over the standard deviation of their channel.

    Args:
        images: (sample, row, column, channel).
        mean: (channel,).
        standard_deviation: (channel,).
    """
    centre, width = mean.astype(np.float32), standard_deviation.astype(np.float32)
    return _converted(images, lambda values: (values - centre) / width)


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
        return _converted(images, convert)
