"""What a figure says of itself, so that everyone else can read it there.

The Snakefile, the checks of the configuration, the claims and the renderer all read declarations. They are
read whenever Snakemake starts, so a module that declares a figure imports Matplotlib by way of `deferred`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dynamical_loss.config.figures import Configuration, Setting

if TYPE_CHECKING:
    import xarray as xr

Inputs = Mapping[str, Sequence["xr.Dataset"]]
"""Role → files of that role, in the order given; most roles have one."""

Options = Mapping[str, Any]
"""A figure's own options, e.g. the zoom of Fig. 4."""

Part = Literal["spiral", "images", "protocols", "flow", "lazy"]
"""Figures of the spiral, of images, of the choices that the paper leaves open, of flows, or of feature and
lazy training: each part is a target of Snakemake."""


@dataclass(frozen=True)
class Role:
    """Files that are shown, or looked at, for one purpose.

    Attributes:
        made_by: the stage that makes them, or several of which one does.
        files: which files of a configuration they are, as paths relative to the folder of results
            (`results.layout`). None: the configuration does not ask for them.
        variables: those that the files must have and that not every result of that stage has.
    """

    made_by: str | Sequence[str]
    files: Callable[[Configuration], Sequence[str]]
    variables: tuple[str, ...] = ()


def _require_nothing(config: Configuration) -> None:
    del config


@dataclass(frozen=True, eq=False, kw_only=True)
class Declaration:
    """A figure; its name is that of its module.

    Attributes:
        part: which part of the study it belongs to.
        inputs: the files that it shows, by role. It is not made where a role has no files.
        options: what `render` is told beside the files, by name, as values that JSON can hold.
        further_options: what the command may tell `render` too, and no configuration does.
        settings: keys that it adds under `figures` in ``config.yaml``; two figures may share one.
        check: raises a ValueError of one line if a study lacks what the figure shows. The studies that
            `settings` name exist.
        evidence: files that claims may look at because this figure is made, by the claims' roles.
        made_from: pairs (result, source) of roles of one file each; the first must have been made from
            the second.
        in_all: whether the target `all` makes it; else only its part does, or whoever names it.
    """

    part: Part
    inputs: Mapping[str, Role]
    options: Mapping[str, Callable[[Configuration], Any]] = field(default_factory=dict)
    further_options: Sequence[str] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    check: Callable[[Configuration], None] = _require_nothing
    evidence: Mapping[str, Role] = field(default_factory=dict)
    made_from: Sequence[tuple[str, str]] = ()
    in_all: bool = True

    def files(self, config: Configuration) -> dict[str, list[str]]:
        """The files that it shows, by role, relative to the folder of results."""
        return {role: list(asked.files(config)) for role, asked in self.inputs.items()}

    def option_values(self, config: Configuration) -> dict[str, Any]:
        """What `render` is told beside the files, by name."""
        return {name: value(config) for name, value in self.options.items()}

    def is_made(self, config: Configuration) -> bool:
        """Whether the configuration asks for it."""
        return all(self.files(config).values())
