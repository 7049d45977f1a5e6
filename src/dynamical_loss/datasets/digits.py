"""Read the handwritten digits of scikit-learn (UCI Optical Recognition): grey images of 8×8 pixels."""

from __future__ import annotations

import hashlib

import numpy as np

from dynamical_loss.datasets.images import WHITE, Images, Source
from dynamical_loss.datasets.selection import balanced

_DARKEST = 16  # largest intensity of the original images
_SPLIT = 2  # second part of the seed, different from those in `preparation`


def read(validation: int, seed: int) -> Source:
    """Read all 1797 digits and set some apart for validation, with class sizes as equal as possible.

    Args:
        validation: number of validation images.
        seed: seed of the random choice of the validation images.
    """
    from sklearn.datasets import load_digits

    stored = load_digits()
    pixels = np.rint(stored.images[..., np.newaxis] * (WHITE / _DARKEST)).astype(np.uint8)
    labels = stored.target.astype(np.uint8)
    apart = np.zeros(len(labels), bool)
    apart[balanced(labels, validation, (seed, _SPLIT))] = True
    return Source(
        dataset="digits",
        title="digits 8×8",
        origin="scikit-learn's load_digits",
        sha256=hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest(),
        split=f"no official one; {validation} are set apart for validation, drawn from sample_seed",
        train=Images(pixels[~apart], labels[~apart]),
        validation=Images(pixels[apart], labels[apart]),
        class_names=tuple(map(str, stored.target_names)),
    )
