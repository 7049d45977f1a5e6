"""A user's mistake ends with one clear line before any job starts, and never with a traceback."""

import os
import re
import shlex
import shutil

import pytest
from snakemake.utils import update_config

from overlays import CONFIG, SCALES, merged, settings

SPIRAL = "results/smoke/dataset/spiral.nc"


@pytest.fixture(scope="module")
def untouched(pristine, tmp_path_factory):
    """A project in which no result is ever made, because every run is refused."""
    project = pristine.copy(tmp_path_factory.mktemp("mistakes") / "project")
    yield project
    assert not (project.folder / "results").exists()


def refused(status, output):
    """Return the only line that reports an error."""
    assert status != 0
    assert "Traceback" not in output
    assert "Job stats" not in output and "Finished jobid" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


OVERLAY = "workflow/scales/smoke.yaml + overlay.yaml: "


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            "phase: {spiral_w100: {amplitude: [1, 2]}}",
            f"{OVERLAY}unknown key 'phase.spiral_w100.amplitude'; did you mean 'amplitudes'?",
        ),
        ('phase: {"a; touch x": {}}', f"{OVERLAY}key 'phase.a; touch x"),
    ],
)
def test_a_mistake_in_an_overlay_stops_before_any_job(untouched, overlay, line):
    """Two of many mistakes; tests/unit/config tries the others on the loader."""
    arguments = untouched.arguments(overlay=untouched.overlay(overlay), options=("--cores", "1"))
    assert refused(*untouched.run(*arguments)).startswith(f"error: {line}")
    assert not list(untouched.folder.rglob("x"))


@pytest.mark.parametrize("scale", ["smoke", "paper", "gpu", "headline", "cifar10", "published", "lazy"])
def test_overlays_are_merged_as_snakemake_merges_them(scale):
    theirs = settings(CONFIG)
    extra = {"phase": {"spiral_w100": {"amplitudes": [3]}, "another": {"model": {"width": 5}}}, "scale": "x"}
    layers = (settings(SCALES / f"{scale}.yaml"), extra, {"phase": 3}, {"phase": {"again": {}}})
    for layer in layers:
        update_config(theirs, layer)
    assert merged(settings(CONFIG), *layers) == theirs


@pytest.mark.parametrize(
    ("overlay", "config", "words"),
    [
        ("phase: {}\nscale: x\nphase: {}\n", "", "overlay.yaml, line 3: the key 'phase' is given twice"),
        ("phase: {spiral_w100: {seeds: 010}}", "", "overlay.yaml, line 1: 010 may be a decimal or an octal"),
        (
            "{}",
            "threshold={widths: {100: {}, 1_00: {}}}",
            "--config threshold, line 1: the key '100' is given twice",
        ),
        ("{}", "scale=a scale=b", "--config: the key 'scale' is given twice"),
        (
            "{}",
            "phase={spiral_w100: {seeds: 010}}",
            "--config phase, line 1: 010 may be a decimal or an octal",
        ),
    ],
)
def test_nothing_that_is_given_is_dropped_in_silence(untouched, overlay, config, words):
    options = ["--cores", "1"]
    pairs = shlex.split(config) if " scale=" in config else [config] if config else []
    arguments = untouched.arguments(overlay=untouched.overlay(overlay), config=(), options=options)
    if pairs:
        arguments = [*arguments, "--config", *pairs]
    assert refused(*untouched.run(*arguments)).startswith(f"error: {words}")


@pytest.mark.parametrize("spelling", ["100", '"100"', "1_00"])
def test_an_overlay_reaches_a_group_in_every_spelling_of_its_key(pristine, untouched, spelling):
    """One width and one learning rate get one more seed; the other keys of the group are unchanged."""
    overlay = untouched.overlay(f"threshold: {{scaling: {{widths: {{{spelling}: {{seeds: 2}}}}}}}}")
    target = "results/smoke/threshold/scaling.nc"
    plain = pristine.plan(target).jobs["train_trajectory"]
    assert untouched.plan(target, overlay=overlay).jobs["train_trajectory"] == plain + 1


def test_a_scale_on_the_command_line_stays_in_its_folder(untouched):
    options = ("--cores", "1", "--config", "scale=../x")
    found = refused(*untouched.run(*untouched.arguments(config=(), options=options)))
    assert found.startswith("error: --config: key 'scale'")
    assert not (untouched.folder / "x").exists()


def test_a_mistake_in_the_configuration_file_names_it(pristine, tmp_path):
    project = pristine.copy(tmp_path / "project")
    path = project.folder / "config.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("seeds: 10\n", "\tseeds: 10\n", 1), encoding="utf-8"
    )
    found = refused(*project.run(*project.arguments(options=("--cores", "1"))))
    assert found.startswith("error: config.yaml")
    assert ": not valid YAML or JSON; correct the syntax" in found


