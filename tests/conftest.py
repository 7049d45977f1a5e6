"""What tests share: one thread for XLA, compiled programs, and the project, copied and run by Snakemake."""

import fcntl
import os
import shutil
import signal

import hypothesis
import pytest

from dynamical_loss import environment
from project import COMPILED, LONG, LONG_BLOCK, LONG_TRAJECTORY, Project

# A process that a shell has put into the background ignores SIGINT, and so does all that it starts: the tests
# of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is about time: on a busy machine any of them may take longer than hypothesis expects.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# As in every job of the pipeline: one thread, for sums in one order everywhere, compiled programs kept, and
# no variable that is left over from other work.
os.environ["XDG_CACHE_HOME"] = str(COMPILED)
environment.prepare()


def made_once(factory, name, make):
    """A project that the first worker makes and the others wait for; each has a copy of its own.

    Args:
        factory: pytest's maker of temporary folders.
        name: of the project's folder.
        make: a function that makes the project in a folder.
    """
    common = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent  # each worker has a folder of its own in there
    folder, done = common / f"made-{name}", common / f"{name}.done"
    with (common / f"{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return Project(folder).copy(factory.mktemp(name) / "project")


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """The project without results; not to be changed."""
    return Project.of_repository(tmp_path_factory.mktemp("pristine") / "project")


@pytest.fixture(scope="session")
def finished(pristine, tmp_path_factory):
    """The project with all results of the smoke scale; not to be changed."""

    def make(folder):
        project = pristine.copy(folder)
        status, output = project.run_alone(*project.arguments(options=("--cores", "2")))
        assert status == 0, output

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture(scope="session")
def undisturbed(finished, tmp_path_factory):
    """The long results, made without an accident; not to be changed."""

    def make(folder):
        project = finished.without_results(folder)
        targets = (f"results/smoke/{name}" for name in (LONG_BLOCK, LONG_TRAJECTORY))
        project.snakemake(*targets, overlay=project.overlay(LONG))

    return made_once(tmp_path_factory, "undisturbed", make)


@pytest.fixture(scope="session")
def published(finished, tmp_path_factory):
    """Published results, and the figures that were made of them alone; not to be changed."""

    def make(folder):
        project = finished.copy(folder)
        project.snakemake("publish", "publish_protocols")
        shutil.rmtree(project.folder / "results")
        overlay = project.overlay("{published: true, figures: {folder: paper_figures}}")
        plan = project.plan(overlay=overlay)
        assert set(plan.jobs) == {"render_figure"}  # nothing else runs
        project.snakemake(overlay=overlay)

    return made_once(tmp_path_factory, "published", make)


@pytest.fixture
def ready(finished, tmp_path):
    """A project whose results were removed, to be changed."""
    return finished.without_results(tmp_path / "project")


@pytest.fixture
def empty(pristine, tmp_path):
    """A project without results, to be changed."""
    return pristine.copy(tmp_path / "project")


@pytest.fixture
def project(finished, tmp_path):
    """A project with all results, to be changed."""
    return finished.copy(tmp_path / "project")
