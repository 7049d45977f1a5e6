"""Cached programs: a file that differs from what was written counts as absent, and no failure is an error."""

import os
import shutil
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamical_loss import program_cache

CONTENT = bytes(range(256)) * 3
NOBODY = 65534


@contextmanager
def as_nobody():
    """Act as an unprivileged user, because permissions do not restrict root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public():
    """A folder that every user can read, unlike pytest's own folders."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def jax_program(folder, name="jit_f-1-cache", content=CONTENT):
    """Write a program as JAX stores it, without a checksum file."""
    path = folder / name
    path.write_bytes(zlib.compress(content))
    return path


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "deeper" / "program"
    assert program_cache.read(path) is None
    for content in (CONTENT, b"", b"another"):
        program_cache.write(path, content)
        assert program_cache.read(path) == content
        assert listed(path.parent) == ["program"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "program"
    program_cache.write(path, CONTENT)
    return path, path.read_bytes()


@given(st.data())
def test_no_other_bytes_are_read(written, data):
    path, good = written
    damage = data.draw(st.sampled_from(["flipped", "truncated", "longer", "foreign"]))
    bad = bytearray(good)
    if damage == "flipped":
        for place in data.draw(st.sets(st.integers(0, len(good) - 1), min_size=1, max_size=9)):
            bad[place] ^= data.draw(st.integers(1, 255))
    elif damage == "truncated":
        del bad[data.draw(st.integers(0, len(good) - 1)) :]
    elif damage == "longer":
        bad += data.draw(st.binary(min_size=1))
    else:
        bad = bytearray(data.draw(st.binary(max_size=100)))
    path.write_bytes(bad)
    assert program_cache.read(path) is None


def test_one_program_is_not_taken_for_another(tmp_path):
    program_cache.write(tmp_path / "one", CONTENT)
    shutil.copy(tmp_path / "one", tmp_path / "two")
    assert program_cache.read(tmp_path / "two") is None
    jax_program(tmp_path, "one-cache", b"one")
    jax_program(tmp_path, "two-cache", b"two")
    program_cache.seal(tmp_path)
    for suffix in ("", ".sha256"):
        shutil.copy(tmp_path / f"one-cache{suffix}", tmp_path / f"two-cache{suffix}")
    assert program_cache.check(tmp_path)
    assert "two-cache" not in listed(tmp_path) and "one-cache" in listed(tmp_path)


def test_where_nothing_can_be_kept_nothing_is_said(tmp_path, public):
    (tmp_path / "file").write_bytes(b"")
    program_cache.write(tmp_path / "file" / "program", CONTENT)
    assert program_cache.read(tmp_path / "file" / "program") is None
    assert not program_cache.check(tmp_path / "file" / "programs")
    program_cache.seal(tmp_path / "file" / "programs")
    (tmp_path / "folder").mkdir()
    program_cache.write(tmp_path / "folder", CONTENT)
    assert program_cache.read(tmp_path / "folder") is None
    assert listed(tmp_path) == ["file", "folder"]
    public.chmod(0o555)
    with as_nobody():
        program_cache.write(public / "program", CONTENT)
        assert not program_cache.check(public)
    assert listed(public) == []


def test_what_may_not_be_read_is_replaced(public):
    public.chmod(0o777)
    path = public / "program"
    program_cache.write(path, CONTENT)
    path.chmod(0)
    with as_nobody():
        assert program_cache.read(path) is None
        program_cache.write(path, b"another")
        assert program_cache.read(path) == b"another"
    jax_program(public).chmod(0)
    with as_nobody():
        assert program_cache.check(public)
    assert listed(public) == ["program"]


def test_sound_programs_of_jax_stay(tmp_path):
    path = jax_program(tmp_path)
    before = path.read_bytes()
    for _ in range(2):  # the first check writes the checksum
        assert program_cache.check(tmp_path)
        assert path.read_bytes() == before
        assert listed(tmp_path) == [path.name, path.name + ".sha256"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jax")


@given(st.data())
def test_no_damaged_program_of_jax_stays(folder, data):
    path = jax_program(folder)
    program_cache.seal(folder)
    bad = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del bad[data.draw(st.integers(0, len(bad) - 1)) :]
    path.write_bytes(bad)
    assert program_cache.check(folder)
    assert listed(folder) == []


def test_a_damaged_program_of_jax_without_a_checksum_goes_too(tmp_path):
    """A flipped bit may be one of the few without effect; then the content must be read correctly."""
    content = np.random.default_rng(0).bytes(300)
    good = zlib.compress(content)
    removed = 0
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path = tmp_path / "jit_f-1-cache"
        path.write_bytes(bad)
        assert program_cache.check(tmp_path)
        removed += not path.exists()
        assert not path.exists() or zlib.decompress(path.read_bytes()) == content
        (tmp_path / f"{path.name}.sha256").unlink(missing_ok=True)
    assert removed > len(good) - 5


@pytest.mark.parametrize("content", [b"", b"checksum", None])
def test_a_damaged_checksum_of_a_program_of_jax_removes_both(tmp_path, content):
    path = jax_program(tmp_path)
    program_cache.seal(tmp_path)
    seal = tmp_path / f"{path.name}.sha256"
    if content is None:
        path.unlink()  # leaves a checksum without its program
    else:
        seal.write_bytes(content)
    assert program_cache.check(tmp_path)
    assert listed(tmp_path) == []


def test_half_a_program_of_jax_gets_no_checksum(tmp_path):
    path = jax_program(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    program_cache.seal(tmp_path)
    assert listed(tmp_path) == [path.name]


def test_a_program_of_jax_that_has_no_checksum_within_it_is_trusted_once_it_is_sealed(tmp_path):
    """JAX compresses programs with Zstandard if that library is installed; this format has no checksum."""
    path = tmp_path / "jit_f-1-cache"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + CONTENT)
    program_cache.seal(tmp_path)
    assert program_cache.check(tmp_path)
    assert listed(tmp_path) == [path.name, path.name + ".sha256"]
    (tmp_path / f"{path.name}.sha256").unlink()
    assert program_cache.check(tmp_path)
    assert listed(tmp_path) == []


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert program_cache.check(tmp_path)
    program_cache.seal(tmp_path)
    assert listed(tmp_path) == ["notes.txt"]
