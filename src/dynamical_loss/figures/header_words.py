"""Text above a figure of images: what was trained, and where the study departs from the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dynamical_loss.figures.networks import distinct, label_of
from dynamical_loss.paper.departures import Departure, Protocol, Sort, departures, facts_of
from dynamical_loss.paper.protocols import (
    CHANNELS,
    EPOCHS,
    IMAGE_SEEDS,
    WIDE_RESNET,
    WIDE_RESNET_EPOCHS,
    of_images,
)
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

_ARITHMETIC = {"tf32": "TF32", "bfloat16": "bfloat16"}


def _epochs(dataset: xr.Dataset) -> float | None:
    """Return the length of a run in passes over the training set; None if the file does not record it."""
    settings = recorded.settings_of(dataset)
    if settings.get("epochs"):
        return float(settings["epochs"])
    each = dataset.attrs.get("steps_per_epoch")
    return None if each is None else settings["steps"] / int(each)


def remarks(*datasets: xr.Dataset) -> str:
    """Return a line that describes the studies of a figure, below a line on how they depart from the paper.

    `dynamical_loss.paper` holds the paper's network, data, length, protocol and number of seeds, and finds
    the departures. The first line is left out if there are no departures. If studies only have fewer seeds,
    it says that they follow the paper's protocol with that number of its seeds. In every other case it calls
    the figure an illustration.

    Args:
        datasets: phase files or trajectories with their global attributes.

    Returns:
        Lines separated by line breaks.
    """
    settings = [recorded.settings_of(dataset) for dataset in datasets]
    facts = (
        distinct(label_of(item["model"]) for item in settings),
        distinct(str(dataset.attrs.get("dataset_description", "")) for dataset in datasets),
        distinct(map(_length, datasets)),
        distinct(map(_runs, datasets)),
        distinct(map(_rounding, settings)),
    )
    line = "; ".join(fact for fact in facts if fact)
    found = [(dataset, _departures(dataset)) for dataset in datasets]
    sizes = {Sort.SIZE, Sort.DATA}
    smaller = [dataset for dataset, other in found if sizes & {departure.sort for departure in other}]
    if smaller:
        return f"Illustration, not of the paper's size ({distinct(map(_size, smaller))})\n{line}"
    protocol = [each.words for _, other in found for each in other if each.sort is Sort.PROTOCOL]
    if protocol:
        return f"Illustration, not the paper's protocol\n{'; '.join(dict.fromkeys(protocol))}\n{line}"
    fewer = [dataset for dataset, other in found if other]
    if fewer:
        counts = distinct(f"n = {dataset.sizes['seed']}" for dataset in fewer)
        return f"The paper's protocol with {counts} of its {IMAGE_SEEDS} seeds\n{line}"
    return line


def of_learning_rates(studies: Sequence[xr.Dataset]) -> str:
    """Return networks and numbers of seeds of phase diagrams of the spiral, and what "DAL" stands for."""
    known = distinct(label_of(recorded.settings_of(item)["model"]) for item in studies)
    seeds = distinct(f"n = {item.sizes['seed']}" for item in studies)
    return f"{known} on the spiral, {seeds} seeds; DAL: drift-adjusted learning rate"


def _protocol(dataset: xr.Dataset) -> Protocol:
    return of_images(recorded.settings_of(dataset)["model"], "seed" in dataset.sizes)


def _departures(dataset: xr.Dataset) -> list[Departure]:
    return departures(_protocol(dataset), facts_of(dataset))


def _length(dataset: xr.Dataset) -> str:
    passes = _epochs(dataset)
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


def _size(dataset: xr.Dataset) -> str:
    """Return the size of the paper's study that corresponds to a study, in words."""
    if _protocol(dataset) is WIDE_RESNET:
        return f"all of CIFAR-10, {WIDE_RESNET_EPOCHS} epochs"
    seeds = f", {IMAGE_SEEDS} seeds" if "seed" in dataset.sizes else ""
    return f"Myrtle5 of {CHANNELS} channels, all of CIFAR-10, {EPOCHS} epochs{seeds}"
