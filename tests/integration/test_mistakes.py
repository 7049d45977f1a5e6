"""A user's mistake ends with one clear line, before any job starts, and never with a traceback."""

import json
import os
import re
import shlex
import signal

import pytest

from dynamical_loss import cli
from dynamical_loss.results import netcdf

SPIRAL = "results/smoke/dataset/spiral.nc"


@pytest.fixture(scope="module")
def untouched(pristine, tmp_path_factory):
    """A project in which nothing is ever made, because every run is refused."""
    project = pristine.copy(tmp_path_factory.mktemp("mistakes") / "project")
    yield project
    assert not (project.folder / "results").exists()


def refused(status, output):
    """The one line that says what is wrong."""
    assert status != 0
    assert "Traceback" not in output
    assert "Job stats" not in output and "Finished jobid" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            "phase: {spiral_w100: {amplitude: [1, 2]}}",
            "unknown key 'phase.spiral_w100.amplitude'; did you mean 'amplitudes'?",
        ),
        ("learning_rate: 1", "unknown key 'learning_rate'; the keys here are scale, published, datasets"),
        (
            "phase: {spiral_w100: {amplitudes: [1, 0.5]}}",
            "key 'phase.spiral_w100.amplitudes.1': must be at least 1 (it is 0.5)",
        ),
        (
            "phase: {spiral_w100: {periods: [0]}}",
            "key 'phase.spiral_w100.periods.0': must be greater than 0 (it is 0)",
        ),
        (
            "phase: {spiral_w100: {periods: [20, 101]}}",
            "'phase.spiral_w100': periods: T = 101 leaves no static period at the end of 200 steps; "
            "take T <= 100 or more steps",
        ),
        (
            "threshold: {trajectory: {period: 150}}",
            "'threshold.trajectory': period: T = 150 leaves no static period at the end of 200 steps",
        ),
        (
            "phase: {spiral_w100: {periods: []}}",
            "key 'phase.spiral_w100.periods': the list is empty; give at least one value",
        ),
        (
            "phase: {spiral_w100: {periods: [20, 20]}}",
            "key 'phase.spiral_w100.periods': lists a value twice; remove one",
        ),
        (
            "figures: {phase_narrow: spiral_w10}",
            "figures.phase_narrow: no 'spiral_w10' under `phase`; there is spiral_w100, spiral_w1000",
        ),
        ("figures: {cascade: cascad}", "figures.cascade: no 'cascad' under `trajectories`; there is cascade"),
        ("phase: {spiral_w100: {dataset: spirl}}", "phase.spiral_w100.dataset: no 'spirl' under `datasets`"),
        (
            "trajectories: {cascade: {snapshots: {every: 4}}}",
            "snapshots every 4 steps see only one branch of the period-2 oscillation; take an odd number",
        ),
        (
            "phase: {spiral_w100: {optimiser: {kind: sgdd}}}",
            "optax has no optimiser 'sgdd'; sgd, adam and rmsprop are examples",
        ),
        (
            "phase: {spiral_w100: {optimiser: {arguments: {momentun: 0.9}}}}",
            "optax.sgd takes no argument 'momentun'; it takes momentum",
        ),
        ("phase: [1]", "key 'phase': must be a group of `key: value` lines"),
        ("scale: ../elsewhere", "key 'scale'"),
        ('phase: {"a; touch x": {}}', "key 'phase.a; touch x"),
        ("phase: {../spiral: {}}", "key 'phase.../spiral"),
        ('datasets: {"$(touch x)": {}}', "key 'datasets.$(touch x)"),
        ("datasets: {../spiral: {}}", "key 'datasets.../spiral"),
        ('trajectories: {"a`touch x`": {}}', "key 'trajectories.a`touch x`"),
        ("trajectories: {a/../../b: {}}", "key 'trajectories.a/../../b"),
        ('figures: {folder: "{figure}"}', "key 'figures.folder': must have no braces"),
        ('figures: {folder: "a\\nb"}', "key 'figures.folder': must have no control characters"),
        ("figures: {folder: -rf}", "key 'figures.folder': must name a folder, and not begin with '-'"),
        ('figures: {folder: ""}', "key 'figures.folder': must name a folder"),
    ],
)
def test_a_mistake_in_an_overlay_names_the_key_and_the_remedy(untouched, overlay, line):
    arguments = untouched.arguments(overlay=untouched.overlay(overlay), options=("--cores", "1"))
    found = refused(*untouched.run(*arguments))
    assert found.startswith("error: workflow/scales/smoke.yaml + overlay.yaml: ")
    assert line in found


