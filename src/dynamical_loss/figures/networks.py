"""Names of a network and of its optimiser in figures, from recorded settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dynamical_loss.models.kind import ModelSettings
from dynamical_loss.models.kinds import AnyModel


def label_of(model: Mapping[str, Any]) -> str:
    """Return the name and size of a network for the readers of a figure, from its recorded settings.

    If the kind of network no longer exists, or now has other settings, only the kind's name is returned.
    """
    settings = _settings_of(model)
    return str(model.get("kind", "a network")) if settings is None else settings.label


def distinct(words: Iterable[str]) -> str:
    """Join words by "and". Repeated words appear once, and empty words are left out."""
    return " and ".join(dict.fromkeys(word for word in words if word))


def labels_beyond_width(models: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the labels of all networks that are not perceptrons with one hidden layer.

    The width alone does not describe such a network.
    """
    described = {label_of(model): _settings_of(model) for model in models}
    return [
        label for label, settings in described.items() if settings is None or settings.hidden_layer is None
    ]


def optimiser_of(settings: Mapping[str, Any]) -> str:
    """Return the optimiser of a run with its arguments; an empty string for plain gradient descent.

    Args:
        settings: recorded settings of the run.
    """
    optimiser = settings.get("optimiser", {"kind": "sgd"})
    arguments = {key: value for key, value in optimiser.get("arguments", {}).items() if value}
    if optimiser.get("weight_decay"):
        arguments["weight_decay"] = optimiser["weight_decay"]
    if optimiser["kind"] == "sgd" and not arguments:
        return ""
    return " ".join([optimiser["kind"], *(f"{key}={value}" for key, value in sorted(arguments.items()))])


def _settings_of(model: Mapping[str, Any]) -> ModelSettings | None:
    try:
        settings: ModelSettings = TypeAdapter(AnyModel).validate_python(dict(model))
    except ValidationError:
        return None
    return settings
