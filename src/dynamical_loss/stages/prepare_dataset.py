"""Prepare a dataset, which is the first stage of the pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynamical_loss.config import code
from dynamical_loss.datasets.kind import DatasetSettings
from dynamical_loss.results import recorded
from dynamical_loss.results.record import Provenance


def run(settings: DatasetSettings, output: Path) -> None:
    """Write the training and validation set to `output`.

    Raises:
        UserError: if the images that the settings ask for are missing or cannot be read.
    """
    values = _without_place(settings)
    record = Provenance(code.dataset(settings), values, settings.seeds, settings.precision)
    own = {recorded.DATASET_SETTINGS: json.dumps(values, sort_keys=True)}
    record.write(settings.prepare().assign_attrs(own), output)


def _without_place(settings: DatasetSettings) -> dict[str, Any]:
    """Return the settings to record; the folder of a source is left out, because it changes no number."""
    values = settings.model_dump()
    if values.get("source") is not None:
        values["source"] = Path(values["source"]).name
    return values
