"""What every part of the configuration shares: strictness, and errors that fit on one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from dynamical_loss.errors import UserError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Settings(BaseModel):
    """A group of settings: unknown keys are refused and values cannot change once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def require_plain(path: str) -> None:
    """Refuse a path that Snakemake would take for something else.

    Raises:
        ValueError: one line without the key.
    """
    if not path.isprintable() or path != path.strip():
        raise ValueError("must have no control characters, and no spaces at its ends; choose another")
    if set(path) & set("{}"):
        raise ValueError("must have no braces, which stand for wildcards in Snakemake; choose another")


SettingsType = TypeVar("SettingsType", bound=Settings)

_TAG = "kind="  # in front of a kind, so that it is told from a key in the place of an error


def kind_of(model: type[Settings]) -> str:
    """What `kind` has to be for a group of settings to be of that class."""
    return str(model.model_fields["kind"].annotation.__args__[0])  # type: ignore[union-attr]


def names_of(models: Sequence[type[Settings]]) -> str:
    """The kinds of several groups of settings, for a sentence: ``a, b or c``."""
    return " or ".join(", ".join(map(kind_of, models)).rsplit(", ", 1))


def one_of(*models: type[Settings]) -> Any:
    """The type of a group of settings whose `kind` says which of `models` it is.

    Args:
        models: each with a field `kind` of one literal; the first is meant where `kind` is left out.
    """
    kinds = [kind_of(model) for model in models]

    def tag(value: Any) -> str | None:
        kind = value.get("kind", kinds[0]) if isinstance(value, Mapping) else getattr(value, "kind", kinds[0])
        return f"{_TAG}{kind}" if kind in kinds else None

    known = names_of(models)
    options = tuple(Annotated[model, Tag(f"{_TAG}{kind}")] for model, kind in zip(models, kinds, strict=True))
    return Annotated[
        Union[options],  # noqa: UP007
        Discriminator(
            tag, custom_error_type="unknown_kind", custom_error_message=f"there is no such kind; take {known}"
        ),
    ]


def members(annotation: Any) -> list[type[Settings]]:
    """The settings classes that an annotation names, or those of its union; none for other types."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, Settings):
        return [plain]
    return [member for option in getattr(plain, "__args__", ()) for member in members(option)]


def validate(model: type[SettingsType], values: Any, where: str) -> SettingsType:
    """Check `values` against `model`.

    Args:
        model: the settings class, or what `one_of` makes of several.
        values: what a YAML or JSON file held.
        where: what to call the source in an error, e.g. ``config.yaml``.

    Raises:
        UserError: one line that names the first offending key and what to do about it.
    """
    try:
        return TypeAdapter(model).validate_python(values)
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


def _one_line(model: Any, error: ValidationError) -> str:
    details = error.errors()
    # An unknown key is usually the cause of whatever else is wrong (a required key then seems absent).
    first = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(_TAG)) or "(top level)"
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
    """Names of the fields at `path` below `model`, as far as annotations tell."""
    for part in path:
        if str(part).startswith(_TAG):
            model = next(option for option in _options(model) if Tag(str(part)) in _metadata(option))
        elif isinstance(_plain(model), type) and issubclass(_plain(model), BaseModel):
            field = _plain(model).model_fields.get(str(part))
            model = field.annotation if field else None
        else:  # dict[str, X] or list[X]: every entry has the type of the last argument
            model = getattr(_plain(model), "__args__", (None,))[-1]
        if type(None) in getattr(model, "__args__", ()):  # Optional[X]
            model = next(option for option in model.__args__ if option is not type(None))
    plain = _plain(model)
    return list(plain.model_fields) if isinstance(plain, type) and issubclass(plain, BaseModel) else []


def _plain(annotation: Any) -> Any:
    """An annotation without what `Annotated` adds to it."""
    return annotation.__origin__ if _metadata(annotation) else annotation


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _options(annotation: Any) -> tuple[Any, ...]:
    return getattr(_plain(annotation), "__args__", ())
