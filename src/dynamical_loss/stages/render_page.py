"""Make one page of the explorer from stored results, or the list of all pages."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.config import code
from dynamical_loss.errors import ResultError, UserError
from dynamical_loss.explorer import index
from dynamical_loss.explorer.registry import KINDS
from dynamical_loss.pages import page
from dynamical_loss.pages.page import Page, Section
from dynamical_loss.remedies import in_words
from dynamical_loss.results import roles, sidecars
from dynamical_loss.results.files import atomic_path
from dynamical_loss.results.record import Provenance

_SUMMARY = "summary"
"""Key of a page's sidecar that holds the first paragraph of the page."""


def run(name: str, inputs: Mapping[str, Sequence[Path]], options: Mapping[str, Any], output: Path) -> None:
    """Write the page and a sidecar with its provenance.

    A page whose file is damaged names the file and the remedy, and shows nothing else.

    Args:
        name: kind and name of the page, e.g. ``phase/spiral_w100``.
        inputs: files by role; the module of the kind declares the roles.
        options: options of the page, see `render` of its module.
        output: HTML file to write.

    Raises:
        UserError: if there is no such kind of page, or the files cannot be meant, see `roles.read`.
    """
    kind, _, own = name.partition("/")
    if kind not in KINDS or not own:
        raise UserError(f"there is no page '{name}'; name one of {', '.join(f'{one}/…' for one in KINDS)}")
    module = importlib.import_module(f"dynamical_loss.explorer.{kind}")
    record = Provenance(code.page(kind), {"page": name, "options": options}, [], "float64")
    try:
        files = roles.read(f"page {name}", module.ROLES, inputs, module.MADE_FROM, record.inputs)
        made: Page = module.render(files, own, options)
    except ResultError as error:
        made = Page(
            title=f"Not shown: {name}",
            lead=["A file of this page cannot be used, so the page shows nothing of it."],
            sections=[Section(text=[in_words(error)])],
            links=[index.LINK],
        )
    _write(made, record, output)


def run_index(scale: str, pages: Sequence[Path], missing: Mapping[str, str], output: Path) -> None:
    """Write the list of all pages, and a sidecar.

    Args:
        scale: what is shown, in words.
        pages: pages that exist, ``<kind>/<name>.html`` below the folder of `output`.
        missing: command that makes each page whose results are missing, by kind and name.
        output: HTML file to write.

    Raises:
        UserError: if a page or its sidecar is missing or damaged.
    """
    made = {
        path.relative_to(output.parent).with_suffix("").as_posix(): str(
            sidecars.read(sidecars.beside(path)).get(_SUMMARY, "")
        )
        for path in pages
    }
    record = Provenance(code.page("index"), {"made": made, "missing": missing}, [], "float64")
    _write(index.render(scale, made, missing), record, output)


def _write(made: Page, record: Provenance, output: Path) -> None:
    text = page.html(made)
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    attributes = {**record.attributes(output.parent), _SUMMARY: made.lead[0]}
    sidecars.write([output], attributes, record.inputs.paths)
