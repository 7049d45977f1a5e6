"""Fixtures of all tests: one thread for XLA, compiled programs, and copies of the project for Snakemake."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from dynamical_loss import environment
from project import COMPILED, LONG, LONG_BLOCK, LONG_TRAJECTORY, Project

# A process that a shell has started in the background ignores SIGINT, and so do its child processes: the
# tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is about time, and on a busy machine a test may take longer than hypothesis allows.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# The environment is that of every job of the pipeline: one thread, so that sums have the same order on every
# machine; compiled programs are kept; and variables from other work are removed.
os.environ["XDG_CACHE_HOME"] = str(COMPILED)
environment.prepare()
# Keras asks for TensorFlow otherwise, and writes its settings into the home folder.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND", "jax")
os.environ["KERAS_HOME"] = str(COMPILED / "keras")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Project:
    """Return a copy of a project that the first worker of pytest makes and the other workers wait for.

    The variable SHARED_STUDIES names a folder that several runs of pytest share: the others take what the
    first has made, or wait for it.  Name a new folder, because nothing compares the studies with the code.

    Args:
        factory: pytest's factory of temporary folders.
        name: name of the project's folder.
        make: function that makes the project in a folder.
    """
    common = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent  # each worker has its own folder in this one
    if "SHARED_STUDIES" in os.environ:
        common = Path(os.environ["SHARED_STUDIES"])
    folder, done = common / f"made-{name}", common / f"{name}.done"
    with (common / f"{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return Project(folder).copy(factory.mktemp(name) / "project")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project without results; tests must not change it."""
    return Project.of_repository(tmp_path_factory.mktemp("pristine") / "project")


@pytest.fixture(scope="session")
def finished(pristine: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with all results of the smoke scale; tests must not change it."""

    def make(folder: Path) -> None:
        project = pristine.copy(folder)
        status, output = project.run(*project.arguments(options=("--cores", "2")))
        assert status == 0, output

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture(scope="session")
def undisturbed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The long results, made without an interruption; tests must not change it."""

    def make(folder: Path) -> None:
        project = finished.without_results(folder)
        targets = (f"results/smoke/{name}" for name in (LONG_BLOCK, LONG_TRAJECTORY))
        project.snakemake(*targets, overlay=project.overlay(LONG))

    return made_once(tmp_path_factory, "undisturbed", make)


@pytest.fixture(scope="session")
def published(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Published results, and figures made only from them; tests must not change it."""

    def make(folder: Path) -> None:
        project = finished.copy(folder)
        project.snakemake("publish", "publish_protocols")
        shutil.rmtree(project.folder / "results")
        overlay = project.overlay("{published: true, figures: {folder: paper_figures}}")
        plan = project.plan(overlay=overlay)
        assert set(plan.jobs) == {"render_figure"}  # no other job runs
        project.snakemake(overlay=overlay)

    return made_once(tmp_path_factory, "published", make)


@pytest.fixture
def ready(finished: Project, tmp_path: Path) -> Project:
    """A project whose results were removed; a test may change it."""
    return finished.without_results(tmp_path / "project")


@pytest.fixture
def empty(pristine: Project, tmp_path: Path) -> Project:
    """A project without results; a test may change it."""
    return pristine.copy(tmp_path / "project")


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A project with all results; a test may change it."""
    return finished.copy(tmp_path / "project")