def test_names_that_were_refused_made_nothing(untouched):
    """The names above, had a shell seen them."""
    assert not list(untouched.folder.rglob("x"))
    assert not (untouched.folder.parent / "elsewhere").exists()


def test_a_scale_on_the_command_line_stays_in_its_folder(untouched):
    options = ("--cores", "1", "--config", "scale=../x")
    found = refused(*untouched.run(*untouched.arguments(config=(), options=options)))
    assert found.startswith("error: --config: key 'scale'")
    assert not (untouched.folder / "x").exists()


def test_a_mistake_on_the_command_line_is_named_as_such(untouched):
    options = ("--cores", "1", "--config", "figures={cascade: cascad}")
    found = refused(*untouched.run(*untouched.arguments(config=(), options=options)))
    assert found.startswith("error: --config: figures.cascade: no 'cascad'")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("points_per_class: 100", "points_per_clas: 100", "unknown key 'datasets.spiral.points_per_clas'"),
        ("seeds: 10\n", "seeds: [10\n", ": not valid YAML; mend the syntax"),
        ("seeds: 10\n", "\tseeds: 10\n", ": not valid YAML; mend the syntax"),
    ],
)
def test_a_mistake_in_the_configuration_file_names_it(pristine, tmp_path, old, new, line):
    project = pristine.copy(tmp_path / "project")
    path = project.folder / "config.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    found = refused(*project.run(*project.arguments(options=("--cores", "1"))))
    assert found.startswith("error: config.yaml")
    assert line in found


