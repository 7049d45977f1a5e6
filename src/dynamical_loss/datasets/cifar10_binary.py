"""Read cifar-10-binary.tar.gz, whose records have one byte for the class and 3072 bytes for the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynamical_loss.datasets import archive
from dynamical_loss.datasets.images import Bytes, Images, require_labels
from dynamical_loss.errors import UserError

SIDE, CHANNELS, CLASSES = 32, 3, 10
PIXELS = SIDE * SIDE * CHANNELS
FOLDER = "cifar-10-batches-bin"
_TRAIN = tuple(f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6))
_TEST = (f"{FOLDER}/test_batch.bin",)
_LARGEST = 10_000 * (PIXELS + 1)


def interleaved(planes: Bytes) -> Bytes:
    """Reorder images (sample, 3072), whose channels are stored one after another, to (sample, 32, 32, 3)."""
    return planes.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)


def read(path: Path) -> tuple[Images, Images]:
    """Read the training and test images.

    Raises:
        UserError: if the archive is truncated, or one of its files is missing or malformed.
    """
    found = archive.named(path, _TRAIN + _TEST, _LARGEST)
    return _images(path, found, _TRAIN), _images(path, found, _TEST)


def _images(path: Path, found: dict[str, bytes], names: tuple[str, ...]) -> Images:
    for name in names:
        if not found[name] or len(found[name]) % (PIXELS + 1):
            raise UserError(
                f"{path}: {name} has {len(found[name]):,} bytes, not whole records of {PIXELS + 1} bytes; "
                "fetch it again"
            )
    records = np.frombuffer(b"".join(found.pop(name) for name in names), np.uint8).reshape(-1, PIXELS + 1)
    return Images(interleaved(records[:, 1:]), require_labels(records[:, 0], CLASSES, str(path)))
