"""Faults: no work is lost, no file is half written, and no damaged file is accepted as a result."""

import csv
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dynamical_loss.claims import CLAIMS, EXPECTED_FALSE
from dynamical_loss.results import netcdf
from project import LONG, assert_same, numbers
from project import LONG_BLOCK as BLOCK
from project import LONG_TRAJECTORY as TRAJECTORY


def trainer_of(project):
    """Return the process id of the training command that runs in a project; None if none runs."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            folder = (process / "cwd").readlink()
        except OSError:
            continue
        if (
            words[1:3] == [b"-m", b"dynamical_loss"]
            and any(word.startswith(b"train-") for word in words)
            and folder == project.folder
        ):
            return int(process.name)
    return None


# The tests find the training process in /proc, and use limits and mounts of Linux.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="faults are made with Linux's means")


def written(path):
    return path.stat().st_mtime_ns if path.exists() else None


def wait_for(condition, running):
    """Wait until `condition` holds or the process ends."""
    while not condition() and running.poll() is None:
        time.sleep(0.02)


def assert_same_numbers(project, undisturbed, name):
    """Verify that the numbers of a result equal the undisturbed ones, and return its attributes."""
    assert_same(numbers(project.result(name)), numbers(undisturbed.result(name)))
    return netcdf.read(project.result(name)).attrs


@pytest.mark.long
def test_a_job_killed_five_times_ends_with_the_same_numbers(ready, undisturbed):
    overlay, result, checkpoint = ready.overlay(LONG), ready.result(BLOCK), ready.checkpoint(BLOCK)
    moment = random.Random()
    for attempt in range(5):
        kept_before = written(checkpoint)
        with ready.started(f"results/smoke/{BLOCK}", overlay=overlay) as running:
            if attempt % 2 == 0:  # after a new checkpoint; in odd attempts at any time
                wait_for(lambda kept=kept_before: written(checkpoint) != kept, running)
            else:
                wait_for(lambda: trainer_of(ready) is not None, running)
            time.sleep(moment.uniform(0, 1))
            trainer = trainer_of(ready)
            if trainer is not None:
                os.kill(trainer, signal.SIGKILL)
            assert running.wait() != 0, ready.output
        assert not result.exists()
    ready.snakemake(f"results/smoke/{BLOCK}", overlay=overlay)
    attributes = assert_same_numbers(ready, undisturbed, BLOCK)
    assert attributes["resumed"] >= 3  # the number of attempts that waited for a checkpoint
    leftovers = {path.name for path in result.parent.iterdir()} - {result.name}
    # A file that was being written when the process was killed has a name that nothing reads.
    assert all(re.fullmatch(r"\.+T20_A10_seeds0-1(\.checkpoint)?\..{8}\.nc", name) for name in leftovers)
    assert ready.plan(f"results/smoke/{BLOCK}", overlay=overlay).jobs == {}


def test_ctrl_c_keeps_the_work_and_leaves_no_lock(ready, undisturbed):
    checkpoint = ready.checkpoint(TRAJECTORY)
    target, overlay = f"results/smoke/{TRAJECTORY}", ready.overlay(LONG)
    with ready.started(target, overlay=overlay) as running:
        wait_for(checkpoint.exists, running)
        os.killpg(running.pid, signal.SIGINT)  # a terminal sends the signal to Snakemake and to its jobs
        assert running.wait() != 0
    wait_for_end(ready)
    assert "Traceback" not in ready.output
    assert not ready.result(TRAJECTORY).exists()
    log = (ready.folder / "logs/smoke/train_trajectory/cascade_seed0.log").read_text(encoding="utf-8")
    assert re.search(rf"error: stopped by SIG\w+; the same command resumes from .*{checkpoint.name}\n", log)
    ready.snakemake(target, overlay=overlay)
    assert assert_same_numbers(ready, undisturbed, TRAJECTORY)["resumed"] == 1
    assert not checkpoint.exists()


def test_an_orphaned_job_and_its_successor_make_the_same_file(ready, undisturbed):
    """Only Snakemake is killed: its job continues, and a second Snakemake starts the same job again."""
    target, overlay = f"results/smoke/{BLOCK}", ready.overlay(LONG)
    with ready.started(target, overlay=overlay) as running:
        wait_for(ready.checkpoint(BLOCK).exists, running)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    assert trainer_of(ready) is not None
    ready.snakemake(overlay=overlay, options=("--unlock",))
    ready.snakemake(target, overlay=overlay)
    wait_for_end(ready)
    assert_same_numbers(ready, undisturbed, BLOCK)


def wait_for_end(project):
    """Wait until no training command runs in a project."""
    while trainer_of(project) is not None:
        time.sleep(0.05)


@contextmanager
def mounted(folder, *options):
    """Mount a file system on a folder, for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting needs root ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def error_line(output):
    """Return the only line that reports an error."""
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


