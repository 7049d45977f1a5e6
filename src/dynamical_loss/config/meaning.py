"""Settings without their default values, so that a new setting with a default causes no re-runs."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from dynamical_loss.settings import Settings, members

FIRST_DEFAULTS = Path(__file__).with_name("first_defaults.json")
"""File with the first default that each key of the settings ever had, by ``Class.key``.

If the recorded settings of a result lack a key, the key had this value.  `make config` adds new keys to the
file and never changes an existing one.
"""


@functools.cache
def first_defaults() -> dict[str, Any]:
    """Return the content of the file `FIRST_DEFAULTS`."""
    found: dict[str, Any] = json.loads(FIRST_DEFAULTS.read_text(encoding="utf-8"))
    return found


def meaning(settings: Settings) -> dict[str, Any]:
    """Return settings as plain values, without the keys that have their default value.

    A key whose default has changed since its introduction is always written, so that a missing key always
    stands for its first default.

    Args:
        settings: checked settings; validating the returned values with `type(settings)` gives equal settings.
    """
    found: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value, default = getattr(settings, name), _default(field)
        plain = _plain(value)
        usual = _first(default)
        unchanged = first_defaults().get(f"{type(settings).__name__}.{name}", usual) == usual
        is_default = type(value) is type(default) and plain == _plain(default)
        # A group of settings is left out only if all of its own keys are left out.
        nothing = not isinstance(value, Settings) or plain == {}
        if field.is_required() or not (is_default and unchanged and nothing):
            found[name] = plain
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON stores it; groups of settings, also in lists, without their default values."""
    if isinstance(value, Settings):
        return meaning(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return to_jsonable_python(value)


def _first(default: Any) -> Any:
    """Return a default as `FIRST_DEFAULTS` stores it; a group of settings is stored as its class name."""
    return f"<{type(default).__name__}>" if isinstance(default, Settings) else to_jsonable_python(default)


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def defaults(model: type[Settings]) -> dict[str, Any]:
    """Return the present default of every key of a settings class, its base classes and its nested groups."""
    return dict(sorted(_defaults(model, set())))


def _defaults(model: type[Settings], seen: set[type[Settings]]) -> Iterator[tuple[str, Any]]:
    if model in seen:
        return
    seen.add(model)
    # The base classes count too: a training job records only the settings of such a base class of its study.
    for base in model.__mro__[1:]:
        if issubclass(base, Settings) and base is not Settings:
            yield from _defaults(base, seen)
    for name, field in model.model_fields.items():
        for group in members(field.annotation):
            yield from _defaults(group, seen)
        if not field.is_required():
            yield f"{model.__name__}.{name}", _first(_default(field))


def completed(model: type[Settings]) -> str:
    """Return the text for `FIRST_DEFAULTS`, extended by the new keys of `model`."""
    return (
        json.dumps({**defaults(model), **first_defaults()}, indent=1, sort_keys=True, ensure_ascii=False)
        + "\n"
    )
