"""Compiled programs that are kept between jobs: they are found again, and numbers never change.

A damaged program does no harm.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from dynamical_loss import cli, program_cache
from project import assert_same, numbers

SETTINGS = '{"steps": 40, "period": 10, "model": {"width": 5}, "snapshots": {"every": 11}}'


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a dataset and a trajectory."""
    folder = tmp_path_factory.mktemp("data")
    dataset = str(folder / "d.nc")
    cli.main(["prepare-dataset", "--output", dataset, "--settings", '{"points_per_class": 7}'])
    cli.main(["train-trajectory", "--dataset", dataset, "--output", str(folder / "t.nc"),
              "--settings", SETTINGS])  # fmt: skip
    return folder


class Jobs:
    """Jobs that train with numba's program and probe with JAX's programs, and share one folder for caches."""

    def __init__(self, data, folder):
        self.data, self.folder, self.count = data, folder, 0

    def start(self, command):
        self.count += 1
        output = self.folder / f"{self.count}.nc"
        given = {
            "train-trajectory": ["--settings", SETTINGS],
            "probe-spectrum": ["--trajectory", self.data / "t.nc", "--settings", '{"hessian": {"order": 8}}'],
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
        running = subprocess.Popen(
            [sys.executable, "-m", "dynamical_loss", command, "--dataset", self.data / "d.nc",
             "--output", output, *given[command]],
            env=environment | {"XDG_CACHE_HOME": str(self.folder / "cache")},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        return running, output

    def end(self, started):
        running, output = started
        _, errors = running.communicate()
        assert running.returncode == 0, errors
        assert not re.search("error|warning", errors, re.IGNORECASE), errors
        return numbers(output)

    def run(self, command):
        """Run a job, verify that it reports no error or warning, and return its numbers."""
        return self.end(self.start(command))

    def programs(self, compiler):
        pattern = {"jax": "jax-*/*-cache", "numba": "numba-*/*"}[compiler]
        return sorted((self.folder / "cache" / "dynamical-loss").glob(pattern))


@pytest.fixture
def jobs(data, tmp_path):
    return Jobs(data, tmp_path)


def flipped(content):
    """Return the content with one bit flipped in each of 40 places."""
    damaged = bytearray(content)
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        damaged[place] ^= 1
    return bytes(damaged)


DAMAGES = (flipped, lambda content: content[:100], lambda _: b"", lambda _: b"no program" * 100)


@pytest.mark.parametrize(
    ("command", "compiler"),
    [
        pytest.param("probe-spectrum", "jax", marks=pytest.mark.long),
        ("train-trajectory", "numba"),
    ],
)
def test_a_kept_program_gives_the_same_numbers_and_a_damaged_one_is_replaced(jobs, command, compiler):
    first = jobs.run(command)
    programs = jobs.programs(compiler)
    assert programs
    sound = {path: (path.stat().st_ino, path.read_bytes()) for path in programs}
    assert_same(jobs.run(command), first)
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in jobs.programs(compiler)} == sound
    # The program of numba takes long to compile; unit tests try the other kinds of damage on it.
    for damage in [flipped] if compiler == "numba" else DAMAGES:
        bad = {path: damage(path.read_bytes()) for path in programs}
        for path, content in bad.items():
            path.write_bytes(content)
        assert_same(jobs.run(command), first)
        assert jobs.programs(compiler) == programs
        assert all(path.read_bytes() != content for path, content in bad.items())
        assert compiler == "jax" or all(program_cache.read(path) is not None for path in programs)


@pytest.mark.long
@pytest.mark.parametrize("command", ["probe-spectrum", "train-trajectory"])
def test_a_job_that_can_keep_nothing_compiles_for_itself(jobs, command):
    (jobs.folder / "cache").write_bytes(b"a file where the folder would be")
    found = jobs.run(command)
    if command == "train-trajectory":
        assert_same(found, numbers(jobs.data / "t.nc"))
    assert (jobs.folder / "cache").read_bytes() == b"a file where the folder would be"


@pytest.mark.long
def test_jobs_that_compile_the_same_at_the_same_time_do_not_disturb_each_other(jobs):
    together = [jobs.end(started) for started in [jobs.start("train-trajectory") for _ in range(2)]]
    assert len(jobs.programs("numba")) == 1
    for found in (*together, jobs.run("train-trajectory")):
        assert_same(found, together[0])
