"""All figures by name, and which files of a configuration they show: a new module is found by itself."""

from __future__ import annotations

import importlib

from dynamical_loss import figures
from dynamical_loss.config.figures import Configuration
from dynamical_loss.figures.declaration import Declaration, Part, Role
from dynamical_loss.figures.names import NAMES

FIGURES: dict[str, Declaration] = {
    name: importlib.import_module(f"{figures.__name__}.{name}").DECLARATION for name in NAMES
}
"""Declarations by the name of the figure, in alphabetical order."""


def roles_of_claims() -> dict[str, Role]:
    """The roles that claims may look at.

    Raises:
        ValueError: if two figures declare one role.
    """
    roles: dict[str, Role] = {}
    for name, figure in FIGURES.items():
        twice = roles.keys() & figure.evidence.keys()
        if twice:
            raise ValueError(f"{name}: another figure declares the evidence '{min(twice)}' too")
        roles.update(figure.evidence)
    return roles


def shown(config: Configuration, part: Part | None = None) -> dict[str, dict[str, list[str]]]:
    """The files of each figure that is made, by figure and role, relative to the folder of results.

    Args:
        config: the configuration.
        part: of the study; None: of all parts, without the figures that only their part makes.
    """
    return {
        name: figure.files(config)
        for name, figure in FIGURES.items()
        if _belongs(figure, part) and figure.is_made(config)
    }


def all_shown(config: Configuration) -> dict[str, dict[str, list[str]]]:
    """`shown` of all figures that can be made, also of those that only their part makes."""
    return {name: figure.files(config) for name, figure in FIGURES.items() if figure.is_made(config)}


def _belongs(figure: Declaration, part: Part | None) -> bool:
    return figure.in_all if part is None else part == figure.part


def evidence(config: Configuration, part: Part | None = None) -> dict[str, list[str]]:
    """The files that claims may look at, by role, relative to the folder of results.

    Args:
        config: the configuration.
        part: of the study; None: of all parts, without the figures that only their part makes.
    """
    return {
        role: paths
        for figure in FIGURES.values()
        if _belongs(figure, part)
        for role, asked in figure.evidence.items()
        if (paths := list(asked.files(config)))
    }
