"""What was trained for a figure of images, in words, and whether it was of the paper's size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr

from dynamical_loss import store

PAPER_CHANNELS, PAPER_EPOCHS, PAPER_SEEDS = 64, 700, 30
"""Fig. 1: Myrtle5."""

PAPER_WIDE_RESNET_EPOCHS = 200
"""The supplement's; depth and widening are not published."""

_ORIGINAL = re.compile(r"CIFAR-10\b(?!.*(?:lossy|JPEG)).*\b50000 \+ 10000 images", re.IGNORECASE)
_NORMALISATION = {"batch": "with batch norm", "none": "without batch norm"}


def network(model: Mapping[str, Any]) -> str:
    """A network's name and size, from its settings."""
    if model["kind"] == "myrtle5":
        return f"Myrtle5, {model['channels']} channels"
    if model["kind"] == "wide_resnet":
        name = f"Wide ResNet {model['depth']}-{model['widening']}"
        return f"{name} {_NORMALISATION[model['normalisation']]}"
    layers = f" in each of {model['depth']} layers" if model["depth"] > 1 else ""
    return f"perceptron, {model['width']} hidden units{layers}"


def epochs(dataset: xr.Dataset) -> float | None:
    """Length of a run in passes over the training set; None where the file does not say."""
    settings = store.settings_of(dataset)
    if settings.get("epochs"):
        return float(settings["epochs"])
    each = dataset.attrs.get("steps_per_epoch")
    return None if each is None else settings["steps"] / int(each)


def remarks(*datasets: xr.Dataset) -> str:
    """A line of what the studies behind a figure are, below one that says whether they illustrate only.

    The paper's size: for Myrtle5 64 channels, all of CIFAR-10 in its original files, 700 epochs and, of a
    study with seeds, 30 of them (Fig. 1); for a wide residual network all of CIFAR-10 and 200 epochs
    (supplement). Everything else is an illustration.

    Args:
        datasets: phase files or trajectories with their global attributes ``settings`` and, if they have
            them, ``dataset_description`` and ``steps_per_epoch``.
    """
    settings = [store.settings_of(dataset) for dataset in datasets]
    facts = (
        _distinct(network(item["model"]) for item in settings),
        _distinct(str(dataset.attrs.get("dataset_description", "")) for dataset in datasets),
        _distinct(map(_length, datasets)),
        _distinct(map(_runs, datasets)),
    )
    line = "; ".join(fact for fact in facts if fact)
    if all(map(_is_papers, datasets)):
        return line
    paper = _distinct(_paper(dataset) for dataset in datasets if not _is_papers(dataset))
    return f"Illustration at reduced scale, not the paper's ({paper})\n{line}"


def _distinct(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(word for word in words if word))


def _length(dataset: xr.Dataset) -> str:
    passes = epochs(dataset)
    if passes is None:
        return f"{store.settings_of(dataset)['steps']} steps"
    return "1 epoch" if passes == 1 else f"{round(passes, 2):g} epochs"


def _runs(dataset: xr.Dataset) -> str:
    if "seed" not in dataset.sizes:
        return "one run, which diverged" if dataset.get("diverged", False) else "one run"
    return f"n = {dataset.sizes['seed']} seed{'s' if dataset.sizes['seed'] > 1 else ''}"


def _is_papers(dataset: xr.Dataset) -> bool:
    # Thousands may be set apart by a space of any width.
    description = re.sub(r"(?<=\d)\s(?=\d)", "", str(dataset.attrs.get("dataset_description", "")))
    model, passes = store.settings_of(dataset)["model"], epochs(dataset) or 0
    if not _ORIGINAL.search(description):
        return False
    if model["kind"] == "wide_resnet":
        return passes >= PAPER_WIDE_RESNET_EPOCHS
    return (
        model["kind"] == "myrtle5"
        and int(model["channels"]) >= PAPER_CHANNELS
        and passes >= PAPER_EPOCHS
        and dataset.sizes.get("seed", PAPER_SEEDS) >= PAPER_SEEDS
    )


def _paper(dataset: xr.Dataset) -> str:
    kind = store.settings_of(dataset)["model"]["kind"]
    if kind == "wide_resnet":
        return f"all of CIFAR-10, {PAPER_WIDE_RESNET_EPOCHS} epochs"
    seeds = f", {PAPER_SEEDS} seeds" if "seed" in dataset.sizes else ""
    return f"Myrtle5 of {PAPER_CHANNELS} channels, all of CIFAR-10, {PAPER_EPOCHS} epochs{seeds}"
