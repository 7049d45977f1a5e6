"""Kinds of a thing that a configuration chooses between: each is a module, found by listing its package."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from dynamical_loss.settings import Settings

Kind = TypeVar("Kind", bound=Settings)


def kinds_in(package: ModuleType, base: type[Kind]) -> tuple[type[Kind], ...]:
    """The settings classes of all kinds, one a module of `package`: a new module is a new kind.

    Args:
        package: the package whose modules are looked through; what they import is imported.
        base: what the class of every kind derives from.

    Returns:
        The kind that is meant where none is named first, then by the names of the modules.

    Raises:
        TypeError: if a module defines no kind, or several.
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
