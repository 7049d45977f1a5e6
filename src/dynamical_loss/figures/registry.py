"""All figures by name, and the files of a configuration that they show.

The modules of figures are found by their names, so a new figure needs no entry here.
"""

from __future__ import annotations

import importlib

from dynamical_loss import figures
from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures.declaration import Declaration, Part, Role
from dynamical_loss.figures.names import NAMES

FIGURES: dict[str, Declaration] = {
    name: importlib.import_module(f"{figures.__name__}.{name}").DECLARATION for name in NAMES
}
"""Declaration of each figure by the name of the figure, in alphabetical order."""


def roles_of_claims() -> dict[str, Role]:
    """Return the roles whose files claims may read, by name.

    Raises:
        ValueError: if two figures declare the same role.
    """
    roles: dict[str, Role] = {}
    for name, figure in FIGURES.items():
        twice = roles.keys() & figure.evidence.keys()
        if twice:
            raise ValueError(f"{name}: another figure declares the evidence '{min(twice)}' too")
        roles.update(figure.evidence)
    return roles


def shown(config: Configuration, part: Part | None = None) -> dict[str, dict[str, list[str]]]:
    """Return the files of each figure that is made, by figure and role.

    Args:
        config: the configuration.
        part: part of the study; None: all parts, without the figures that only their part's target makes.

    Returns:
        Paths relative to the folder of results.
    """
    return {
        name: figure.files(config)
        for name, figure in FIGURES.items()
        if _belongs(figure, part) and figure.is_made(config)
    }


def all_shown(config: Configuration) -> dict[str, dict[str, list[str]]]:
    """Return the files of every figure that can be made, by figure and role.

    Unlike `shown`, this includes the figures that only the target of their part makes.
    """
    return {name: figure.files(config) for name, figure in FIGURES.items() if figure.is_made(config)}


def _belongs(figure: Declaration, part: Part | None) -> bool:
    return figure.in_all if part is None else part == figure.part


def evidence(config: Configuration, part: Part | None = None) -> dict[str, list[str]]:
    """Return the files that claims may read, by role.

    Args:
        config: the configuration.
        part: part of the study; None: all parts, without the figures that only their part's target makes.

    Returns:
        Paths relative to the folder of results.
    """
    return {
        role: paths
        for figure in FIGURES.values()
        if _belongs(figure, part)
        for role, asked in figure.evidence.items()
        if (paths := list(asked.files(config)))
    }
