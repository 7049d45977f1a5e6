"""Handwritten digits, 8×8 grey, as scikit-learn brings them along (UCI Optical Recognition)."""

from __future__ import annotations

import hashlib

import numpy as np

from dynamical_loss.datasets.images import WHITE, Images, Source
from dynamical_loss.datasets.selection import balanced

_DARKEST = 16  # of the original's intensities
_SPLIT = 2  # beside the seed, so that this draw is none of those of the order


def read(validation: int, seed: int) -> Source:
    """All 1797 digits, of which `validation` are set apart, as many of each class as of the others.

    Args:
        validation: images for validation.
        seed: of the choice of these.
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