def test_broken_yaml_in_an_overlay_is_told_by_snakemake(untouched):
    """Snakemake reads overlays before it runs the project's code, so the message is Snakemake's."""
    overlay = untouched.overlay("phase: {spiral_w100: [1\n")
    status, output = untouched.run(*untouched.arguments(overlay=overlay, options=("--cores", "1")))
    assert status != 0
    assert "Config file is not valid JSON or YAML." in output
    assert "Traceback" not in output


def test_files_are_read_as_utf_8_whatever_the_locale(pristine):
    """The locale is plain ASCII, and Python's own remedies for such a locale are switched off."""
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = pristine.arguments(options=("--dry-run",))
    status, output = pristine.run_alone(*arguments, **ascii_alone)
    assert status == 0, output
    assert "train_trajectory" in output


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        ("{kind: cifar10, source: a b/pictures.tar}", "a b/pictures.tar"),
        ("{kind: fashion_mnist, source: nowhere}", "nowhere"),
    ],
)
def test_a_source_that_is_not_there_stops_what_needs_it_alone(untouched, settings, source):
    overlay = untouched.overlay(f"datasets: {{pictures: {settings}}}")
    target = "results/smoke/dataset/pictures.nc"
    found = refused(*untouched.run(*untouched.arguments(target, overlay=overlay, options=("--cores", "1"))))
    assert found == (
        f"error: datasets.pictures.source: there is no {source}; name a file or folder that exists "
        "(docs/data.md)"
    )
    assert untouched.plan(SPIRAL, overlay=overlay).jobs == {"prepare_dataset": 1}


def test_a_source_may_have_braces_in_its_name(untouched):
    """Snakemake would read the braces as a wildcard, so the file is identified by its checksum instead."""
    (untouched.folder / "a {b} {}.tar").write_bytes(b"no archive yet")
    overlay = untouched.overlay('datasets: {pictures: {kind: cifar10, source: "a {b} {}.tar"}}')
    target = "results/smoke/dataset/pictures.nc"
    assert untouched.plan(target, overlay=overlay).jobs == {"prepare_dataset": 1}
    status, _ = untouched.run(*untouched.arguments(target, overlay=overlay, options=("--cores", "1")))
    assert status != 0
    log = (untouched.folder / "logs/smoke/prepare_dataset/pictures.log").read_text(encoding="utf-8")
    assert log.startswith("error: a {b} {}.tar is truncated or no tar archive")
    shutil.rmtree(untouched.folder / "results", ignore_errors=True)


@pytest.mark.parametrize("target", ["paper_figures/fig9.pdf", "results/smoke/phase/spiral_w10.nc", "figs"])
def test_a_wrong_target_is_named(untouched, target):
    status, output = untouched.run(*untouched.arguments(target, options=("--cores", "1")))
    assert status != 0
    assert f"No rule to produce {target} " in output
    assert "Traceback" not in output


def test_a_file_name_that_is_no_block_is_no_target(untouched):
    target = "results/smoke/phase/spiral_w100/T20_seeds0-1.nc"
    status, output = untouched.run(*untouched.arguments(target, options=("--cores", "1")))
    assert status != 0
    assert f"No rule to produce {target} " in output
    assert "Traceback" not in output


# --------------------------------------------------------------------------------------------------
# Damaged results
# --------------------------------------------------------------------------------------------------


def test_a_truncated_result_stops_the_run_and_the_given_command_mends_it(project):
    path = project.result("threshold/scaling.nc")
    os.truncate(path, path.stat().st_size - 1)
    figure = "results/smoke/figures/fig5_threshold_scaling.pdf"
    arguments = project.arguments(figure, options=("--cores", "1"))
    status, output = project.run(*arguments)
    assert status != 0
    assert "Traceback" not in output
    assert "Rendering" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: results/smoke/threshold/scaling.nc is damaged (")
    command = shlex.split(re.search(r"make it with: (snakemake .+)$", line)[1])
    status, output = project.run(*command)
    assert status == 0, output
    assert project.plan(figure).jobs == {"render_figure": 1}


def test_a_flipped_byte_fails_its_job_with_one_line(project):
    """The check at the start cannot see this damage; the checksum finds it when the values are read."""
    path = project.result("trajectory/static_w1000_seed0.nc")
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    path.write_bytes(content)
    target = "results/smoke/spectrum/static_w1000_seed0.nc"
    status, output = project.run(*project.arguments(target, options=("--cores", "1")))
    assert status != 0
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "trajectory/static_w1000_seed0.nc is damaged" in line
    assert "snakemake --cores 1 --force results/smoke/trajectory/static_w1000_seed0.nc" in line


def test_a_mistake_leaves_no_traceback_in_the_shell(untouched):
    status, output = untouched.run(
        "dynamical_loss", "prepare-dataset", "--settings", '{"turn": 3}', "--output", "made.nc"
    )
    assert (status, output) == (2, "error: --settings: unknown key 'turn'; did you mean 'turns'?\n")