def test_a_full_disk_leaves_no_file_and_says_so(project):
    path, before = project.result(TRAJECTORY), netcdf.read(project.result(TRAJECTORY))
    shutil.rmtree(path.parent)
    with mounted(path.parent, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        (path.parent / "other").write_bytes(bytes(30_000))
        status, output = project.run(
            *project.arguments(f"results/smoke/{TRAJECTORY}", options=("--cores", "1"))
        )
        assert status != 0
        line = error_line(output)
        assert f"results/smoke/{TRAJECTORY} could not be written (No space left on device)" in line
        assert [item.name for item in path.parent.iterdir()] == ["other"]
    project.snakemake(f"results/smoke/{TRAJECTORY}")
    after = netcdf.read(path)
    for name in before.variables:
        np.testing.assert_array_equal(after[name].values, before[name].values)


def test_training_goes_on_when_the_disk_is_too_full_for_a_checkpoint(ready, undisturbed):
    """The disk gets more space before the end of the run, and no work is lost."""
    overlay, result = ready.overlay(LONG), ready.result(BLOCK)
    log = ready.folder / f"logs/smoke/train_phase_block/spiral_w100/{result.stem}.log"
    ready.snakemake("results/smoke/dataset/spiral.nc", overlay=overlay)
    with mounted(result.parent, "-t", "tmpfs", "-o", "size=48k", "tmpfs"):
        (result.parent / "other").write_bytes(bytes(44_000))
        with ready.started(f"results/smoke/{BLOCK}", overlay=overlay) as running:
            warning = "a checkpoint could not be written"
            wait_for(lambda: log.exists() and warning in log.read_text(encoding="utf-8"), running)
            subprocess.run(["mount", "-o", "remount,size=16m", str(result.parent)], check=True)
            assert running.wait() == 0, ready.output
        assert "No space left on device" in log.read_text(encoding="utf-8")
        assert_same_numbers(ready, undisturbed, BLOCK)


def test_a_flipped_bit_in_a_block_is_named_and_mended(project):
    path = project.result(BLOCK)
    before = netcdf.read(path)
    content = bytearray(path.read_bytes())
    # The byte is part of an attribute, in a header that HDF5's checksums of values do not cover.
    place = content.index(b'"learning_rate": 1.0')
    content[place + len(b'"learning_rate": ')] ^= 1
    path.write_bytes(content)
    target = "results/smoke/phase/spiral_w100.nc"
    status, output = project.run(*project.arguments(target, options=("--cores", "1")))
    assert status != 0
    line = error_line(output)
    assert f"results/smoke/{BLOCK} is damaged (" in line
    status, output = project.run(*shlex.split(re.search(r"make it with: (snakemake .+)$", line)[1]))
    assert status == 0, output
    for name in before.variables:
        np.testing.assert_array_equal(netcdf.read(path)[name].values, before[name].values)
    project.snakemake(target)


def test_a_second_snakemake_in_the_same_folder_is_refused(ready, undisturbed):
    overlay = ready.overlay(LONG)
    with ready.started(f"results/smoke/{BLOCK}", overlay=overlay) as running:
        wait_for(lambda: trainer_of(ready) is not None, running)
        second = ready.arguments(f"results/smoke/{TRAJECTORY}", overlay=overlay, options=("--cores", "1"))
        status, output = ready.run(*second)
        assert status != 0
        assert "Directory cannot be locked" in output
        assert not ready.result(TRAJECTORY).exists()
        assert running.wait() == 0, ready.output
    assert_same_numbers(ready, undisturbed, BLOCK)


def test_a_clock_that_jumped_back_costs_no_result(project):
    """Inputs have times in the future: Snakemake would delete an output that is older than its inputs."""
    made = ("spectrum/cascade_seed0.nc", "phase/spiral_w100.nc", "figures/fig4_cascade.png", "claims.csv")
    tomorrow = time.time() + 86_400
    for path in project.result("").rglob("*.nc"):
        os.utime(path, (tomorrow, tomorrow))
    for name in made:
        project.result(name).unlink()
    project.snakemake(*(f"results/smoke/{name}" for name in made))
    assert all(project.result(name).exists() for name in made)
    # Jobs with another input from the future run once more; after that no job is left.
    project.snakemake()
    assert project.plan().jobs == {}


def test_a_folder_that_cannot_be_written_to_is_named_before_any_job(project):
    shutil.rmtree(project.result("spectrum"))
    folder = project.result("")
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        target = "results/smoke/spectrum/cascade_seed0.nc"
        status, output = project.run(*project.arguments(target, options=("--cores", "1")))
    assert status != 0
    assert error_line(output) == ("error: results/smoke is not writable; make it writable, or work on a copy")
    assert "Finished jobid" not in output


def test_a_job_without_enough_memory_says_so_and_leaves_no_file(project):
    """Snapshots of every step of a wide network need 3.4 GB, and the address space is limited to 3 GiB."""
    settings = '{"model": {"width": 1000}, "snapshots": {"every": 1}}'
    limit = 3 * 2**30
    limited = (
        f"import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit})); "
        "runpy.run_module('dynamical_loss', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [
            sys.executable, "-c", limited, "train-trajectory", "--dataset",
            "results/smoke/dataset/spiral.nc", "--settings", settings, "--output", "made.nc",
        ],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert error_line(done.stderr).startswith("error: out of memory (Unable to allocate 3.13 GiB")
    assert "mem_mb" in done.stderr
    assert not (project.folder / "made.nc").exists()


def test_a_learning_rate_that_diverges_is_a_result(project):
    """The divergence is recorded and drawn, and it decides no claim."""
    overlay = project.overlay(
        "phase: {spiral_w100: {learning_rate: 1.0e+30}}\ntrajectories: {cascade: {learning_rate: 1.0e+200}}\n"
    )
    project.snakemake(overlay=overlay)
    phase = netcdf.read(project.result("phase/spiral_w100.nc"))
    assert phase["diverged"].all()
    assert (phase["divergence_step"] > 0).all()
    trajectory = netcdf.read(project.result(TRAJECTORY))
    assert trajectory["diverged"] == 1
    assert not np.isfinite(trajectory["weighted_loss"].values[-1])
    log = project.folder / f"logs/smoke/train_phase_block/spiral_w100/{Path(BLOCK).stem}.log"
    assert "2 of 2 runs diverged and are recorded as diverged" in log.read_text(encoding="utf-8")
    with project.result("claims.csv").open(newline="", encoding="utf-8") as stream:
        verdicts = {row["id"]: row["verdict"] for row in csv.DictReader(stream)}
    # Claims that are calculated without training are excluded.
    trained = {claim.id for claim in CLAIMS if claim.roles != ("known",)} | {EXPECTED_FALSE}
    assert {verdicts[name] for name in trained & verdicts.keys()} == {"not tested at this scale", ""}
