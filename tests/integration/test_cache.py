"""Snakemake's cache between workflows: a second clone computes nothing, and its numbers are equal."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from dynamical_loss.results import netcdf
from project import assert_same, numbers

FIGURE = "results/smoke/figures/fig4_cascade.png"
PHASE = "results/smoke/phase/spiral_w100.nc"
BLOCK = "results/smoke/phase/spiral_w100/T20_A10_seeds0-1.nc"
TRAJECTORY = "trajectory/cascade_seed0.nc"
TARGETS = (FIGURE, PHASE, "results/smoke/threshold/scaling.nc")


def made(project, cache, *targets, **selection):
    """Make targets with the cache, and return Snakemake's output."""
    status, output = tried(project, cache, *targets, **selection)
    assert status == 0, output
    return output


def tried(project, cache, *targets, storage=(), **selection):
    """Try to make targets with the cache; return exit status and output."""
    arguments = project.arguments(*targets, options=("--cores", "2", *storage, "--cache"), **selection)
    return project.run(*arguments, SNAKEMAKE_OUTPUT_CACHE=str(cache))


def entries(cache):
    return {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}


def computed(project, before):
    """Return the names of results that were not in the cache before, and whose jobs were therefore run."""
    links = [path for path in (project.folder / "results").rglob("*.*") if path.is_file()]
    return sorted(path.name for path in links if path.resolve().name not in before)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o777)
    return folder


@pytest.fixture(scope="module")
def first(pristine, cache, tmp_path_factory):
    """A clone that has computed all targets and filled the cache; tests must not change it."""
    project = pristine.copy(tmp_path_factory.mktemp("first") / "project")
    made(project, cache, *TARGETS)
    return project


def test_a_second_clone_computes_nothing_and_has_equal_numbers(first, cache, empty):
    before = entries(cache)
    made(empty, cache, *TARGETS)
    assert computed(empty, before) == []
    assert entries(cache) == before
    results = [path.relative_to(first.result("")) for path in first.result("").rglob("*.nc")]
    assert len(results) > 8
    for name in results:
        assert empty.result(name).is_symlink()
        assert_same(numbers(empty.result(name)), numbers(first.result(name)))
    assert (empty.folder / FIGURE).read_bytes() == (first.folder / FIGURE).read_bytes()
    assert empty.plan(*TARGETS).jobs == {}
    status, output = empty.run("dynamical_loss", "verify")
    assert status == 0, output


def test_results_record_what_snakemake_does_not_measure(first):
    attributes = netcdf.read(first.result(TRAJECTORY)).attrs
    assert attributes["wall_seconds"] > 0
    # JAX alone takes more than a hundred megabytes, and no job of this scale a gigabyte and a half.
    assert 100 < attributes["peak_memory_mb"] < 1500


def test_a_study_under_another_name_shares_its_blocks(first, cache, empty):
    """A result records the names of its inputs, so the aggregated file differs and is computed again."""
    other = empty.settings("workflow/scales/smoke.yaml")["phase"]["spiral_w100"]
    before = entries(cache)
    overlay = empty.overlay(json.dumps({"phase": {"another": other}}))
    made(empty, cache, "results/smoke/phase/another.nc", overlay=overlay)
    assert computed(empty, before) == ["another.nc"]
    inputs = json.loads(netcdf.read(empty.result("phase/another.nc")).attrs["inputs"])
    assert all(name.startswith("another/") for name in inputs)


def test_an_edited_training_step_misses_the_cache(first, cache, empty):
    """The edit changes no number, so that the results can be compared."""
    path = empty.folder / "src/dynamical_loss/training/fused.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("array.copy() for") == 1
    path.write_text(text.replace("array.copy() for", "1 * array for"), encoding="utf-8")
    before = entries(cache)
    made(empty, cache, BLOCK)
    assert computed(empty, before) == [Path(BLOCK).name]  # the dataset comes from the cache
    assert_same(numbers(empty.folder / BLOCK), numbers(first.folder / BLOCK))


def test_other_settings_and_another_device_miss_the_cache(first, cache, empty):
    before = entries(cache)
    overlay = empty.overlay("phase: {spiral_w100: {learning_rate: 0.5}}")
    made(empty, cache, BLOCK, overlay=overlay)
    assert computed(empty, before) == [Path(BLOCK).name]
    (empty.folder / BLOCK).unlink()
    # The job is not taken from the cache, and its message says that there is no GPU.
    status, output = tried(empty, cache, BLOCK, overlay=empty.overlay("devices: {training: gpu}"))
    assert status != 0
    assert "--device gpu: JAX finds no GPU;" in output


def test_a_damaged_entry_is_refused_and_the_message_names_it(first, cache, empty, tmp_path):
    own = tmp_path / "cache"
    subprocess.run(["cp", "-r", str(cache), str(own)], check=True)
    made(empty, own, f"results/smoke/{TRAJECTORY}")
    entry = empty.result(TRAJECTORY).resolve()
    assert entry.parent == own
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 8
    entry.write_bytes(content)
    spectrum = "results/smoke/spectrum/cascade_seed0.nc"
    (own / first.result("spectrum/cascade_seed0.nc").resolve().name).unlink()
    status, output = tried(empty, own, spectrum)
    assert status != 0
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: results/smoke/{TRAJECTORY} is damaged (")
    removal, command = re.search(r"entry with: (rm .+); then make it with: (snakemake .+)$", line).groups()
    assert shlex.split(removal) == ["rm", str(entry)]
    status, output = empty.run("dynamical_loss", "verify")
    assert status == 1
    assert f"rm {entry}" in output
    # Both commands of the message are run: first the removal, then the new computation, with the cache.
    subprocess.run(shlex.split(removal), check=True)
    program, *arguments = shlex.split(command)
    status, output = empty.run(program, *arguments, "--cache", SNAKEMAKE_OUTPUT_CACHE=str(own))
    assert status == 0, output
    made(empty, own, spectrum)
    assert_same(numbers(empty.folder / spectrum), numbers(first.folder / spectrum))


@pytest.mark.skipif(shutil.which("rsync") is None, reason="the plugin copies by rsync")
def test_the_cache_may_lie_in_remote_storage(empty, pristine, tmp_path):
    """With the plugin for slow file systems, results and cache are both in remote storage and are copied."""
    remote = tmp_path / "remote"
    other = pristine.copy(tmp_path / "other")
    target = "results/smoke/phase/spiral_w100.nc"
    found = []  # the second result comes from the cache that the first has filled
    for number, project in enumerate((empty, other)):
        place = remote / f"results{number}"
        place.mkdir(parents=True)
        (remote / "cache").mkdir(exist_ok=True)
        storage = ("--default-storage-provider", "fs", "--default-storage-prefix", str(place))
        made(project, remote / "cache", target, storage=storage)
        found.append(place / target)
    assert_same(*map(numbers, found))
    created = [netcdf.read(path).attrs["created"] for path in found]
    assert created[0] == created[1]
