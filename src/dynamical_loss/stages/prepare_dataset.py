"""Make a dataset: the first room of the pipeline."""

from __future__ import annotations

from pathlib import Path

from dynamical_loss import datasets, store
from dynamical_loss.config.datasets import SpiralSettings


def run(settings: SpiralSettings, output: Path) -> None:
    """Write training and validation set to `output`."""
    record = store.Provenance(
        __name__,
        settings.model_dump(),
        [settings.train_seed, settings.validation_seed],
        "float64",
    )
    store.write(datasets.generate(settings), output, record)
