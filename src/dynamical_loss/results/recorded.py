"""What a file records of itself in its global attributes, and how to ask it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamical_loss.errors import UnknownOriginError

if TYPE_CHECKING:
    import xarray as xr

CONTENT, ATTRIBUTES = "content_checksum", "attributes_checksum"
INPUTS = "inputs"
PUBLISHED, PUBLISHED_FROM = "published", "published_from"
"""Attributes of a small copy: what was left out, and the content's checksum of the result it shows."""

COPIES = ("exact", "lossy")
"""What the attribute ``dataset_copies`` says of images: whether their files keep every bit."""

DATASET_SETTINGS = "dataset_settings"
"""Attribute of a dataset, and of what is made from it: the settings of the dataset, as JSON."""

_OF_DATA = (
    "dataset",
    DATASET_SETTINGS,
    "dataset_copies",
    "dataset_description",
    "dataset_source",
    "dataset_source_sha256",
    "dataset_normalisation",
    "train_samples",
    "validation_samples",
    "steps_per_epoch",
)


def unsealed(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes without the checksums, which belong to one file alone."""
    return {name: value for name, value in attributes.items() if name not in (CONTENT, ATTRIBUTES)}


def of_data(*datasets: xr.Dataset) -> dict[str, Any]:
    """What files say of the data that networks were trained on; results made from them say the same.

    Returns:
        global attributes by name; those that a file does not have, or that the files do not agree on, are
        left out.
    """
    first, *others = (dataset.attrs for dataset in datasets)
    return {
        name: first[name]
        for name in _OF_DATA
        if name in first and all(name in other and other[name] == first[name] for other in others)
    }


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The settings that a file's provenance records.

    Raises:
        UnknownOriginError: if it records none, so that no command of this package made it.
    """
    return recorded(dataset.attrs, "settings", Path(dataset.encoding.get("source", "a dataset")))


def setting(settings: Mapping[str, Any], path: str, absent: Any = None) -> Any:
    """One of the settings that a file records.

    Args:
        settings: from `settings_of`.
        path: ``a.b`` is key b of group a.
        absent: what to return where there is none.
    """
    found: Any = settings
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return absent
        found = found[key]
    return found


def cycle_of(settings: Mapping[str, Any]) -> int:
    """Steps from one class switch to the next: T, and the steps with equal weights after it.

    Args:
        settings: of a training, as a file records them.
    """
    return int(settings["period"]) + int(setting(settings, "loss.rest_steps", 0))


def recorded(attributes: Mapping[Any, Any], name: str, path: Path) -> dict[str, Any]:
    """An attribute that holds a JSON object, e.g. `INPUTS`.

    Raises:
        UnknownOriginError: if there is none, so that no command of this package made the file.
    """
    try:
        values = json.loads(attributes[name])
    except (KeyError, TypeError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise UnknownOriginError(f"{path} has no attribute '{name}'", path)
    return values
