"""What figures call a network and its optimiser, from recorded settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dynamical_loss.models.kind import ModelSettings
from dynamical_loss.models.kinds import AnyModel


def label_of(model: Mapping[str, Any]) -> str:
    """Name and size of a network for the readers of a figure, from its recorded settings.

    Of a kind that is gone, or that takes other settings now, the name of the kind is all that is known.
    """
    settings = _settings_of(model)
    return str(model.get("kind", "a network")) if settings is None else settings.label


def distinct(words: Iterable[str]) -> str:
    """Words joined by "and", those that come twice once and empty ones not at all."""
    return " and ".join(dict.fromkeys(word for word in words if word))


def labels_beyond_width(models: Iterable[Mapping[str, Any]]) -> list[str]:
    """Labels of networks that a width does not describe: all but perceptrons of one hidden layer."""
    described = {label_of(model): _settings_of(model) for model in models}
    return [
        label for label, settings in described.items() if settings is None or settings.hidden_layer is None
    ]


def optimiser_of(settings: Mapping[str, Any]) -> str:
    """The optimiser of a run and its arguments; empty for plain gradient descent.

    Args:
        settings: of the run.
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
