"""Names of the figures, found without importing their modules."""

from __future__ import annotations

import pkgutil

from dynamical_loss import figures

NAMES = tuple(
    module.name for module in pkgutil.iter_modules(figures.__path__) if module.name.startswith("fig")
)
"""Names of the modules of figures, in alphabetical order."""
