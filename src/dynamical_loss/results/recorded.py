"""Names of the global attributes of a result, and functions that read them."""

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
"""Attributes of a published copy: the parts left out, and the content checksum of the full result."""

COPIES = ("exact", "lossy")
"""Values of the attribute ``dataset_copies``: whether the files of the images keep every bit."""

DATASET_SETTINGS = "dataset_settings"
"""Attribute of a dataset and of results made from it that holds the settings of the dataset, as JSON."""

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
    """Return the attributes without the checksums, which are valid for one file only."""
    return {name: value for name, value in attributes.items() if name not in (CONTENT, ATTRIBUTES)}


def of_data(*datasets: xr.Dataset) -> dict[str, Any]:
    """Return the attributes that describe the training data, for a result that is made from `datasets`.

    Returns:
        global attributes by name; an attribute is left out if a file lacks it or if the files have different
        values.
    """
    first, *others = (dataset.attrs for dataset in datasets)
    return {
        name: first[name]
        for name in _OF_DATA
        if name in first and all(name in other and other[name] == first[name] for other in others)
    }


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the settings that the provenance of a file records.

    Raises:
        UnknownOriginError: if the file records no settings, so that no command of this package made it.
    """
    return recorded(dataset.attrs, "settings", Path(dataset.encoding.get("source", "a dataset")))


def setting(settings: Mapping[str, Any], path: str, absent: Any = None) -> Any:
    """Return one of the settings that a file records.

    Args:
        settings: settings from `settings_of`.
        path: key of the setting; ``a.b`` is key b of group a.
        absent: value to return if there is no such setting.
    """
    found: Any = settings
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return absent
        found = found[key]
    return found


def cycle_of(settings: Mapping[str, Any]) -> int:
    """Return the number of steps from one class to the next: the period T plus the rest steps after it.

    During the rest steps all class weights are equal.

    Args:
        settings: settings of a training, as a file records them.
    """
    return int(settings["period"]) + int(setting(settings, "loss.rest_steps", 0))


def recorded(attributes: Mapping[Any, Any], name: str, path: Path) -> dict[str, Any]:
    """Return the value of an attribute that holds a JSON object, e.g. `INPUTS`.

    Raises:
        UnknownOriginError: if there is no such attribute, so that no command of this package made the file.
    """
    try:
        values = json.loads(attributes[name])
    except (KeyError, TypeError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise UnknownOriginError(f"{path} has no attribute '{name}'", path)
    return values
