"""A tree that was copied without its file times: Snakemake re-runs nothing after `accept`."""

import json
import os
import shutil

import pytest

from image_sources import cifar, image_files, pack

PHASE = "results/smoke/phase/spiral_w100.nc"


def files(project):
    """Return the paths of all results, pictures included, the newest first."""
    found = [path for path in (project.folder / "results").rglob("*") if not path.is_dir()]
    return sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)


def times(project):
    return {path: (path.lstat().st_mtime_ns, path.stat().st_mtime_ns) for path in files(project)}


def lose_times(project):
    """Make the newest result the oldest, as if a copy had begun with it."""
    for second, path in enumerate(files(project)):
        os.utime(path, (1.7e9 + second, 1.7e9 + second), follow_symlinks=False)


@pytest.fixture(params=["with Snakemake's memory", "results alone"])
def copied(project, request):
    """A project copied with `cp -r`, or a clone into which only the results were copied."""
    if request.param == "results alone":
        shutil.rmtree(project.folder / ".snakemake")
        shutil.rmtree(project.folder / "logs")
    lose_times(project)
    return project


def test_snakemake_makes_nothing_anew_of_what_was_accepted(copied):
    # If its metadata was copied too, Snakemake recognises small inputs by their checksums.
    assert {"evaluate_claims", "render_figure"} <= set(copied.plan().jobs)
    status, output = copied.run("dynamical_loss", "accept")
    results = len(list((copied.folder / "results").rglob("*.nc")))
    results += len(list((copied.folder / "results").rglob("*.json")))
    assert (status, output) == (
        0,
        f"{results} results accepted: no file is older than its inputs\n",
    )
    assert copied.plan().jobs == {}
    assert copied.run("dynamical_loss", "verify")[0] == 0


def test_what_is_made_after_that_is_made_as_ever(copied):
    assert copied.run("dynamical_loss", "accept")[0] == 0
    copied.edit("figures/fig2_spiral_dataset.py")
    copied.result("figures/fig2_spiral_dataset.pdf").unlink()
    assert copied.plan().jobs == {"render_figure": 1}
    copied.snakemake()
    assert copied.plan().jobs == {}


def test_settings_that_snakemake_remembers_still_count(project):
    lose_times(project)
    assert project.run("dynamical_loss", "accept")[0] == 0
    overlay = project.overlay("figures: {trajectory_zoom: [110, 150]}")
    assert project.plan(overlay=overlay).starting("Rendering") >= {"fig4_cascade"}
    assert set(project.plan(overlay=overlay).jobs) == {"render_figure"}


@pytest.mark.parametrize("fault", ["damaged", "foreign", "stale"])
def test_a_tree_with_a_fault_is_left_as_it_is(copied, fault):
    path = copied.result("trajectory/cascade_seed0.nc")
    if fault == "damaged":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif fault == "foreign":
        path = copied.result("notes.txt")
        path.write_text("mine", encoding="utf-8")
    else:
        copied.edit("figures/fig2_spiral_dataset.py")
        path = copied.result("figures/fig2_spiral_dataset.json")
    before = times(copied)
    told = copied.run("dynamical_loss", "verify")
    status, output = copied.run("dynamical_loss", "accept")
    assert (status, told[0]) == (1, 1)
    assert output == told[1].rstrip("\n") + "; nothing was changed\n"
    assert any(line.startswith(fault) and str(path.relative_to(copied.folder)) in line
               for line in output.splitlines())  # fmt: skip
    assert times(copied) == before


def test_a_source_outside_the_tree_may_be_newer_than_the_copy(empty):
    pack(empty.folder / "images.tar.gz", image_files(cifar(40, 0), cifar(20, 1)))
    settings = {"kind": "cifar10", "source": "images.tar.gz", "train_samples": 20, "validation_samples": 10}
    overlay = empty.overlay(json.dumps({"datasets": {"photographs": settings}}))
    target = "results/smoke/dataset/photographs.nc"
    empty.snakemake(target, overlay=overlay)
    shutil.rmtree(empty.folder / ".snakemake")
    lose_times(empty)
    assert empty.plan(target, overlay=overlay).jobs == {"prepare_dataset": 1}
    assert empty.run("dynamical_loss", "accept")[0] == 0
    assert empty.plan(target, overlay=overlay).jobs == {}


def test_links_into_a_cache_are_dated_and_its_entries_are_not(empty, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    arguments = empty.arguments(PHASE, options=("--cores", "2", "--cache"))
    status, output = empty.run(*arguments, SNAKEMAKE_OUTPUT_CACHE=str(cache))
    assert status == 0, output
    links = [path for path in files(empty) if path.is_symlink()]
    assert len(links) > 2
    shutil.rmtree(empty.folder / ".snakemake")
    lose_times(empty)
    # Other users have changed the times of the entries since; the time of the dataset lies in the future.
    for second, path in enumerate(files(empty)):
        os.utime(path, (1.7e9 + second, 1.7e9 + second))
    future = empty.result("dataset/spiral.nc").stat().st_ctime + 1e6
    os.utime(empty.result("dataset/spiral.nc"), (future, future))
    entries = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in cache.iterdir()}
    assert empty.plan(PHASE).jobs != {}
    status, output = empty.run("dynamical_loss", "accept")
    assert status == 0, output
    assert empty.plan(PHASE).jobs == {}
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in cache.iterdir()} == entries
    assert all(path.is_symlink() for path in links)
