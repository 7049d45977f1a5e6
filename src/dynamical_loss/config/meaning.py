"""Settings without their defaults, so that a new option with a default makes no result anew."""

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
"""The default that each key of the settings had first, by ``Class.key``.

A key that a trigger leaves out means this value.  `make config` adds keys that are new and never changes one
that is there.
"""


@functools.cache
def first_defaults() -> dict[str, Any]:
    """What `FIRST_DEFAULTS` holds."""
    found: dict[str, Any] = json.loads(FIRST_DEFAULTS.read_text(encoding="utf-8"))
    return found


def meaning(settings: Settings) -> dict[str, Any]:
    """Settings as plain values, without the keys that have their default.

    A key whose default has been another one once is always written, so that a missing key always stands for
    the default that it had first.

    Args:
        settings: checked settings; `type(settings)` makes the same of what is returned.
    """
    found: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value, default = getattr(settings, name), _default(field)
        plain = _plain(value)
        usual = _first(default)
        unchanged = first_defaults().get(f"{type(settings).__name__}.{name}", usual) == usual
        is_default = type(value) is type(default) and plain == _plain(default)
        # A group with a default of its own kind is left out only where that default has no keys either.
        nothing = not isinstance(value, Settings) or plain == {}
        if field.is_required() or not (is_default and unchanged and nothing):
            found[name] = plain
    return found


def _plain(value: Any) -> Any:
    """A value as JSON holds it; of groups of settings, in lists too, what differs from defaults."""
    if isinstance(value, Settings):
        return meaning(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return to_jsonable_python(value)


def _first(default: Any) -> Any:
    """What `FIRST_DEFAULTS` holds of a default: of a group of settings which one it is."""
    return f"<{type(default).__name__}>" if isinstance(default, Settings) else to_jsonable_python(default)


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def defaults(model: type[Settings]) -> dict[str, Any]:
    """The present default of every key of a settings class, of its bases and of all groups in it."""
    return dict(sorted(_defaults(model, set())))


def _defaults(model: type[Settings], seen: set[type[Settings]]) -> Iterator[tuple[str, Any]]:
    if model in seen:
        return
    seen.add(model)
    # A study's trigger holds the settings of training alone, which are one of its bases.
    for base in model.__mro__[1:]:
        if issubclass(base, Settings) and base is not Settings:
            yield from _defaults(base, seen)
    for name, field in model.model_fields.items():
        for group in members(field.annotation):
            yield from _defaults(group, seen)
        if not field.is_required():
            yield f"{model.__name__}.{name}", _first(_default(field))


def completed(model: type[Settings]) -> str:
    """`FIRST_DEFAULTS` as text, with the keys of `model` that are new."""
    return (
        json.dumps({**defaults(model), **first_defaults()}, indent=1, sort_keys=True, ensure_ascii=False)
        + "\n"
    )
