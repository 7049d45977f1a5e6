"""Find the kinds of datasets or networks among which a configuration chooses; each kind is a module."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from dynamical_loss.settings import Settings

Kind = TypeVar("Kind", bound=Settings)


def kinds_in(package: ModuleType, base: type[Kind]) -> tuple[type[Kind], ...]:
    """Return the settings classes of all kinds; every module of `package` defines one kind.

    Args:
        package: the package whose modules are searched; all of them are imported.
        base: base class of the settings class of every kind.

    Returns:
        The default kind first, then the others in the order of their modules' names.

    Raises:
        TypeError: if a module does not define exactly one kind.
    """
    found = []
    for item in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{package.__name__}.{item.name}")
        own = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
        ]
        if len(own) != 1:
            raise TypeError(f"{module.__name__} must define one class of {base.__name__}, not {len(own)}")
        found += own
    return tuple(sorted(found, key=lambda kind: kind.model_fields["kind"].is_required()))
