"""The line of a running study, from the events that Snakemake sends."""

import pytest

from dynamical_loss import progress
from snakemake_logger_plugin_dynamical_loss.board import Board


def started(board, number, rule, now, *, words="", log=()):
    board.take("job_info", {"jobid": number, "rule_name": rule, "rule_msg": words, "log": list(log)}, now)


@pytest.fixture
def board():
    made = Board()
    made.take("run_info", {"stats": {"train": 4, "render": 2, "all": 1, "total": 7}}, 0.0)
    return made


def test_it_counts_jobs_and_failures(board):
    assert board.line(5.0, 200) == "0 of 7 jobs · 5 s so far"
    started(board, 1, "train", 0.0, words="Training one")
    assert board.line(5.0, 200) == "0 of 7 jobs · 5 s so far · now: Training one"
    board.take("job_error", {"jobid": 1}, 10.0)
    board.take("progress", {"done": 0, "total": 7}, 10.0)
    assert "1 failed" in board.line(10.0, 200)


def test_the_time_left_is_that_of_the_jobs_left_at_the_pace_so_far(board):
    """Two jobs ran side by side for 10 s each; 2 trainings of 10 s and 3 others of the same mean are left."""
    started(board, 1, "train", 0.0)
    started(board, 2, "train", 0.0)
    for number in (1, 2):
        board.take("job_finished", {"job_id": number}, 10.0)
    board.take("progress", {"done": 2, "total": 7}, 10.0)
    assert board.seconds_left(10.0) == pytest.approx((2 * 10 + 3 * 10) / 2)
    # A rule with a finished job has a mean of its own; `all` has none, and the mean of all jobs is 22/3 s.
    started(board, 3, "render", 10.0)
    board.take("job_finished", {"job_id": 3}, 12.0)
    assert board.seconds_left(12.0) == pytest.approx((2 * 10 + 2 + 22 / 3) / (22 / 12))


def test_before_the_first_job_has_finished_the_time_left_is_unknown(board):
    started(board, 1, "train", 0.0)
    assert board.seconds_left(3.0) is None


def test_a_job_tells_its_own_progress_from_its_log(board, tmp_path):
    log = tmp_path / "job.log"
    started(board, 1, "train", 0.0, words="Training one", log=[log])
    assert board.line(1.0, 200).endswith("now: Training one")
    with log.open("w", encoding="utf-8") as stream, progress.report("one", stream, 0.0) as report:
        report(0.12)
        report(0.57)
    assert board.line(1.0, 200).endswith("now: Training one 57 %")


def test_the_line_never_exceeds_the_terminal(board):
    started(board, 1, "train", 0.0, words="Training something with a long name " * 5)
    assert len(board.line(1.0, 60)) == 60
    assert board.line(1.0, 60).endswith("…")


def test_unknown_events_change_nothing(board):
    before = board.line(1.0, 200)
    board.take("shellcmd", {"cmd": "ls"}, 1.0)
    board.take(None, {}, 1.0)
    board.take("job_finished", {"job_id": 99}, 1.0)
    assert board.line(1.0, 200) == before
