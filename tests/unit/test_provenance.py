"""Digests: of the modules that a stage really imports, in a package copied and edited for the test."""

import shutil
import subprocess
import sys
import textwrap

import pytest

from dynamical_loss.results import digest
from dynamical_loss.results.digest import code_digest, imported_modules, settings_digest
from dynamical_loss.results.record import git_state

STAGES = "dynamical_loss.stages."


def test_imports_are_those_that_python_makes():
    """What the syntax tree says against what a fresh interpreter has loaded afterwards."""
    for stage in ("prepare_dataset", "train_phase_block", "train_trajectory", "find_instabilities"):
        script = (
            f"import sys, {STAGES}{stage}; print([m for m in sys.modules if m.startswith('dynamical_loss')])"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
        assert set(imported_modules([STAGES + stage])) == set(eval(loaded))


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A copy of the package to edit; returns a function that appends a line to a module of it."""
    package = tmp_path / "src" / "dynamical_loss"
    shutil.copytree(digest.PACKAGE, package)
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "cpu.txt").write_text("jax==1\n")
    monkeypatch.setattr(digest, "PACKAGE", package)
    monkeypatch.setattr(digest, "REPOSITORY", tmp_path)

    def edit(relative):
        digest._imports.cache_clear()
        with (tmp_path / relative).open("a") as stream:
            stream.write("\n# edited\n")

    digest._imports.cache_clear()
    yield edit
    digest._imports.cache_clear()


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("training.py", {"train_phase_block", "train_trajectory"}),
        ("probes/hessian.py", {"probe_spectrum"}),
        ("probes/_neural_tangents.py", {"probe_spectrum"}),
        ("figures/fig4_cascade.py", set()),
        ("figures/style.py", {"render_figure"}),
        ("cli.py", set()),
        ("config/study.py", set()),
        # Training reads datasets, whoever makes them.
        ("datasets/spiral.py", {"prepare_dataset"}),
        ("datasets/cifar10_python.py", {"prepare_dataset"}),
        ("download.py", set()),
        (
            "datasets/normalisation.py",
            {"prepare_dataset", "train_phase_block", "train_trajectory", "probe_spectrum"},
        ),
    ],
)
def test_an_edit_changes_the_digests_of_those_who_import_it(edited, path, changed):
    stages = [
        "prepare_dataset", "train_phase_block", "train_trajectory", "probe_spectrum",
        "find_instabilities", "aggregate_phase", "fit_threshold", "render_figure",
    ]  # fmt: skip
    before = {stage: code_digest(STAGES + stage) for stage in stages}
    edited(f"src/dynamical_loss/{path}")
    after = {stage: code_digest(STAGES + stage) for stage in stages}
    assert {stage for stage in stages if before[stage] != after[stage]} == changed


def test_the_lock_file_counts(edited):
    before = code_digest(STAGES + "prepare_dataset")
    edited("envs/cpu.txt")
    assert code_digest(STAGES + "prepare_dataset") != before


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"no module dynamical_loss\.stages\.nothing"):
        code_digest(STAGES + "nothing")


def test_settings_digest_ignores_order_and_sees_values():
    assert settings_digest({"a": 1, "b": {"c": 2}}) == settings_digest({"b": {"c": 2}, "a": 1})
    assert settings_digest({"a": 1}) != settings_digest({"a": 2})


def test_git_state_follows_the_working_tree(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "REPOSITORY", tmp_path)
    assert git_state() == ("unknown", "unknown")
    script = """
        git init -q . && git config user.email a@b.c && git config user.name a
        echo 1 > file && git add file && git commit -q -m first
    """
    subprocess.run(["sh", "-ec", textwrap.dedent(script)], cwd=tmp_path, check=True)
    commit, state = git_state()
    assert len(commit) == 40 and state == "clean"
    (tmp_path / "file").write_text("2")
    assert git_state() == (commit, "dirty")
