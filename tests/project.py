"""Copies of the project, in which tests edit sources and results, and which Snakemake runs."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from dynamical_loss.results import netcdf

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "src", "envs", "config.yaml", "pyproject.toml")
SMOKE = "workflow/scales/smoke.yaml"

# Folder of the programs that JAX has compiled; it is kept from one run of the tests to the next.
COMPILED = ROOT / ".pytest_cache" / "compiled"

# Holds an interpreter whose modules run in forks of a server.
FORKS = Path(__file__).parent / "bin"

# An overlay of smoke.yaml with jobs so long that tests can kill them before their end; and their results.
LONG = """
phase: {spiral_w100: {steps: 12000000, record_every: 12000}}
trajectories: {cascade: {model: {width: 1000}, steps: 400000, snapshots: {every: 4001, windows: []}}}
figures: {stability: []}
"""
LONG_BLOCK = "phase/spiral_w100/T20_A10_seeds0-1.nc"
LONG_TRAJECTORY = "trajectory/cascade_seed0.nc"


@functools.cache
def fork_server() -> Path:
    """Start the server of this process at the first call, and return the path of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="fork-")  # pytest's folders have paths too long for a socket
    path = Path(folder.name) / "socket"
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("fork_server.py"), path], stdin=subprocess.PIPE
    )

    def close() -> None:
        with process:
            assert process.stdin is not None  # it is a pipe
            process.stdin.close()
        folder.cleanup()

    atexit.register(close)
    while not path.exists():
        assert process.poll() is None, "the server ended at its start"
        time.sleep(0.05)
    return path


def environment() -> dict[str, str]:
    """Return this process's environment, without the variables of Snakemake and JAX and with own caches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SNAKEMAKE", "JAX_"))}
    # The user's caches must not decide a test.  A job writes checkpoints as often as its own rule allows.
    return kept | {"XDG_CACHE_HOME": str(COMPILED), "DYNAMICAL_LOSS_CHECKPOINT_SECONDS": "0"}


class Project:
    """A copy of the project.

    Args:
        folder: folder of the copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_repository(cls, folder: Path) -> Project:
        """Copy the files of the repository, without results, to a new folder."""
        folder.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc"))
            else:
                shutil.copy2(source, folder / part)
        return cls(folder)

    def copy(self, folder: Path) -> Project:
        """Copy all files to a new folder, with the times that Snakemake compares."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def without_results(self, folder: Path) -> Project:
        """Copy the files to a new folder, without results, logs and the metadata of Snakemake."""
        project = self.copy(folder)
        for name in ("results", "logs", ".snakemake"):
            shutil.rmtree(project.folder / name)
        return project

    def environment(self) -> dict[str, str]:
        """Return the environment of commands in this copy."""
        return environment() | {"PYTHONPATH": str(self.folder / "src")}

    def run(self, *arguments: str | Path, **environment: str) -> tuple[int, str]:
        """Run ``python -m …`` in this copy, with further variables; return exit status and all output.

        It runs in a fork of the server, and so do the jobs that it starts.
        """
        path = os.pathsep.join([str(FORKS), os.environ["PATH"]])
        return self._run(
            FORKS / "python", *arguments, FORK_SERVER=str(fork_server()), PATH=path, **environment
        )

    def run_alone(self, *arguments: str | Path, **environment: str) -> tuple[int, str]:
        """Run ``python -m …`` as `run` does, but in a new process, and so are its jobs."""
        return self._run(Path(sys.executable), *arguments, **environment)

    def _run(self, interpreter: Path, *arguments: str | Path, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [interpreter, "-m", *arguments],
            cwd=self.folder,
            env=self.environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    @contextmanager
    def started(self, *targets: str, **selection: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run Snakemake in the background, as the leader of its own group of processes.

        `output` is its output so far.  If Snakemake still runs at the end of the block, it is killed.
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
    def _output(self) -> Path:
        return self.folder / "output.txt"

    @property
    def output(self) -> str:
        """Output of the Snakemake that `started` has started most recently."""
        return self._output.read_text(encoding="utf-8")

    @staticmethod
    def arguments(
        *targets: str,
        overlay: str | None = None,
        config: Sequence[str] = (SMOKE,),
        options: Sequence[str] = (),
    ) -> list[str]:
        """Return Snakemake's arguments; targets come first, because --configfile takes all words after it."""
        files = [*config, *([overlay] if overlay else [])]
        return ["snakemake", *targets, *options, *(["--configfile", *files] if files else [])]

    def snakemake(self, *targets: str, **selection: Any) -> str:
        """Make `targets`, or everything if there are none; verify success and return the output."""
        selection.setdefault("options", ("--cores", "2"))
        status, output = self.run(*self.arguments(*targets, **selection))
        assert status == 0, output
        return output

    def plan(self, *targets: str, **selection: Any) -> Plan:
        """Return the plan of a dry run."""
        return Plan(self.snakemake(*targets, **selection, options=("--dry-run",)))

    def overlay(self, text: str) -> str:
        """Write settings that override those of the smoke scale to a file, and return its name."""
        path = self.folder / "overlay.yaml"
        path.write_text(text, encoding="utf-8")
        return path.name

    def edit(self, module: str) -> None:
        """Append a statement to a module of the package, so that its digest changes."""
        with (self.folder / "src" / "dynamical_loss" / module).open("a", encoding="utf-8") as stream:
            stream.write("\nEDITED = True\n")

    def settings(self, name: str) -> Any:
        """Read a file of settings."""
        return yaml.safe_load((self.folder / name).read_text(encoding="utf-8"))

    def write(self, name: str, settings: Any) -> None:
        """Replace a file of settings."""
        (self.folder / name).write_text(yaml.safe_dump(settings), encoding="utf-8")

    def checkpoint(self, name: str) -> Path:
        """Return the path of the checkpoint of an unfinished result."""
        path = self.result(name)
        return path.with_name(f".{path.stem}.checkpoint.nc")

    def result(self, name: str) -> Path:
        """Return the path of a result of the smoke scale."""
        return self.folder / "results" / "smoke" / name


class Plan:
    """Jobs of a dry run.

    Args:
        output: output of Snakemake.

    Attributes:
        jobs: number of jobs by rule, without the rule `all`.
        messages: messages of the jobs, sorted, e.g. ``Rendering fig4_cascade``.
    """

    def __init__(self, output: str) -> None:
        table = re.search(r"^Job stats:\n(.+?)^total +(\d+)$", output, re.DOTALL | re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in output, output
        rows = re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE) if table else []
        self.jobs = {rule: int(count) for rule, count in rows if rule != "all"}
        self.messages: list[str] = sorted(re.findall(r"^Job \d+: (.+)$", output, re.MULTILINE))

    def starting(self, verb: str) -> set[str]:
        """Return the rest of all messages that start with a verb, e.g. the figures that are rendered."""
        return {text.removeprefix(verb + " ") for text in self.messages if text.startswith(verb + " ")}


def numbers(path: Path) -> xr.Dataset:
    """Read a result without its provenance, which contains times."""
    return netcdf.read(path).drop_attrs(deep=False)


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    """Verify that two results are equal in every bit, name and attribute."""
    xr.testing.assert_identical(found, expected)
    for name, variable in expected.variables.items():
        assert found[name].dtype == variable.dtype
