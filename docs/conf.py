"""Settings of the documentation's builder, Sphinx: ``make docs`` builds the site and fails on any warning."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from dynamical_loss import __version__  # noqa: E402

project = "Dynamical loss functions"
author = "The dynamical-loss maintainers"
copyright = f"2026, {author}"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]

myst_heading_anchors = 3
# Mermaid diagrams are drawn by the hosts of repositories; an offline page shows their text.
suppress_warnings = ["misc.highlighting_failure", "ref.python"]

apidoc_modules = [
    {
        "path": "../src/dynamical_loss",
        "destination": "api",
        "separate_modules": False,
        "module_first": True,
        "max_depth": 1,
        # Each draws one figure, by the same two names; docs/how-to.md shows how.
        "exclude_patterns": ["../src/dynamical_loss/figures/fig[0-9A-Z]*.py"],
    }
]
# The reference of an adapter can be written without its framework.
os.environ.setdefault("KERAS_BACKEND", "jax")
autodoc_mock_imports = [name for name in ("torch", "keras") if importlib.util.find_spec(name) is None]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# The signature of a class states the types of its fields.
napoleon_attr_annotations = False
default_role = "code"

html_theme = "furo"
html_title = "Dynamical loss functions"
html_show_sphinx = False
html_copy_source = False

_CODE = re.compile(r"``.+?``|`[^`]+`", re.DOTALL)
_MARKUP = re.compile(r"[|*]|(?<=\w)_(?=\W|$)")


def _escaped(text: str) -> str:
    """Escape what reStructuredText would take for markup: |λ|, *, and names that end in an underscore."""
    found, end = [], 0
    for code in _CODE.finditer(text):
        found += [_MARKUP.sub(r"\\\g<0>", text[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*found, _MARKUP.sub(r"\\\g<0>", text[end:])])


def _escape_docstring(app, what, name, obj, options, lines):
    """Docstrings are plain text with code in backticks; bars and asterisks in them are mathematics."""
    lines[:] = _escaped("\n".join(lines)).split("\n")


def setup(app):
    """Connect the hook, before napoleon reads the sections of a docstring."""
    app.connect("autodoc-process-docstring", _escape_docstring, priority=400)
