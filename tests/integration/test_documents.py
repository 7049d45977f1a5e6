"""Every command and every example that the documents show."""

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from matplotlib import image

from documents import blocks
from dynamical_loss.config import study as configuration
from dynamical_loss.figures.registry import FIGURES
from overlays import CONFIG, merged, settings
from project import ROOT

NOT_RUN = "# not run by the tests"
ACTIVATION = ". .venv/bin/activate"


def commands():
    """Each command once, with the documents that show it."""
    found = {}
    for document, block in blocks("sh"):
        if block.startswith(NOT_RUN):
            assert len(block.splitlines()[0]) > len(NOT_RUN) + 5, f"{document} gives no reason: {block}"
            continue
        # A backslash at the end of a line joins it to the next one, as in a shell.
        for line in block.replace("\\\n", " ").splitlines():
            words = tuple(shlex.split(line, comments=True))
            if words and line != ACTIVATION:
                found.setdefault(words, document)
    return found


@pytest.fixture(scope="module")
def planned(pristine, tmp_path_factory):
    """A project without results but with the published ones, to plan in."""
    project = pristine.copy(tmp_path_factory.mktemp("documents") / "project")
    (project.folder / "paper_figures").mkdir()
    (project.folder / "paper_figures/data").symlink_to(ROOT / "paper_figures/data")
    return project


def ids(value):
    return " ".join(value) if isinstance(value, tuple) else Path(value).name


@pytest.mark.parametrize(("words", "document"), list(commands().items()), ids=ids)
def test_a_command_that_a_document_shows_works(words, document, planned):
    program, *arguments = words
    if program == ".ci/run":
        assert os.access(ROOT / program, os.X_OK)
        return
    if program == "snakemake":
        # Other tests run the DAG at the smoke scale; here its plan shows that targets and options exist.
        dry = [] if {"-n", "--dry-run"} & set(arguments) else ["-n"]
        status, output = planned.run(program, *dry, *arguments)
    elif program == "make":
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
        status, output = done.returncode, done.stdout + done.stderr
        # An option of Snakemake that takes several values would take a target as one.  A report needs results
        # even in a dry run; `test_report.py` makes one.
        for line in done.stdout.splitlines():
            if line.startswith("snakemake ") and "--report" not in line and status == 0:
                status, output = planned.run(*shlex.split(line), "-n")
    else:
        assert (program, arguments[0]) == ("python", "-m"), f"{document}: say how to test {shlex.join(words)}"
        status, output = planned.run(*arguments[1:])
    assert status == 0, f"{document}: {shlex.join(words)}\n{output}"


@pytest.mark.parametrize(("document", "block"), list(blocks("python")))
def test_an_example_in_python_runs_or_is_a_fragment(document, block, tmp_path):
    ast.parse(block)
    # Whole trainings on digits run in `test_library.py`.
    if block.startswith(("import ", "from ")) and "load_digits" not in block:
        for package in ("torch", "keras"):
            if f"import {package}" in block or f"adapters.{package}" in block:
                pytest.importorskip(package)
        (tmp_path / "paper_figures").symlink_to(ROOT / "paper_figures")
        done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{document}\n{done.stderr}"


@pytest.mark.parametrize(("document", "block"), list(blocks("yaml")))
def test_an_example_of_settings_is_accepted(document, block):
    configuration.load(merged(settings(CONFIG), yaml.safe_load(block)), document, FIGURES).for_data()


@pytest.mark.parametrize("program", sorted((ROOT / "docs/pictures").glob("*.py")), ids=ids)
def test_a_picture_is_what_its_program_draws(program, tmp_path):
    done = subprocess.run([sys.executable, program, tmp_path / "drawn.png"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stored, drawn = (
        image.imread(path) for path in (ROOT / f"docs/{program.stem}.png", tmp_path / "drawn.png")
    )
    assert stored.shape == drawn.shape
    differing = (abs(stored[..., :3] - drawn[..., :3]) > 0.1).mean()
    assert differing < 0.001, f"draw it anew: {program}"


def test_there_are_commands_and_examples_to_test():
    assert len(commands()) > 25
    assert len(list(blocks("python"))) > 3
    assert len(list(blocks("yaml"))) > 3
