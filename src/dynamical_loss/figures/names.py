"""Which figures there are, known without importing them."""

from __future__ import annotations

import pkgutil

from dynamical_loss import figures

NAMES = tuple(
    module.name for module in pkgutil.iter_modules(figures.__path__) if module.name.startswith("fig")
)
"""In alphabetical order."""
