"""What was trained for a figure of images, in words, and whether it was as in the paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dynamical_loss.image_protocol import (
    CHANNELS,
    EPOCHS,
    SEEDS,
    WIDE_RESNET_EPOCHS,
    departures,
)
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

_ORIGINAL = re.compile(r"CIFAR-10\b(?!.*(?:lossy|JPEG)).*\b50000 \+ 10000 images", re.IGNORECASE)
_ARITHMETIC = {"tf32": "TF32", "bfloat16": "bfloat16"}
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
    settings = recorded.settings_of(dataset)
    if settings.get("epochs"):
        return float(settings["epochs"])
    each = dataset.attrs.get("steps_per_epoch")
    return None if each is None else settings["steps"] / int(each)


def remarks(*datasets: xr.Dataset) -> str:
    """A line of what the studies behind a figure are, below one that says where they are not the paper's.

    The paper's size: for Myrtle5 64 channels, all of CIFAR-10 in original or exact (PNG) copies, 700 epochs
    and, of a study with seeds, 30 of them (Fig. 1); for a wide residual network all of CIFAR-10 and 200
    epochs (supplement; its size is not published).  The paper's protocol: see `image_protocol.departures`.

    Studies that have all of it get no first line; those that lack seeds alone are the paper's protocol with
    so many of its seeds; everything else is an illustration.

    Args:
        datasets: phase files or trajectories with their global attributes ``settings`` and, if they have
            them, ``dataset_description`` and ``steps_per_epoch``.
    """
    settings = [recorded.settings_of(dataset) for dataset in datasets]
    facts = (
        _distinct(network(item["model"]) for item in settings),
        _distinct(str(dataset.attrs.get("dataset_description", "")) for dataset in datasets),
        _distinct(map(_length, datasets)),
        _distinct(map(_runs, datasets)),
        _distinct(map(_rounding, settings)),
    )
    line = "; ".join(fact for fact in facts if fact)
    smaller = [dataset for dataset in datasets if not _has_papers_size(dataset)]
    if smaller:
        return f"Illustration, not of the paper's size ({_distinct(map(_size, smaller))})\n{line}"
    other = dict.fromkeys(difference for item in settings for difference in departures(item))
    if other:
        return f"Illustration, not the paper's protocol\n{'; '.join(other)}\n{line}"
    fewer = [dataset for dataset in datasets if _lacks_seeds(dataset)]
    if fewer:
        found = _distinct(f"n = {dataset.sizes['seed']}" for dataset in fewer)
        return f"The paper's protocol with {found} of its {SEEDS} seeds\n{line}"
    return line


def _distinct(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(word for word in words if word))


def _length(dataset: xr.Dataset) -> str:
    passes = epochs(dataset)
    if passes is None:
        return f"{recorded.settings_of(dataset)['steps']} steps"
    return "1 epoch" if passes == 1 else f"{round(passes, 2):g} epochs"


def _runs(dataset: xr.Dataset) -> str:
    if "seed" not in dataset.sizes:
        return "one run, which diverged" if dataset.get("diverged", False) else "one run"
    return f"n = {dataset.sizes['seed']} seed{'s' if dataset.sizes['seed'] > 1 else ''}"


def _rounding(settings: Mapping[str, Any]) -> str:
    arithmetic = settings.get("arithmetic", "full")
    return "" if arithmetic == "full" else f"convolutions in {_ARITHMETIC[arithmetic]}"


def _is_wide_resnet(dataset: xr.Dataset) -> bool:
    return bool(recorded.settings_of(dataset)["model"]["kind"] == "wide_resnet")


def _has_papers_size(dataset: xr.Dataset) -> bool:
    """Network, data and length, whatever the number of seeds."""
    # Thousands may be set apart by a space of any width.
    description = re.sub(r"(?<=\d)\s(?=\d)", "", str(dataset.attrs.get("dataset_description", "")))
    if not _ORIGINAL.search(description):
        return False
    if _is_wide_resnet(dataset):
        return epochs(dataset) == WIDE_RESNET_EPOCHS
    model = recorded.settings_of(dataset)["model"]
    return model["kind"] == "myrtle5" and model["channels"] == CHANNELS and epochs(dataset) == EPOCHS


def _lacks_seeds(dataset: xr.Dataset) -> bool:
    return not _is_wide_resnet(dataset) and dataset.sizes.get("seed", SEEDS) < SEEDS


def _size(dataset: xr.Dataset) -> str:
    """The paper's."""
    if _is_wide_resnet(dataset):
        return f"all of CIFAR-10, {WIDE_RESNET_EPOCHS} epochs"
    seeds = f", {SEEDS} seeds" if "seed" in dataset.sizes else ""
    return f"Myrtle5 of {CHANNELS} channels, all of CIFAR-10, {EPOCHS} epochs{seeds}"
