"""Checkpoint files: only the same work resumes from them, and a failed write does not stop training."""

import os
import signal

import numpy as np
import pytest

from dynamical_loss.errors import Interrupted
from dynamical_loss.results import digest, netcdf
from dynamical_loss.results.record import Provenance
from dynamical_loss.training.checkpoint import FileCheckpoint

STAGE = "dynamical_loss.stages.train_phase_block"
ARRAYS = {
    "done": np.asarray(3),
    "state_0": np.arange(6.0).reshape(2, 3),
    "count": np.asarray(7, np.int32),
    "loss": np.array([[1.0, np.nan, np.inf]], np.float32),
    "parameters": np.zeros((2, 0, 5)),
}


def record(stage=STAGE, precision="float32", computed_by="", **settings):
    return Provenance(stage, settings, [0], precision, computed_by=computed_by)


def checkpoint(folder, interval=0.0, **changes):
    return FileCheckpoint(folder / "T20_A10_seeds0-1.nc", record(**changes), interval)


def test_what_was_kept_is_restored(tmp_path):
    checkpoint(tmp_path, width=3).offer(lambda: ARRAYS)
    restored = checkpoint(tmp_path, width=3).restore()
    assert restored.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(restored[name], expected)
        assert restored[name].dtype == expected.dtype
        assert restored[name].shape == expected.shape


def test_the_file_is_hidden_beside_the_output_and_goes_when_it_is_there(tmp_path):
    kept = checkpoint(tmp_path)
    kept.remove()  # nothing was kept yet
    kept.offer(lambda: ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == [".T20_A10_seeds0-1.checkpoint.nc"]
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_before_it_is_time(tmp_path):
    kept = checkpoint(tmp_path, interval=1000.0)
    kept.offer(lambda: pytest.fail("nobody asked"))
    assert list(tmp_path.iterdir()) == []
    assert checkpoint(tmp_path).restore() is None


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    """A write takes one second here, so the next write is due fifty seconds later, whatever the interval."""
    now = 100.0
    monkeypatch.setattr("dynamical_loss.training.checkpoint.time.monotonic", lambda: now)

    def unfinished():
        nonlocal now
        now += 1.0
        return ARRAYS

    kept = checkpoint(tmp_path)
    kept.offer(unfinished)
    for now, writes in ((150.9, False), (151.1, True)):
        before = now
        kept.offer(unfinished)
        assert (now > before) == writes


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"width": 4}, "settings"),
        ({"width": 3, "precision": "float64"}, "precision"),
        ({"width": 3, "computed_by": "convolutions by XLA"}, "computed_by"),
        ({"width": 3, "stage": "dynamical_loss.stages.train_trajectory"}, "source"),
    ],
)
def test_other_work_starts_anew(tmp_path, capsys, changes, name):
    checkpoint(tmp_path, width=3).offer(lambda: ARRAYS)
    assert checkpoint(tmp_path, **changes).restore() is None
    assert f"work with another '{name}'" in capsys.readouterr().err


def test_other_code_starts_anew(tmp_path, capsys, monkeypatch):
    checkpoint(tmp_path).offer(lambda: ARRAYS)
    monkeypatch.setattr("dynamical_loss.results.digest.code_digest", lambda *_, **__: "0" * 16)
    assert checkpoint(tmp_path).restore() is None
    assert "work with another 'code_digest'" in capsys.readouterr().err


def test_a_damaged_file_starts_anew(tmp_path, capsys):
    kept = checkpoint(tmp_path)
    kept.offer(lambda: ARRAYS)
    os.truncate(kept.path, kept.path.stat().st_size // 2)
    assert checkpoint(tmp_path).restore() is None
    assert f"starting from the beginning: {kept.path} is damaged (" in capsys.readouterr().err


def test_training_goes_on_when_nothing_can_be_kept(tmp_path, capsys):
    (tmp_path / "file").touch()
    FileCheckpoint(tmp_path / "file" / "made.nc", record(), 0.0).offer(lambda: ARRAYS)
    assert "a checkpoint could not be written and is skipped: " in capsys.readouterr().err


def test_an_interrupt_does_not_promise_what_could_not_be_kept(tmp_path):
    (tmp_path / "file").touch()
    kept = FileCheckpoint(tmp_path / "file" / "made.nc", record(), 1000.0)
    with kept.watch():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as stop:
            kept.offer(lambda: ARRAYS)
    assert stop.value.kept is None


def test_an_edit_during_the_work_is_not_part_of_it(tmp_path, monkeypatch):
    """The code digest is taken at the start: a checkpoint after an edit still states the code that ran."""
    first = checkpoint(tmp_path)
    before = digest.code_digest(STAGE)
    monkeypatch.setattr("dynamical_loss.results.digest.code_digest", lambda *_, **__: "0" * 16)
    first.offer(lambda: ARRAYS)
    assert netcdf.read(first.path).attrs["code_digest"] == before
    assert checkpoint(tmp_path).restore() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_the_work_to_be_kept(tmp_path, number):
    kept = checkpoint(tmp_path, interval=1000.0)
    before = signal.getsignal(number)
    with kept.watch():
        kept.offer(lambda: pytest.fail("nobody asked"))
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as stop:
            kept.offer(lambda: ARRAYS)
    assert (stop.value.signal, stop.value.kept) == (number, kept.path)
    assert signal.getsignal(number) == before
    np.testing.assert_array_equal(checkpoint(tmp_path).restore()["state_0"], ARRAYS["state_0"])


def test_provenance_counts_all_attempts(tmp_path):
    path = tmp_path / "made.nc"
    first = record()
    assert first.attributes(tmp_path)["resumed"] == 0
    FileCheckpoint(path, first, 0.0).offer(lambda: ARRAYS)
    spent = netcdf.read(tmp_path / ".made.checkpoint.nc").attrs["wall_seconds"]
    second = record()
    FileCheckpoint(path, second, 0.0).restore()
    assert second.attributes(tmp_path)["resumed"] == 1
    assert second.attributes(tmp_path)["wall_seconds"] >= spent
