"""Make a dataset: the first room of the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynamical_loss.config.datasets import DatasetSettings, SpiralSettings
from dynamical_loss.datasets import preparation
from dynamical_loss.results.record import Provenance


def run(settings: DatasetSettings, output: Path) -> None:
    """Write training and validation set to `output`.

    Raises:
        UserError: if images are asked for that cannot be read, or are not there.
    """
    if isinstance(settings, SpiralSettings):
        seeds, precision = [settings.train_seed, settings.validation_seed], "float64"
    else:
        seeds, precision = [settings.sample_seed], "float32"
    record = Provenance(__name__, _without_place(settings), seeds, precision)
    record.write(preparation.generate(settings), output)


def _without_place(settings: DatasetSettings) -> dict[str, Any]:
    """Settings to be recorded: where a source lies on one machine decides no number."""
    values = settings.model_dump()
    if values.get("source") is not None:
        values["source"] = Path(values["source"]).name
    return values
