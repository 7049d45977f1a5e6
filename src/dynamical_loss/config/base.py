"""What every part of the configuration shares: strictness, and errors that fit on one line."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dynamical_loss.errors import UserError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Settings(BaseModel):
    """A group of settings: unknown keys are refused and values cannot change once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SettingsType = TypeVar("SettingsType", bound=Settings)


def validate(model: type[SettingsType], values: Any, where: str) -> SettingsType:
    """Check `values` against `model`.

    Args:
        model: the settings class.
        values: what a YAML or JSON file held.
        where: what to call the source in an error, e.g. ``config.yaml``.

    Raises:
        UserError: one line that names the first offending key and what to do about it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(model, error)}") from None


_MESSAGES = {
    "too_short": "the list is empty; give at least one value",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "literal_error": "must be {expected}",
    "dict_type": "must be a group of `key: value` lines",
    "model_type": "must be a group of `key: value` lines",
}


def _one_line(model: type[Settings], error: ValidationError) -> str:
    details = error.errors()
    # An unknown key is usually the cause of whatever else is wrong (a required key then seems absent).
    first = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    key = ".".join(str(part) for part in first["loc"]) or "(top level)"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"the keys here are {', '.join(known)}"
        return f"unknown key '{key}'; {hint}{more}"
    if first["type"] == "missing":
        return f"key '{key}' is missing; add it{more}"
    message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
    message = message.format(**first.get("ctx", {})) if first["type"] in _MESSAGES else message
    given = first["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f" (it is {given!r})"
    return f"key '{key}': {message}{shown}{more}" if first["loc"] else f"{message}{more}"


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields at `path` below `model`, as far as plain annotations tell."""
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = field.annotation if field else None
        else:  # dict[str, X] or list[X]: every entry has the type of the last argument
            model = getattr(model, "__args__", (None,))[-1]
        for option in getattr(model, "__args__", ()):  # Optional[X]
            if isinstance(option, type) and issubclass(option, BaseModel):
                if type(None) in model.__args__:
                    model = option
                break
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []
