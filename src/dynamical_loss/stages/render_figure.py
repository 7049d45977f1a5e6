"""Render one figure from stored results.

The module of the figure is looked up by name instead of imported here, so that an edit of one figure
re-renders that figure only.  The digest of the rule covers the module.  Settings of matplotlib in the
environment or in a user's files have no effect, because `style` imports and configures matplotlib.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.config import code
from dynamical_loss.errors import UserError
from dynamical_loss.figures import style
from dynamical_loss.figures.declaration import Declaration
from dynamical_loss.figures.names import NAMES
from dynamical_loss.results import roles, sidecars
from dynamical_loss.results.record import Provenance
from dynamical_loss.results.roles import Wanted


def run(
    name: str, inputs: Mapping[str, Sequence[Path]], options: Mapping[str, Any], outputs: Sequence[Path]
) -> None:
    """Render the figure `name` to each of `outputs`, and write the provenance to sidecars.

    Args:
        name: name of the figure.
        inputs: files by role; the figure declares its roles.
        options: options of the figure, by name.
        outputs: files to write, with the suffix ``.pdf`` or ``.png``.

    Raises:
        UserError: if the figure, an option or a role is unknown; if a role is missing; if an input cannot be
            read or is a result of another stage than its role asks for; or if the inputs were not made from
            one another as the figure requires.
    """
    wrong = [path for path in outputs if path.suffix not in (".pdf", ".png")]
    if wrong:
        raise UserError(f"--output {wrong[0]}: give it the suffix .pdf or .png")
    if name not in NAMES:
        raise UserError(f"there is no figure '{name}'; the figures are {', '.join(NAMES)}")
    module = importlib.import_module(f"dynamical_loss.figures.{name}")
    declaration: Declaration = module.DECLARATION
    known = [*declaration.options, *declaration.further_options]
    strange = [option for option in options if option not in known]
    if strange:
        raise UserError(
            f"figure {name} knows no --option {strange[0]}; it takes {', '.join(known) or 'none'}"
        )
    record = Provenance(code.figure(name), {"figure": name, "options": options}, [], "float64")
    wanted = {role: Wanted(asked.made_by, asked.variables) for role, asked in declaration.inputs.items()}
    datasets = roles.read(f"figure {name}", wanted, inputs, declaration.made_from, record.inputs)
    with style.style():
        figure = module.render(datasets, options)
        style.save(figure, outputs)
    for folder in {output.parent for output in outputs}:
        own = [output for output in outputs if output.parent == folder]
        sidecars.write(own, record.attributes(folder), record.inputs.paths)
