"""Read cifar-10-python.tar.gz, without trusting the pickles in it.

A pickle may name any function and have it called.  This reader is therefore used on the official archive
alone, after a comparison of its checksum.  Even then a pickle may name only the functions and types that
create an array of numbers.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from dynamical_loss.datasets import archive
from dynamical_loss.datasets.cifar10_binary import CLASSES, PIXELS, interleaved
from dynamical_loss.datasets.images import Images, require_labels
from dynamical_loss.errors import UserError

FOLDER = "cifar-10-batches-py"
_TRAIN = tuple(f"{FOLDER}/data_batch_{number}" for number in range(1, 6))
_TEST = (f"{FOLDER}/test_batch",)
_LARGEST = 40_000_000
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Arrays(pickle.Unpickler):
    """Unpickler that reads dictionaries, lists, numbers, strings and arrays only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a function or type that a pickle may name.

        Raises:
            UnpicklingError: if a pickle names anything else.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]


def read(path: Path) -> tuple[Images, Images]:
    """Read the training and test images.

    Args:
        path: an archive whose checksum is known to be right.

    Raises:
        UserError: if the archive is truncated, one of its files is missing or malformed, or a pickle names
            anything but arrays.
    """
    found = archive.named(path, _TRAIN + _TEST, _LARGEST)
    return _images(path, found, _TRAIN), _images(path, found, _TEST)


def _images(path: Path, found: dict[str, bytes], names: tuple[str, ...]) -> Images:
    pixels, labels = zip(*(_batch(f"{path}: {name}", found.pop(name)) for name in names), strict=True)
    return Images(
        interleaved(np.concatenate(pixels)), require_labels(np.concatenate(labels), CLASSES, str(path))
    )


def _batch(where: str, content: bytes) -> tuple[Any, Any]:
    """Return the pixels (sample, 3072) and the labels (sample,) of one file."""
    try:
        # Python 2 wrote these files, and its strings are bytes.
        batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"], np.int64)
    except MemoryError:  # not the fault of the file
        raise
    except Exception as error:  # a malformed pickle may raise any exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{where} is no batch of CIFAR-10 ({reason}); fetch it again") from None
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape != (labels.size, PIXELS)
        or labels.ndim != 1
    ):
        raise UserError(f"{where} is no batch of CIFAR-10 (its arrays have other shapes); fetch it again")
    return pixels, labels
