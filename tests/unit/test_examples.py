"""Examples in docstrings give what they show."""

import doctest
import importlib

import pytest

from dynamical_loss.results import digest


def modules():
    """Names of the modules whose docstrings hold an example."""
    for path in sorted(digest.PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(digest.PACKAGE.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules()))
def test_an_example_in_a_docstring_gives_what_it_shows(name):
    framework = name.removeprefix("dynamical_loss.adapters.")
    if framework != name:
        pytest.importorskip(framework, reason=f"{framework} is not installed")
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_there_are_examples():
    assert len(list(modules())) > 8
