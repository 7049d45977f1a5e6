"""Describe in words what a result chose where the paper leaves a choice open.

The words are derived only from what the result records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamical_loss.config.analysis import InstabilitySettings
from dynamical_loss.notation import exact
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

NETWORK, INITIALISATION, DATA = "network", "initialisation", "data"
CYCLE, GRID, READING = "cycle", "grid", "reading"

CHOICES = (INITIALISATION, DATA, CYCLE, GRID, READING)
"""Choices that the paper leaves open and in which protocols may differ; each is a column of `claims.Row`."""

_KERNELS = (
    ("kernel_distribution", "{} kernels"),
    ("first_kernel_factor", "first kernel × {:g}"),
    ("further_kernel_factor", "further kernels × {:g}"),
    ("bias_scale", "biases of scale {:g}"),
)
_USUAL = {"first_kernel_factor": 1.0, "further_kernel_factor": 1.0}


def choices_of(*items: xr.Dataset) -> dict[str, str]:
    """Return the choices behind results in words, by the choice's name: `NETWORK` and those in `CHOICES`.

    Args:
        items: results that one claim is computed from; where they differ, all their choices are named.

    Returns:
        Words by name.  A choice that does not apply is left out, e.g. the reading for a phase diagram.
    """
    found: dict[str, dict[str, None]] = {}
    for item in items:
        for name, words in _of(item):
            found.setdefault(name, {})[words] = None
    # The reading of a single run lacks the last part, the spacing of snapshots at several learning rates.  It
    # is dropped if another result has the same reading with that part.
    readings = found.get(READING, {})
    for words in list(readings):
        if any(other.startswith(f"{words}, ") for other in readings):
            del readings[words]
    return {name: " and ".join(words) for name, words in found.items()}


def _of(item: xr.Dataset) -> list[tuple[str, str]]:
    settings = recorded.settings_of(item)
    trainings = _trainings(settings)
    told = [
        (name, words)
        for training in trainings
        if "model" in training
        for name, words in (
            (NETWORK, network(training["model"])),
            *_start(training["model"]),
            (CYCLE, _cycle(training)),
        )
    ]
    told += [(name, words) for name, words in ((DATA, _data(item)), (GRID, _grid(settings))) if words]
    # Files with `evaluations` come from integrators of flows, whose settings have a tolerance too.
    searched = "tolerance" in settings and "evaluations" not in settings
    if "trajectories" in settings or searched:
        stated = InstabilitySettings.stated(
            settings.get("reading", {}) if "trajectories" in settings else settings
        )
        told.append((READING, reading(stated, trainings)))
    return told


def _trainings(settings: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the settings of the trainings behind a result."""
    if "trajectories" in settings:
        return list(settings["trajectories"])
    return [settings.get("trajectory", settings)]


def network(model: Mapping[str, Any]) -> str:
    """Return a network's kind and size in words."""
    if model["kind"] != "mlp":
        return str(model["kind"])
    depth = f", {model['depth']} hidden layers" if model.get("depth", 1) != 1 else ""
    return f"width {model['width']}{depth}"


def _start(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(INITIALISATION, initialisation(model))] if "initialisation" in model else []


def initialisation(model: Mapping[str, Any]) -> str:
    """Return in words how a network is initialised: the name of the initialisation, and changes to it."""
    parts = [str(model["initialisation"])]
    parts += [
        words.format(model[key])
        for key, words in _KERNELS
        if model.get(key) is not None and model[key] != _USUAL.get(key)
    ]
    if model.get("parametrisation", "standard") != "standard":
        parts.append(f"{model['parametrisation']} parametrisation")
    return ", ".join(parts)


def _cycle(training: Mapping[str, Any]) -> str:
    rest = int(recorded.setting(training, "loss.rest_steps", 0))
    return f"T + {rest} steps" if rest else "T steps"


def _data(item: xr.Dataset) -> str:
    """Return in words which draw of the training noise was used, or how many, and which validation set."""
    place = Path(item.encoding.get("source", "a dataset"))
    stated = item.attrs.get(recorded.DATASET_SETTINGS)
    known = {} if stated is None else recorded.recorded(item.attrs, recorded.DATASET_SETTINGS, place)
    seed = known.get("train_seed")
    if seed is None:
        return str(item.attrs.get("dataset_description", ""))
    words = f"{len(seed)} draws of the training noise" if isinstance(seed, list) else f"training noise {seed}"
    parts = [words, f"validation noise {known.get('validation_seed')}"]
    if known.get("validation_points_per_class") is not None:
        parts.append(f"{known['validation_points_per_class']} validation points on each arm")
    if known.get("validation_radius", "linspace") != "linspace":
        parts.append(f"validation radii {known['validation_radius']}")
    return ", ".join(parts)


def _grid(settings: Mapping[str, Any]) -> str:
    """Return the cells of a phase diagram in words, with the length and precision of their training."""
    if "periods" not in settings or "amplitudes" not in settings:
        return ""
    periods, amplitudes = (
        " ".join(exact(value) for value in sorted(settings[key])) for key in ("periods", "amplitudes")
    )
    return f"T = {periods}; A = {amplitudes}; {settings.get('steps')} steps in {settings.get('precision')}"


def reading(stated: InstabilitySettings, trainings: Sequence[Mapping[str, Any]]) -> str:
    """Return in words how instabilities were detected.

    Args:
        stated: settings of the analysis.
        trainings: settings of the analysed runs, for the spacing of their snapshots.
    """
    at_rate = "/η" if stated.tolerance_at_rate == "scaled" else " at every η"
    return ", ".join(
        [
            f"{stated.difference} difference",
            f"tolerance {exact(stated.tolerance)}{at_rate}",
            f"{stated.minimum_snapshots} in a row",
            f"λ read {_PLACES[stated.reading]}",
            *_spacing(trainings),
        ]
    )


_PLACES = {"outside": "outside", "flagged": "at the flagged snapshot"}


def _spacing(trainings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in words how the spacing of snapshots depends on η; an empty list if there is a single η."""
    spacing = {float(run["learning_rate"]): int(run["snapshots"]["every"]) for run in trainings}
    if len(spacing) < 2:
        return []
    return [
        "snapshots as far apart at every η" if len(set(spacing.values())) == 1 else "snapshots ~1/η apart"
    ]
