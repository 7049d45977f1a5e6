"""Render one figure from stored results.

The figure's own module is found by its name rather than imported, so that editing one figure
re-renders that one alone; its digest is part of the rule's.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from dynamical_loss import store
from dynamical_loss.errors import UserError
from dynamical_loss.figures import style


def run(
    name: str, inputs: Mapping[str, Sequence[Path]], options: Mapping[str, Any], outputs: Sequence[Path]
) -> None:
    """Render the figure `name` to each of `outputs`.

    Raises:
        UserError: if there is no such figure, an input cannot be read or a role is missing.
    """
    try:
        module = importlib.import_module(f"dynamical_loss.figures.{name}")
        roles = module.ROLES
    except (ImportError, AttributeError):
        raise UserError(f"there is no figure '{name}'; see the table of figures in the README") from None
    missing = [role for role in roles if not inputs.get(role)]
    if missing:
        raise UserError(f"figure {name} needs --input {missing[0]}=FILE")
    datasets = {role: [store.read(path) for path in paths] for role, paths in inputs.items()}
    matplotlib.use("agg")
    with style.style():
        figure = module.render(datasets, options)
        style.save(figure, outputs)
