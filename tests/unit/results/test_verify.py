"""Trees of results: damaged, foreign, stale and unfinished files are named, and no others."""

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dynamical_loss import cli, remedies
from dynamical_loss.errors import UserError
from dynamical_loss.results import digest, netcdf, sidecars, verify
from dynamical_loss.results.accept import accept
from dynamical_loss.results.record import Provenance
from privileges import open_to_all, without_permission

STAGES = "dynamical_loss.stages."


def write(path, stage, value, made_from=()):
    """Write a result of one number."""
    record = Provenance(STAGES + stage, {"value": value}, [0], "float64")
    for source in made_from:
        record.inputs.read(source)
    variables = netcdf.Variables().add("value", (), np.float64(value), "a value", reference="Fig. 3")
    record.write(variables.dataset(), path)


@pytest.fixture
def tree(tmp_path):
    """Tree with dataset → trajectory → spectrum, a figure of the spectrum, and a published copy of it."""
    folder = tmp_path / "results"
    write(folder / "dataset" / "d.nc", "prepare_dataset", 1.0)
    write(folder / "trajectory" / "t.nc", "train_trajectory", 2.0, [folder / "dataset" / "d.nc"])
    write(folder / "spectrum" / "s.nc", "probe_spectrum", 3.0, [folder / "trajectory" / "t.nc"])
    record = Provenance(STAGES + "render_figure", {}, [], "float64")
    record.inputs.read(folder / "spectrum" / "s.nc")
    figures = folder / "figures"
    figures.mkdir()
    (figures / "f.pdf").write_bytes(b"%PDF")
    sidecars.write([figures / "f.pdf"], record.attributes(figures), record.inputs.paths)
    full = netcdf.read(folder / "spectrum" / "s.nc").assign_attrs(published="small", code_digest="older")
    netcdf.write_small(full, folder / "published" / "s.nc", {}, 3)
    return folder


def found(folder):
    return [
        (finding.path.relative_to(folder).as_posix(), finding.kind)
        for finding in verify.examine([folder]).findings
    ]


def test_a_sound_tree_has_no_findings(tree):
    assert verify.examine([tree]) == verify.Report(results=5, published=1, findings=())


def test_a_moved_tree_is_sound(tree, tmp_path):
    shutil.move(tree, tmp_path / "elsewhere" / "deeper")
    assert not verify.examine([tmp_path / "elsewhere"]).findings


def test_an_input_with_other_numbers_makes_stale_what_was_made_from_it_and_no_more(tree):
    write(tree / "dataset" / "d.nc", "prepare_dataset", 1.5)
    report = verify.examine([tree])
    (finding,) = report.findings
    assert (finding.path, finding.kind) == (tree / "trajectory" / "t.nc", "stale")
    words = f"was made from {tree / 'dataset' / 'd.nc'}, whose content has changed; make it with: "
    assert words in remedies.in_words(finding.problem)
    assert report.failed


def test_an_input_made_again_with_equal_numbers_makes_nothing_stale(tree):
    before = (tree / "dataset" / "d.nc").read_bytes()
    write(tree / "dataset" / "d.nc", "prepare_dataset", 1.0)
    with netCDF4.Dataset(tree / "dataset" / "d.nc", "a") as opened:
        opened.setncattr("wall_seconds", 99.0)
    netcdf.seal(tree / "dataset" / "d.nc")
    assert (tree / "dataset" / "d.nc").read_bytes() != before
    assert found(tree) == []


def test_an_input_that_is_gone_is_named(tree):
    (tree / "spectrum" / "s.nc").unlink()
    assert found(tree) == [("figures/f.json", "stale")]
    assert "s.nc, which is gone" in verify.examine([tree]).findings[0].problem.args[0]


def test_an_input_that_cannot_be_read_is_named_on_both_sides(tree):
    os.truncate(tree / "trajectory" / "t.nc", 100)
    assert found(tree) == [("spectrum/s.nc", "stale"), ("trajectory/t.nc", "damaged")]


