"""The project, copied to a folder where sources and results may be edited, and run by Snakemake."""

import atexit
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import xarray as xr
import yaml

from dynamical_loss.results import netcdf

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "src", "envs", "config.yaml", "pyproject.toml")
SMOKE = "workflow/scales/smoke.yaml"

# Programs that JAX has compiled, kept from one run of the tests to the next.
COMPILED = ROOT / ".pytest_cache" / "compiled"

# An overlay of smoke.yaml whose jobs are long enough to be killed in the middle of, and what they make.
LONG = """
phase: {spiral_w100: {steps: 12000000, record_every: 12000}}
trajectories: {cascade: {model: {width: 1000}, steps: 400000, snapshots: {every: 4001, windows: []}}}
figures: {stability: []}
"""
LONG_BLOCK = "phase/spiral_w100/T20_A10_seeds0-1.nc"
LONG_TRAJECTORY = "trajectory/cascade_seed0.nc"


class Server:
    """A process that has imported Snakemake and forks for each run."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("snakemake_server.py")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def run(self, folder, environment, arguments):
        """Run ``python -m snakemake …`` in a folder; returns exit status and all output."""
        with tempfile.NamedTemporaryFile(prefix="snakemake-") as output:
            request = {
                "folder": str(folder),
                "environment": environment,
                "arguments": arguments,
                "output": output.name,
            }
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            return status, Path(output.name).read_text(encoding="utf-8")

    def close(self):
        with self._process:
            self._process.stdin.close()


@functools.cache
def server():
    """The server of this worker, started when it is first needed."""
    return Server()


def environment():
    """This process's environment without what the user, Snakemake or the tests have set for themselves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SNAKEMAKE", "JAX_"))}
    # The user's own caches must not decide a test.  Unfinished work is kept as often as its own rule allows.
    return kept | {"XDG_CACHE_HOME": str(COMPILED), "DYNAMICAL_LOSS_CHECKPOINT_SECONDS": "0"}


class Project:
    """A copy of the project."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def of_repository(cls, folder):
        """A copy of what the repository holds, without results."""
        folder.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc"))
            else:
                shutil.copy2(source, folder / part)
        return cls(folder)

    def copy(self, folder):
        """Everything as it is, with the times that Snakemake compares."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def without_results(self, folder):
        """A copy that has made nothing."""
        project = self.copy(folder)
        for name in ("results", "logs", ".snakemake"):
            shutil.rmtree(project.folder / name)
        return project

    def environment(self):
        return environment() | {"PYTHONPATH": str(self.folder / "src")}

    def run(self, *arguments, **environment):
        """Run ``python -m …`` here, with more in the environment; returns exit status and all output."""
        command, *rest = map(str, arguments)
        if command == "snakemake":
            return server().run(self.folder, self.environment() | environment, rest)
        return self.run_alone(command, *rest, **environment)

    def run_alone(self, *arguments, **environment):
        """The same in a process of its own, also for Snakemake."""
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    @contextmanager
    def started(self, *targets, **selection):
        """Snakemake in the background, as the leader of its own group of processes.

        Whatever it has said so far is in `output`; at the end of the block it is killed if it still runs.
        """
        selection.setdefault("options", ("--cores", "1"))
        with self._output.open("w", encoding="utf-8") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", *self.arguments(*targets, **selection)],
                cwd=self.folder,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with running:
            try:
                yield running
            finally:
                if running.poll() is None:
                    os.killpg(running.pid, signal.SIGKILL)

    @property
    def _output(self):
        return self.folder / "output.txt"

    @property
    def output(self):
        """What the Snakemake that was started last has said."""
        return self._output.read_text(encoding="utf-8")

    @staticmethod
    def arguments(*targets, overlay=None, config=(SMOKE,), options=()):
        """Snakemake's arguments: targets first, because --configfile takes all that follows."""
        files = [*config, *([overlay] if overlay else [])]
        return ["snakemake", *targets, *options, *(["--configfile", *files] if files else [])]

    def snakemake(self, *targets, **selection):
        """Make `targets`, or everything; returns the output."""
        selection.setdefault("options", ("--cores", "2"))
        status, output = self.run(*self.arguments(*targets, **selection))
        assert status == 0, output
        return output

    def plan(self, *targets, **selection):
        """What a dry run would do."""
        return Plan(self.snakemake(*targets, **selection, options=("--dry-run",)))

    def overlay(self, text):
        """A file with settings, to be laid over those of the smoke scale."""
        path = self.folder / "overlay.yaml"
        path.write_text(text, encoding="utf-8")
        return path.name

    def edit(self, module):
        """Change what a module of the package does, as far as a digest can tell."""
        with (self.folder / "src" / "dynamical_loss" / module).open("a", encoding="utf-8") as stream:
            stream.write("\nEDITED = True\n")

    def settings(self, name):
        return yaml.safe_load((self.folder / name).read_text(encoding="utf-8"))

    def write(self, name, settings):
        """Replace a file of settings."""
        (self.folder / name).write_text(yaml.safe_dump(settings), encoding="utf-8")

    def checkpoint(self, name):
        """Where the unfinished work of a result is kept."""
        path = self.result(name)
        return path.with_name(f".{path.stem}.checkpoint.nc")

    def result(self, name):
        return self.folder / "results" / "smoke" / name


class Plan:
    """Jobs of a dry run.

    Attributes:
        jobs: number of jobs, by rule; `all` is left out.
        messages: what the jobs would say, e.g. ``Rendering fig4_cascade``.
    """

    def __init__(self, output):
        table = re.search(r"^Job stats:\n(.+?)^total +(\d+)$", output, re.DOTALL | re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in output, output
        rows = re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE) if table else []
        self.jobs = {rule: int(count) for rule, count in rows if rule != "all"}
        self.messages = sorted(re.findall(r"^Job \d+: (.+)$", output, re.MULTILINE))

    def starting(self, verb):
        """What follows a verb in the messages, e.g. the figures that are rendered."""
        return {text.removeprefix(verb + " ") for text in self.messages if text.startswith(verb + " ")}


def numbers(path):
    """A result without its provenance, which holds times."""
    return netcdf.read(path).drop_attrs(deep=False)


def assert_same(found, expected):
    """Equal in every bit, name and attribute."""
    xr.testing.assert_identical(found, expected)
    for name, variable in expected.variables.items():
        assert found[name].dtype == variable.dtype
