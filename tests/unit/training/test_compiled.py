"""Compiled programs are loaded from disk if the file is intact, otherwise recompiled and replaced."""

import os
import shutil
import types

import numba
import numpy as np
import pytest

from dynamical_loss import program_cache
from dynamical_loss.training import fused_loop
from dynamical_loss.training.compiled import Compiled
from dynamical_loss.training.types import Perceptron

NUMBERS = np.linspace(0.1, 2, 50)


def power(exponent):
    def raised(numbers):
        total = 0.0
        for number in numbers:
            total += number**exponent
        return total

    raised.__name__ = raised.__qualname__ = f"raised_{exponent}"
    return raised


def fresh(exponent=3):
    """Return a function without compiled programs in memory, as in a new process."""
    return Compiled(power(exponent), {"error_model": "numpy"})


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Use an empty cache folder, and return a function that lists its files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return lambda: sorted(tmp_path.glob("dynamical-loss/numba-*/*"))


def test_a_program_is_kept_and_taken_from_disk(entries):
    expected = fresh()(NUMBERS)
    assert expected == pytest.approx((NUMBERS**3).sum(), rel=1e-13)
    (path,) = entries()
    made = path.stat()
    before = numba.config.CACHE_DIR
    assert fresh()(NUMBERS) == expected
    assert path.stat().st_ino == made.st_ino and path.stat().st_mtime_ns == made.st_mtime_ns
    assert before == numba.config.CACHE_DIR


def test_the_folder_that_a_user_has_set_for_numba_is_taken(entries, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "chosen"))
    assert fresh()(NUMBERS) == pytest.approx((NUMBERS**3).sum(), rel=1e-13)
    (path,) = (tmp_path / "chosen").iterdir()
    made = path.stat().st_ino
    fresh()(NUMBERS)
    assert [path.stat().st_ino for path in (tmp_path / "chosen").iterdir()] == [made]
    assert entries() == []


def test_programs_are_told_apart_by_closure_and_types(entries):
    function = fresh()
    for _ in range(2):
        assert function(NUMBERS) == pytest.approx((NUMBERS**3).sum(), rel=1e-13)
        assert function(NUMBERS.astype("float32")) == pytest.approx((NUMBERS**3).sum(), rel=1e-5)
        assert fresh(2)(NUMBERS) == pytest.approx((NUMBERS**2).sum(), rel=1e-13)
    assert len(entries()) == 3


def test_what_is_loaded_is_what_was_kept(entries):
    """The program of another exponent, stored under this one's name with a valid checksum, is not used."""
    fresh(2)(NUMBERS)
    (square,) = entries()
    fresh(3)(NUMBERS)
    (cube,) = set(entries()) - {square}
    kept = program_cache.read(square)
    program_cache.write(cube, kept)
    # numba itself also rejects the wrong program.
    assert fresh(3)(NUMBERS) == pytest.approx((NUMBERS**3).sum(), rel=1e-13)
    assert program_cache.read(cube) != kept


def flipped(place):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 0x10
        path.write_bytes(content)

    return damage


def empty(path):
    path.write_bytes(b"")


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def foreign(path):
    path.write_bytes(b"no program" * 100)


def of_another_function(path):
    fresh(2)(NUMBERS)
    (other,) = set(path.parent.iterdir()) - {path}
    shutil.copy(other, path)


def gone(path):
    path.unlink()


DAMAGES = [empty, truncated, foreign, of_another_function, gone]
DAMAGES += [flipped(place) for place in np.linspace(0, 1, 25)]


def test_a_damaged_program_is_compiled_again_and_replaced(entries):
    expected = fresh()(NUMBERS)
    (path,) = entries()
    for damage in DAMAGES:
        damage(path)
        assert program_cache.read(path) is None
        assert fresh()(NUMBERS) == expected
        assert program_cache.read(path) is not None
        made = path.stat().st_ino
        assert fresh()(NUMBERS) == expected
        assert path.stat().st_ino == made


def test_what_is_compiled_into_a_program_counts_like_its_own_source(entries, tmp_path):
    """Without this, a loop compiled before a change in one of its passes would be reused."""
    part = types.ModuleType("part")
    part.__file__ = str(tmp_path / "part.py")
    for number, text in enumerate(["", "# changed"], start=1):
        (tmp_path / "part.py").write_text(text, encoding="utf-8")
        Compiled(power(3), {"error_model": "numpy"}, (part,))(NUMBERS)
        assert len(entries()) == number


@pytest.mark.parametrize("place", ["entries", "private"])
def test_without_a_folder_to_write_to_every_process_compiles(entries, tmp_path, monkeypatch, place):
    (tmp_path / "file").write_bytes(b"")
    if place == "entries":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    else:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    for _ in range(2):
        assert fresh()(NUMBERS) == pytest.approx((NUMBERS**3).sum(), rel=1e-13)
    assert entries() == []


def trained():
    """Return parameters and records after some steps of the fused loop, which is recompiled or reloaded."""
    fused_loop._compiled.cache_clear()
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(7, 2)), np.eye(2)[generator.integers(0, 2, 7)]
    network = Perceptron(3, "mse", True)
    loop = fused_loop.Loop(inputs, targets, inputs, targets, network=network, precision="float64")
    parameters = generator.normal(size=2 * 3 + 3 + 3 * 2 + 2)
    every = np.ones(20, bool)
    records, snapshots = loop.advance(parameters, np.full(20, 0.1), np.ones((20, 2)), 19, every, every)
    return parameters, records, snapshots


def test_the_fused_loop_is_kept_and_its_numbers_stay_equal(entries):
    expected = trained()
    (path,) = entries()
    made = path.stat().st_ino
    for found, wanted in zip(trained(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert path.stat().st_ino == made
    flipped(0.6)(path)
    for found, wanted in zip(trained(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert path.stat().st_ino != made
    assert program_cache.read(path) is not None
