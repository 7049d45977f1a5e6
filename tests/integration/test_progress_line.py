"""What a user sees of Snakemake in a terminal, and in a file."""

import os
import pty
import re
import shlex
import shutil
import subprocess

import pytest

TARGET = "results/smoke/phase/spiral_w100.nc"
OPTIONS = ("--cores", "1", "--logger", "dynamical-loss")


def in_a_terminal(project, *arguments):
    """Run a command in a pseudo-terminal of 100 columns; return its status and all that it wrote."""
    here, there = pty.openpty()
    command = ["sh", "-c", f"stty cols 100; exec {shlex.join(map(str, arguments))}"]
    running = subprocess.Popen(
        command, cwd=project.folder, env=project.environment() | {"TERM": "xterm"},
        stdin=there, stdout=there, stderr=there, start_new_session=True,
    )  # fmt: skip
    os.close(there)
    written = b""
    while True:
        try:
            piece = os.read(here, 65_536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(here)
    return running.wait(), written.decode()


def seen(written):
    """The lines of the terminal, each with the states that were drawn over one another."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\f", written)
    return [line for line in plain.replace("\r\n", "\n").split("\n") if line.strip()]


def test_a_terminal_shows_one_line_and_the_end(ready):
    status, written = in_a_terminal(ready, *ready.arguments(TARGET, options=OPTIONS))
    assert status == 0
    lines = seen(written)
    states = {state.strip() for line in lines for state in re.split(r"[\f\r]", line)}
    done = {state.partition(" of ")[0] for state in states if " of 4 jobs" in state}
    assert done == {"0", "1", "2", "3", "4"}
    assert any(re.search(r"about \d+ s left · now: Training spiral_w100", state) for state in states)
    assert any("Complete log" in state for state in states)
    # Nothing but the live line, a few messages before it, and the closing messages.
    assert len(lines) < 12


def test_an_error_stays_on_the_screen(ready, finished):
    """The dataset is a result of another stage, which only the training job notices."""
    dataset = ready.folder / "results/smoke/dataset/spiral.nc"
    dataset.parent.mkdir(parents=True)
    shutil.copy(finished.folder / "results/smoke/trajectory/cascade_seed0.nc", dataset)
    status, written = in_a_terminal(ready, *ready.arguments(TARGET, options=OPTIONS))
    assert status == 1
    assert "Error in rule train_phase_block" in written
    assert "is not a result of prepare-dataset" in written
    assert re.search(r"\d of 3 jobs · \d failed", written)


@pytest.mark.parametrize("settings", [{}, {"TERM": "xterm"}])
def test_a_file_gets_snakemakes_own_lines(ready, settings):
    status, output = ready.run_alone(*ready.arguments(TARGET, options=OPTIONS), **settings)
    assert status == 0
    assert "Finished jobid" in output
    assert "4 of 4 steps (100%) done" in output
    assert "\x1b" not in output