def test_other_code_makes_stale_but_not_a_published_copy(tree, tmp_path, monkeypatch):
    package = tmp_path / "src" / "dynamical_loss"
    shutil.copytree(digest.PACKAGE, package)
    monkeypatch.setattr(digest, "PACKAGE", package)
    # A separate cache, so that later tests do not see the edits of this test.
    monkeypatch.setattr(digest, "_parsed", functools.cache(digest._parsed.__wrapped__))
    assert found(tree) == []
    with (package / "stages" / "probe_spectrum.py").open("a", encoding="utf-8") as stream:
        stream.write("\nEDITED = True\n")
    digest._parsed.cache_clear()
    assert found(tree) == [("spectrum/s.nc", "stale")]
    (package / "stages" / "render_figure.py").unlink()
    digest._parsed.cache_clear()
    assert found(tree) == [("figures/f.json", "stale"), ("spectrum/s.nc", "stale")]


@pytest.mark.parametrize("name", ["published/s.nc", "dataset/d.nc", "figures/f.pdf", "figures/f.json"])
def test_a_flipped_bit_is_damage(tree, name):
    content = bytearray((tree / name).read_bytes())
    content[len(content) // 2] ^= 4
    (tree / name).write_bytes(content)
    kinds = {kind for path, kind in found(tree) if path == name or path == "figures/f.json"}
    assert kinds == {"damaged"}


def test_foreign_files_are_named(tree, tmp_path):
    (tree / "notes.txt").write_text("mine", encoding="utf-8")
    (tree / "table.csv").write_text("a,b", encoding="utf-8")
    (tree / "figures" / "f.png").write_bytes(b"not in f.json")
    (tree / "list.json").write_text("{}", encoding="utf-8")
    with netCDF4.Dataset(tree / "plain.nc", "w"):
        pass
    with netCDF4.Dataset(tree / "sealed.nc", "w") as opened:
        opened.setncattr("source", "another.program")
    netcdf.seal(tree / "sealed.nc")
    (tmp_path / "outside.nc").write_bytes(b"")
    (tree / "link.nc").symlink_to(tmp_path / "outside.nc")
    (tree / "folder").symlink_to(tmp_path)
    (tree / "within.nc").symlink_to(tree / "dataset" / "d.nc")
    (tree / "README.md").write_text("a document is no result", encoding="utf-8")
    (tree / ".hidden").write_text("nor is this", encoding="utf-8")
    names = [
        "figures/f.png",
        "folder",
        "link.nc",
        "list.json",
        "notes.txt",
        "plain.nc",
        "sealed.nc",
        "table.csv",
    ]
    assert sorted(found(tree)) == [(name, "foreign") for name in names]


def test_leftovers_are_named_and_no_failure(tree):
    script = (
        "import os; from pathlib import Path; from dynamical_loss.results.files import atomic_path\n"
        f"with atomic_path(Path({str(tree / 'dataset' / 'e.nc')!r})) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    (tree / "trajectory" / ".t.checkpoint.nc").write_bytes(b"half a training")
    report = verify.examine([tree])
    assert [finding.kind for finding in report.findings] == ["unfinished"] * 2
    assert {finding.path.parent.name for finding in report.findings} == {"dataset", "trajectory"}
    assert not report.failed


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*nothing; name one that holds results"):
        verify.examine([tmp_path / "nothing"])


def test_provenance_that_is_no_json_is_foreign(tree):
    with netCDF4.Dataset(tree / "trajectory" / "t.nc", "a") as opened:
        opened.setncattr("inputs", "[1")
    netcdf.seal(tree / "trajectory" / "t.nc")
    assert found(tree) == [("trajectory/t.nc", "foreign")]


def test_the_command_lists_problems_counts_them_and_fails(tree, monkeypatch, capsys):
    monkeypatch.chdir(tree.parent)
    Path("paper_figures").mkdir()

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.commands.main(["verify", *arguments], standalone_mode=False)
        return stop.value.code, capsys.readouterr().out.splitlines()

    kinds = "0 damaged, 0 unreadable, 0 foreign, 0 stale, 0 unfinished"
    counts = f"5 results (1 published copies: content only): {kinds}"
    assert command() == (0, [counts])
    write(Path("results/dataset/d.nc"), "prepare_dataset", 1.5)
    status, (line, last) = command("results", "paper_figures")
    assert status == 1
    assert line.startswith("stale       results/trajectory/t.nc was made from results/dataset/d.nc, whose")
    assert line.endswith("make it with: snakemake --cores 1 --force results/trajectory/t.nc")
    assert last == counts.replace("0 stale", "1 stale")


def test_what_is_recorded_is_plain_json(tree):
    content = json.loads((tree / "figures" / "f.json").read_text(encoding="utf-8"))
    assert json.loads(content["inputs"]) == {"../spectrum/s.nc": netcdf.checksum(tree / "spectrum" / "s.nc")}


def test_a_checkpoint_beside_its_output_may_go(tree):
    left = tree / "trajectory" / ".t.checkpoint.nc"
    left.write_bytes(b"half a training")
    (told,) = [item.problem.args[0] for item in verify.examine([tree]).findings if item.path == left]
    assert f"no longer needed, because t.nc exists: rm {left}" in told
    left.rename(tree / "trajectory" / ".u.checkpoint.nc")
    (told,) = [item.problem.args[0] for item in verify.examine([tree]).findings if item.kind == "unfinished"]
    assert f"make {tree / 'trajectory' / 'u.nc'} with snakemake to resume it" in told


@pytest.mark.parametrize("name", ["spectrum", "trajectory/t.nc", "dataset"])
def test_what_cannot_be_read_is_not_called_damaged(tree, name):
    open_to_all(tree)
    with without_permission(tree / name):
        findings = verify.examine([tree]).findings
    assert {item.kind for item in findings} == {"unreadable"}
    for item in findings:
        words = remedies.in_words(item.problem)
        assert "Permission denied" in words
        assert "snakemake" not in words


def dated(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


def test_accepted_files_have_one_time_that_is_not_before_now(tree):
    (tree / "README.md").write_text("a document is no result", encoding="utf-8")
    for second, path in enumerate(dated(tree)):
        os.utime(path, (second, second))
    before = time.time_ns()
    assert accept([tree]) == verify.Report(results=5, published=1, findings=())
    times = dated(tree)
    times.pop(tree / "README.md")
    assert len(times) == 6 and len(set(times.values())) == 1
    assert before <= min(times.values()) <= time.time_ns()


def test_a_part_of_a_tree_is_not_older_than_its_inputs_elsewhere(tree):
    future = time.time_ns() + 10**15
    os.utime(tree / "trajectory" / "t.nc", ns=(future, future))
    accept([tree / "spectrum"])
    times = dated(tree)
    assert times[tree / "spectrum" / "s.nc"] >= times[tree / "trajectory" / "t.nc"] == future
    assert times[tree / "dataset" / "d.nc"] < future


def test_a_tree_that_is_not_sound_keeps_its_times(tree):
    os.truncate(tree / "dataset" / "d.nc", 100)
    before = dated(tree)
    assert [(item.path.name, item.kind) for item in accept([tree]).findings] == [
        ("d.nc", "damaged"),
        ("t.nc", "stale"),
    ]
    assert dated(tree) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own files for others")
def test_a_tree_of_another_user_keeps_all_its_times(tree):
    open_to_all(tree)
    os.chown(tree / "dataset" / "d.nc", 65534, -1)
    before = dated(tree)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=r"belongs to another user, so its time cannot be set"):
            accept([tree])
    finally:
        os.seteuid(0)
    assert dated(tree) == before


def test_leftovers_are_not_dated_and_no_obstacle(tree):
    left = tree / "trajectory" / ".t.checkpoint.nc"
    left.write_bytes(b"half a training")
    os.utime(left, (1, 1))
    assert not accept([tree]).failed
    assert left.stat().st_mtime == 1
