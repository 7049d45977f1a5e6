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

    A key whose default has been another one once is always written: what is left out means the same for ever.

    Args:
        settings: checked settings; `type(settings)` makes the same of what is returned.
    """
    found: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        default = _default(field)
        if isinstance(value, Settings):
            inside = meaning(value)
            if inside or type(default) is not type(value) or meaning(default):
                found[name] = inside
            continue
        plain = to_jsonable_python(value)
        usual = to_jsonable_python(default)
        first = first_defaults().get(f"{type(settings).__name__}.{name}", usual)
        if field.is_required() or plain != usual or first != usual:
            found[name] = plain
    return found


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def defaults(model: type[Settings]) -> dict[str, Any]:
    """The present default of every key of a settings class and of all groups in it, by ``Class.key``."""
    return dict(sorted(_defaults(model, set())))


def _defaults(model: type[Settings], seen: set[type[Settings]]) -> Iterator[tuple[str, Any]]:
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        groups = members(field.annotation)
        for group in groups:
            yield from _defaults(group, seen)
        if not field.is_required() and not isinstance(_default(field), Settings):
            yield f"{model.__name__}.{name}", to_jsonable_python(_default(field))


def completed(model: type[Settings]) -> str:
    """`FIRST_DEFAULTS` as text, with the keys of `model` that are new."""
    return (
        json.dumps({**defaults(model), **first_defaults()}, indent=1, sort_keys=True, ensure_ascii=False)
        + "\n"
    )
