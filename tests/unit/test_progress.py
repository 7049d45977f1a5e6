"""Progress: lines in a log, and a bar on a terminal."""

import io
import os
import pty
import select
import time

from dynamical_loss.progress import report


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end():
    stream = io.StringIO()
    with report("training", stream, interval_seconds=0.0) as progress:
        progress(0.0)
        progress(0.25)
        progress(1.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2  # at 0 no time left can be estimated
    assert lines[0].startswith("training:  25%")
    assert lines[1].startswith("training: 100%") and lines[1].endswith("0 s left")
    quiet = io.StringIO()
    with report("training", quiet, interval_seconds=1e6) as progress:
        progress(0.5)
    assert quiet.getvalue() == ""


def test_time_left_is_elapsed_time_over_fraction():
    stream = io.StringIO()
    with report("x", stream, interval_seconds=0.0) as progress:
        time.sleep(1.05)
        progress(0.01)
    elapsed, left = (int(word) for word in stream.getvalue().split() if word.isdigit())
    assert elapsed >= 1
    assert 99 * (elapsed - 0.5) <= left <= 99 * (elapsed + 0.5)


def test_a_terminal_gets_a_bar_with_the_time_left():
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        with report("training", terminal) as progress:
            progress(0.5)
            progress(1.0)
        shown = b""
        while b"100%" not in shown:  # the terminal delivers the text in pieces
            assert select.select([reader], [], [], 60)[0], shown
            shown += os.read(reader, 65536)
    os.close(reader)
    assert b"training" in shown and b"\r" in shown
