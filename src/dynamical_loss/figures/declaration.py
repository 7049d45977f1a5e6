"""Declaration of a figure: the files that it shows, its options, its settings and its checks.

The Snakefile, the checks of the configuration, the claims and the renderer all read declarations. They are
read whenever Snakemake starts, and importing Matplotlib would delay the start. A module that declares a
figure therefore imports Matplotlib through `deferred`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dynamical_loss.config.figures import Configuration, Setting

if TYPE_CHECKING:
    import xarray as xr

Inputs = Mapping[str, Sequence["xr.Dataset"]]
"""Files of each role, in the order in which they were given; most roles have one file."""

Options = Mapping[str, Any]
"""Options of one figure by name, e.g. the zoom of Fig. 4."""

Part = Literal["spiral", "images", "protocols", "flow", "lazy"]
"""Part of the study that a figure belongs to: the spiral, images, the choices that the paper leaves open
(``protocols``), flows that approximate gradient descent (``flow``), or feature and lazy training (``lazy``).
Each part is a target of Snakemake."""


@dataclass(frozen=True)
class Role:
    """Result files that a figure draws, or that claims evaluate, for one purpose.

    Attributes:
        made_by: stage that makes the files; if several stages are given, one of them makes the files.
        files: function that returns the paths of the files for a configuration, relative to the folder of
            results (`results.layout`); an empty list if the configuration does not ask for the files.
        variables: variables that the files must have, beyond those that every result of the stage has.
    """

    made_by: str | Sequence[str]
    files: Callable[[Configuration], Sequence[str]]
    variables: tuple[str, ...] = ()


def _require_nothing(config: Configuration) -> None:
    del config


@dataclass(frozen=True, eq=False, kw_only=True)
class Declaration:
    """Declaration of a figure. The name of the figure is the name of its module.

    Attributes:
        part: part of the study that the figure belongs to.
        inputs: files that the figure shows, by role. The figure is not made if a role has no files.
        options: options that the configuration passes to `render`, by name; JSON can represent their values.
        further_options: names of options that only the command passes to `render`, never the configuration.
        settings: keys that the figure adds under `figures` in ``config.yaml``; two figures may share a key.
        check: function that raises a ValueError of one line if a study lacks what the figure shows. When it
            is called, the studies that `settings` name are known to exist.
        evidence: files that claims may read because this figure is made, by the role that the claims use.
        made_from: pairs (result, source) of roles with one file each; the file of the first role must have
            been made from the file of the second.
        in_all: whether the target `all` makes the figure; otherwise only the target of its part makes it,
            or a request for the figure by name.
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
        """Return the files that the figure shows, by role, as paths relative to the folder of results."""
        return {role: list(asked.files(config)) for role, asked in self.inputs.items()}

    def option_values(self, config: Configuration) -> dict[str, Any]:
        """Return the options that the configuration passes to `render`, by name."""
        return {name: value(config) for name, value in self.options.items()}

    def is_made(self, config: Configuration) -> bool:
        """Return whether the configuration asks for the figure: every role then has files."""
        return all(self.files(config).values())
