"""Render one figure from stored results.

The figure's own module is found by its name rather than imported, so that editing one figure
re-renders that one alone; its digest is part of the rule's. What the environment or a file of the user's
asks of matplotlib does not count: `style` imports and sets it.
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
from dynamical_loss.results import sidecars
from dynamical_loss.results.record import Provenance


def run(
    name: str, inputs: Mapping[str, Sequence[Path]], options: Mapping[str, Any], outputs: Sequence[Path]
) -> None:
    """Render the figure `name` to each of `outputs`, and write where it came from beside them.

    Raises:
        UserError: if there is no such figure, it does not know an option, a role is missing, a file of it
            cannot be read or is a result of another stage than the figure shows, or if files do not belong
            together.
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
    roles = declaration.inputs
    missing = [role for role in roles if not inputs.get(role)]
    if missing:
        raise UserError(f"figure {name} needs --input {missing[0]}=FILE")
    unknown = [role for role in inputs if role not in roles]
    if unknown:
        raise UserError(f"figure {name} shows no --input {unknown[0]}=…; the roles are {', '.join(roles)}")
    record = Provenance(code.figure(name), {"figure": name, "options": options}, [], "float64")
    datasets = {
        role: [record.inputs.read(path, asked.variables, asked.made_by) for path in inputs[role]]
        for role, asked in roles.items()
    }
    for result, origin in declaration.made_from:
        record.inputs.require_made_from(inputs[result][0], inputs[origin][0])
    with style.style():
        figure = module.render(datasets, options)
        style.save(figure, outputs)
    for folder in {output.parent for output in outputs}:
        own = [output for output in outputs if output.parent == folder]
        sidecars.write(own, record.attributes(folder), record.inputs.paths)
