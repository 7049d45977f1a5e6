"""What tests share: one thread for XLA, and the project, copied and run by Snakemake."""

import os
import signal

import pytest

from project import LONG, LONG_BLOCK, LONG_TRAJECTORY, Project

# A process that a shell has put into the background ignores SIGINT, and so does all that it starts: the tests
# of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# As in every job of the pipeline: sums then run in one order everywhere.
os.environ.setdefault("PJRT_NPROC", "1")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """The project without results; not to be changed."""
    return Project.of_repository(tmp_path_factory.mktemp("pristine") / "project")


@pytest.fixture(scope="session")
def finished(pristine, tmp_path_factory):
    """The project with all results of the smoke scale; not to be changed."""
    project = pristine.copy(tmp_path_factory.mktemp("finished") / "project")
    project.snakemake()
    return project


@pytest.fixture(scope="session")
def undisturbed(finished, tmp_path_factory):
    """The long results, made without an accident; not to be changed."""
    project = finished.without_results(tmp_path_factory.mktemp("undisturbed") / "project")
    targets = (f"results/smoke/{name}" for name in (LONG_BLOCK, LONG_TRAJECTORY))
    project.snakemake(*targets, overlay=project.overlay(LONG))
    return project


@pytest.fixture
def ready(finished, tmp_path):
    """A project without results, but with compiled programs, to be changed."""
    return finished.without_results(tmp_path / "project")


@pytest.fixture
def empty(pristine, tmp_path):
    """A project without results, to be changed."""
    return pristine.copy(tmp_path / "project")


@pytest.fixture
def project(finished, tmp_path):
    """A project with all results, to be changed."""
    return finished.copy(tmp_path / "project")
