"""Digests of folders: names and sizes, and the content of a few files."""

import os

import pytest

from dynamical_loss.results import listing


def folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    listing.of_folder.cache_clear()
    return listing.of_folder(path)


@pytest.mark.parametrize("count", [4, 40])
def test_names_and_sizes_count_and_of_few_files_the_content(tmp_path, count):
    files = {f"train/{number}.bin": bytes([number] * 9) for number in range(count)}
    first = folder(tmp_path / "a", files)
    assert folder(tmp_path / "b", files | {".hidden": b"x"}) == first
    other = {"a name": files | {"test/0.bin": b""}, "a size": files | {"train/0.bin": b"00"}}
    for number, (_, changed) in enumerate(other.items()):
        assert folder(tmp_path / f"c{number}", changed) != first
    # MNIST and Fashion-MNIST differ only in content.
    same_sizes = folder(tmp_path / "d", files | {"train/0.bin": b"123456789"})
    assert (same_sizes == first) == (count > 16)


def test_a_name_need_not_be_text(tmp_path):
    odd = folder(tmp_path / "a", {os.fsdecode(b"caf\xe9"): b"x"})
    assert odd != folder(tmp_path / "b", {os.fsdecode(b"caf\xe8"): b"x"})
    assert odd == folder(tmp_path / "c", {os.fsdecode(b"caf\xe9"): b"x"})


def test_folders_that_are_links_count(tmp_path):
    def linked(name, files):
        folder(tmp_path / f"far_{name}", files)
        (tmp_path / name / "train").mkdir(parents=True)
        (tmp_path / name / "train" / "cat").symlink_to(tmp_path / f"far_{name}")
        (tmp_path / name / "train" / "again").symlink_to(tmp_path / name)  # a circle must end
        return folder(tmp_path / name, {})

    digests = {linked("a", {"1": b"x"}), linked("b", {"1": b"x", "2": b"y"}), linked("c", {"1": b"xy"})}
    assert len(digests) == 3
