"""Settings of the figures: each figure declares its own keys, and this module joins them into one group.

This module does not import the figures.  The caller that loads a configuration passes their declarations.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field, create_model

from dynamical_loss.settings import Place, Settings, located


def _normal(folder: str) -> str:
    """Return the name of a folder without ``~``, ``./`` or double slashes, as Snakemake requires.

    Raises:
        ValueError: if Snakemake would read the name as a pattern, or a command would read it as an option.
    """
    if set(folder) & set("{}"):
        raise ValueError("must have no braces, which stand for wildcards in Snakemake; choose another name")
    normal = posixpath.normpath(located(folder).as_posix())
    if normal == "." or normal.startswith("-"):
        raise ValueError("must name a folder, and not begin with '-'; choose another name")
    return normal


Folder = Annotated[Place, AfterValidator(_normal)]


class FigureSettings(Settings):
    """Studies that the figures show."""

    folder: Folder = Field("paper_figures", description="folder to which figures are written")

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the value of a key that a figure declares."""


@dataclass(frozen=True)
class Setting:
    """A key that a figure adds to the group `figures` of the configuration.

    Attributes:
        type: type of the value, as an annotation that pydantic understands.
        default: value if the key is left out.
        description: text of the comment in ``config.yaml``.
        names: group of the configuration in which the value, or each item of a list, must be a key; None if
            the value is not a name.  A value of null is not checked.
    """

    type: Any
    default: Any
    description: str
    names: Literal["datasets", "phase", "trajectories", "threshold", "flows", "lazy"] | None = None


class Configuration(Protocol):
    """The parts of a checked configuration that figures use."""

    @property
    def datasets(self) -> Mapping[str, Any]:
        """Settings of the datasets, by name."""

    @property
    def phase(self) -> Mapping[str, Any]:
        """Phase-diagram studies, by name."""

    @property
    def trajectories(self) -> Mapping[str, Any]:
        """Trajectory studies, by name."""

    @property
    def threshold(self) -> Mapping[str, Any]:
        """Threshold studies, by name."""

    @property
    def flows(self) -> Mapping[str, Any]:
        """Studies of flows along runs, by name."""

    @property
    def lazy(self) -> Mapping[str, Any]:
        """Grids of gradient flows, by name."""

    @property
    def protocols(self) -> Mapping[str, Any]:
        """Protocols, by name."""

    @property
    def figures(self) -> Any:
        """The keys that the figures declare."""


class FigureDeclaration(Protocol):
    """The parts of a figure's declaration that the configuration uses."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Keys under `figures`, by name."""

    @property
    def check(self) -> Callable[[Configuration], None]:
        """Function that raises a ValueError of one line if a study lacks what the figure shows."""


def settings_model(figures: Mapping[str, FigureDeclaration]) -> type[FigureSettings]:
    """Return the settings class with the keys of all figures; two figures may share a key.

    Args:
        figures: declarations of the figures, by name.

    Raises:
        ValueError: if two figures declare one key differently.
    """
    declared: dict[str, Setting] = {}
    for name, figure in figures.items():
        for key, setting in figure.settings.items():
            if declared.setdefault(key, setting) != setting or key in FigureSettings.model_fields:
                raise ValueError(
                    f"{name} declares the key '{key}' differently from another figure; rename the key"
                )
    fields: dict[str, Any] = {
        key: (setting.type, Field(setting.default, description=setting.description))
        for key, setting in declared.items()
    }
    return create_model(
        FigureSettings.__name__, __base__=FigureSettings, __doc__=FigureSettings.__doc__, **fields
    )


def require_figures(config: Configuration, figures: Mapping[str, FigureDeclaration]) -> None:
    """Refuse a configuration whose figures name studies that do not exist or cannot be shown.

    Args:
        config: checked configuration.
        figures: declarations of the figures, by name.

    Raises:
        ValueError: one line that names the key.
    """
    for figure in figures.values():
        for key, setting in figure.settings.items():
            if setting.names is not None:
                value = getattr(config.figures, key)
                for name in value if isinstance(value, list) else [] if value is None else [value]:
                    require_name(name, getattr(config, setting.names), f"figures.{key}", setting.names)
                    if setting.names == "phase" and config.phase[name].has_crossed_draws:
                        raise ValueError(
                            f"figures.{key}: phase.{name} has several draws of its data (noise_seeds), and "
                            "this figure shows a single one; name another study"
                        )
    for figure in figures.values():
        figure.check(config)


def require_name(name: str, known: Mapping[str, Any], where: str, section: str) -> None:
    """Refuse a name that is not a key of a group of the configuration.

    Args:
        name: name to check.
        known: the group, by name.
        where: key that holds the name, for the error.
        section: name of the group, for the error.

    Raises:
        ValueError: one line that contains `where` and the existing names.
    """
    if name not in known:
        raise ValueError(f"{where}: there is no '{name}' under `{section}`; take one of {', '.join(known)}")
