"""The base of all settings classes: strict checks, and errors that fit on one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from dynamical_loss.errors import UserError
from dynamical_loss.notation import exact

Count = Annotated[int, Field(ge=1)]
Runs = Annotated[int, Field(ge=1, le=10_000_000)]
LARGEST_SEED = 2**32 - 1
"""Largest seed; random keys have 32 bits."""

Seed = Annotated[int, Field(ge=0, lt=LARGEST_SEED + 1)]


class Settings(BaseModel):
    """A group of settings: unknown keys are refused, and values cannot be changed after the check."""

    # Infinity and NaN would pass comparisons with limits, and would reach the results.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for numbers; Python would read them as 1 and 0, as in `seeds: yes`."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if _holds_truth(value) and not _mentions(annotation, bool):
            raise ValueError("must not be true, false, yes, no, on or off")
        return value


def _holds_truth(value: Any) -> bool:
    """Return whether a value, or an item of a nested list, is true or false."""
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_truth, value)))


def _mentions(annotation: Any, wanted: type) -> bool:
    """Return whether a type is part of an annotation."""
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def _usable(path: str) -> str:
    """Check a path and return it unchanged.

    Raises:
        ValueError: one line without the key, if the path is empty, if Snakemake would misread it, or if it
            begins with the home folder of an unknown user.
    """
    if not path:
        raise ValueError("must name a file or folder; give its path")
    if not path.isprintable() or path != path.strip():
        raise ValueError("must have no control characters, and no spaces at its ends; choose another name")
    try:
        located(path)
    except UserError:
        raise ValueError("begins with the home folder of an unknown user; write out the path") from None
    return path


Place = Annotated[str, AfterValidator(_usable)]
"""Path of a file or folder, as the user wrote it; `located` expands it."""


def located(place: str) -> Path:
    """Return a path with ``~`` expanded to the home folder.

    Raises:
        UserError: if the path begins with the home folder of an unknown user.
    """
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise UserError(
            f"{place} begins with the home folder of an unknown user; write out the path"
        ) from None


SettingsType = TypeVar("SettingsType", bound=Settings)

_TAG = "kind="  # prefix of a kind, which distinguishes it from a key in the location of an error


def kind_of(model: type[Settings]) -> str:
    """Return the value of `kind` that selects a settings class."""
    return str(model.model_fields["kind"].annotation.__args__[0])  # type: ignore[union-attr]


def names_of(models: Sequence[type[Settings]]) -> str:
    """Return the kinds of several settings classes as part of a sentence: ``a, b or c``."""
    return " or ".join(", ".join(map(kind_of, models)).rsplit(", ", 1))


def one_of(*models: type[Settings]) -> Any:
    """Return the type of a group of settings whose key `kind` selects one of `models`.

    Args:
        models: settings classes, each with a field `kind` that has a single literal value; the first class is
            selected if `kind` is left out.
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
    """Return the settings classes that an annotation, or its union, names; an empty list for other types."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, Settings):
        return [plain]
    return [member for option in getattr(plain, "__args__", ()) for member in members(option)]


def validate(model: type[SettingsType], values: Any, where: str) -> SettingsType:
    """Check values against a settings class and return the settings.

    Args:
        model: settings class, or a type that `one_of` returned.
        values: values read from YAML or JSON.
        where: name of the source in an error, e.g. ``config.yaml``.

    Raises:
        UserError: one line that names the first offending key and what to do about it.
    """
    try:
        return TypeAdapter(model).validate_python(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_one_line(model, error)}") from None


_BRANCHES = ("float", "int", "bool", "str")

_MESSAGES = {
    "too_short": "the list is empty; give at least one value",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "finite_number": "must be a finite number",
    "dict_type": "must be a group of `key: value` lines",
    "model_type": "must be a group of `key: value` lines",
}


def _one_line(model: Any, error: ValidationError) -> str:
    details = _without_branches(error.errors())
    # An unknown key is reported first: it is usually the cause of the other errors (a misspelt required key,
    # for example, also counts as missing).
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
    if first["type"] in _MESSAGES:
        context = first.get("ctx", {})
        message = message.format(
            **{key: exact(value) if isinstance(value, float) else value for key, value in context.items()}
        )
    given = first["input"]
    shown = "" if isinstance(given, dict | BaseModel) else f" (it is {given!r})"
    return f"key '{key}': {message}{shown}{more}" if first["loc"] else f"{message}{more}"


def _without_branches(details: list[Any]) -> list[Any]:
    """Return the errors, with the errors of all members of one union replaced by a single error."""
    branches = [str(detail["loc"][-1]) in _BRANCHES for detail in details if detail["loc"]]
    if len(details) < 2 or len(branches) < len(details) or not all(branches):
        return details
    if len({detail["loc"][:-1] for detail in details}) > 1:
        return details
    return [{**details[0], "loc": details[0]["loc"][:-1]}]


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """Return the names of the fields at `path` below `model`, as far as the annotations state them."""
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
    """Return an annotation without the metadata of `Annotated`."""
    return annotation.__origin__ if _metadata(annotation) else annotation


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _options(annotation: Any) -> tuple[Any, ...]:
    return getattr(_plain(annotation), "__args__", ())