def test_broken_yaml_in_an_overlay_is_told_by_snakemake(untouched):
    """Snakemake reads overlays before any line of ours, so this is its message, not ours."""
    overlay = untouched.overlay("phase: {spiral_w100: [1\n")
    status, output = untouched.run(*untouched.arguments(overlay=overlay, options=("--cores", "1")))
    assert status != 0
    assert "Config file is not valid JSON or YAML." in output
    assert "Traceback" not in output


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
    path = project.result("threshold.nc")
    os.truncate(path, path.stat().st_size - 1)
    figure = "results/smoke/figures/fig5_threshold_scaling.pdf"
    arguments = project.arguments(figure, options=("--cores", "1"))
    status, output = project.run(*arguments)
    assert status != 0
    assert "Traceback" not in output
    assert "Rendering" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: results/smoke/threshold.nc is damaged (")
    command = shlex.split(re.search(r"make it with: (snakemake .+)$", line)[1])
    status, output = project.run(*command)
    assert status == 0, output
    assert project.plan(figure).jobs == {"render_figure": 1}


def test_a_flipped_byte_fails_its_job_with_one_line(project):
    """What a look at the start cannot see is caught by the checksum when the values are read."""
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


# --------------------------------------------------------------------------------------------------
# Commands alone
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command as ``python -m dynamical_loss`` would; returns status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own
    overlay = tmp_path / "workflow" / "scales" / "smoke.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.touch()
    (tmp_path / "text.yaml").write_text("turn: 3\n")

    def run(*arguments):
        try:
            cli.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:  # any other exception would be a traceback
            status = stop.code
        return status, "".join(capsys.readouterr())

    return run


def settings(values):
    return ("--settings", json.dumps(values), "--output", "made.nc")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["prepare-datast"], "Did you mean 'prepare-dataset'?"),
        (
            ["prepare-dataset"],
            "Missing option '--output' (see python -m dynamical_loss prepare-dataset --help)",
        ),
        (["prepare-dataset", "--outptu", "made.nc"], "Did you mean '--output'?"),
        (
            ["prepare-dataset", *settings({"turn": 3})],
            "--settings: unknown key 'turn'; did you mean 'turns'?",
        ),
        (["prepare-dataset", *settings({"turns": 0})], "--settings: key 'turns': must be greater than 0"),
        (["prepare-dataset", *settings([1])], "'[1]' is neither JSON nor a file that can be read"),
        (
            ["prepare-dataset", "--output", "made.nc", "--settings", '{"turns": '],
            "--settings, line 1: not valid YAML or JSON; mend the syntax",
        ),
        (
            ["prepare-dataset", "--output", "made.nc", "--settings", "nothing.yaml"],
            "--settings: 'nothing.yaml' is neither JSON nor a file that can be read",
        ),
        (
            ["prepare-dataset", "--output", "made.nc", "--settings", "text.yaml"],
            "error: text.yaml: unknown key 'turn'; did you mean 'turns'?",
        ),
        (
            ["prepare-dataset", "--output", "text.yaml/made.nc"],
            "error: text.yaml: File exists; check the path",
        ),
        (
            ["train-trajectory", "--dataset", "nothing.nc", "--output", "made.nc"],
            "nothing.nc does not exist; name another file, or write it anew",
        ),
        (
            ["train-trajectory", "--dataset", SPIRAL, "--output", "made.nc"],
            f"{SPIRAL} does not exist; make it with: "
            f"snakemake --cores 1 --force {SPIRAL} --configfile workflow/scales/smoke.yaml",
        ),
        (["train-trajectory", "--dataset", "text.yaml", "--output", "made.nc"], "text.yaml is damaged ("),
        (
            ["train-phase-block", "--dataset", "nothing.nc", "--period", "0", "--output", "made.nc"],
            "Invalid value for '--period': 0 is not in the range x>=1",
        ),
        (
            ["train-phase-block", "--dataset", "nothing.nc", "--amplitude", "0.5", "--output", "made.nc"],
            "Invalid value for '--amplitude': 0.5 is not in the range x>=1",
        ),
        (
            ["train-phase-block", "--dataset", "nothing.nc", "--amplitude", "3", "--output", "made.nc"],
            "--period is missing; an amplitude above 1 needs one",
        ),
        (
            ["train-trajectory", "--dataset", "nothing.nc", *settings({"period": 50, "steps": 99})],
            "period: T = 50 leaves no static period at the end of 99 steps; take T <= 49 or more steps",
        ),
        (["aggregate-phase", "text.yaml", "--output", "made.nc"], "'text' is not the name of a block"),
        (["render-figure", "fig9", "--output", "made.pdf"], "there is no figure 'fig9'"),
        (
            ["render-figure", "fig4_cascade", "--output", "made.txt"],
            "made.txt: give it the suffix .pdf or .png",
        ),
        (["publish-result", "--result", "claims.csv", "--output", "made.csv"], "claims.json does not exist"),
        (["verify", "nothing"], "there is no folder nothing; name one that holds results"),
        (
            ["render-figure", "fig2_spiral_dataset", "--output", "made.pdf"],
            "figure fig2_spiral_dataset needs --input dataset=FILE",
        ),
        (
            ["render-figure", "fig2_spiral_dataset", "--input", "spiral.nc", "--output", "made.pdf"],
            "--input 'spiral.nc': write it as NAME=VALUE",
        ),
        (
            ["render-figure", "fig4_cascade", "--option", "zoom=[1", "--output", "made.pdf"],
            "--option zoom, line 1: not valid YAML or JSON; mend the syntax",
        ),
    ],
)
def test_a_command_refuses_in_one_line(command, tmp_path, arguments, line):
    status, output = command(*arguments)
    assert status == 2
    assert output.count("\n") == 1
    assert output.startswith("error: ")
    assert line in output
    assert not list(tmp_path.glob("made*"))


def test_without_a_command_the_help_is_shown(command):
    status, output = command()
    assert status == 2
    assert output.startswith("Usage: python -m dynamical_loss")
    assert "train-phase-block" in output


def test_a_mistake_leaves_no_traceback_in_the_shell(untouched):
    status, output = untouched.run("dynamical_loss", "prepare-dataset", *settings({"turn": 3}))
    assert (status, output) == (2, "error: --settings: unknown key 'turn'; did you mean 'turns'?\n")


@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_a_command_names_a_truncated_input(command, kept):
    assert command("prepare-dataset", "--output", SPIRAL) == (0, "")
    os.truncate(SPIRAL, int(kept * os.path.getsize(SPIRAL)))
    status, output = command("train-trajectory", "--dataset", SPIRAL, "--output", "made.nc")
    assert status == 2
    assert output.startswith(f"error: {SPIRAL} is damaged (")
    assert output.endswith(f"snakemake --cores 1 --force {SPIRAL} --configfile workflow/scales/smoke.yaml\n")


def test_settings_may_come_from_a_file(command, tmp_path):
    (tmp_path / "mine.yaml").write_text("points_per_class: 7\n")
    assert command("prepare-dataset", "--settings", "mine.yaml", "--output", "made.nc") == (0, "")
    assert netcdf.read(tmp_path / "made.nc").sizes["train_sample"] == 21
