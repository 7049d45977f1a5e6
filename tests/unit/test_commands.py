"""Commands of ``python -m dynamical_loss``: a mistake ends with one line and exit status 2."""

import json
import os
import signal

import pytest

from dynamical_loss import cli
from dynamical_loss.config import code
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.results import netcdf

SPIRAL = "results/smoke/dataset/spiral.nc"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command as ``python -m dynamical_loss`` would; return its exit status and its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest needs its own handlers
    overlay = tmp_path / "workflow" / "scales" / "smoke.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.touch()
    (tmp_path / "text.yaml").write_text("turn: 3\n", encoding="utf-8")

    def run(*arguments):
        try:
            cli.main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as stop:  # any other exception would be a traceback for the user
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
        (["prepare-dataset", *settings([1])], "'[1]' is neither JSON nor a file"),
        (
            ["prepare-dataset", "--output", "made.nc", "--settings", '{"turns": '],
            "--settings, line 1: not valid YAML or JSON; correct the syntax",
        ),
        (
            ["prepare-dataset", "--output", "made.nc", "--settings", "nothing.yaml"],
            "--settings: 'nothing.yaml' is neither JSON nor a file",
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
            "nothing.nc does not exist; name another file, or create it again",
        ),
        (
            ["train-trajectory", "--dataset", SPIRAL, "--output", "made.nc"],
            f"{SPIRAL} does not exist; make it with: "
            f"snakemake --cores 1 --force {SPIRAL} --configfile workflow/scales/smoke.yaml",
        ),
        (
            ["train-trajectory", "--dataset", "text.yaml", "--output", "made.nc"],
            "text.yaml is no NetCDF-4 file; name",
        ),
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
            "--period is missing; add it, because an amplitude above 1 needs a period",
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
            "--option zoom, line 1: not valid YAML or JSON; correct the syntax",
        ),
        (
            ["render-figure", "figS2_cascade_cifar10", "--option", "zooom=[1, 2]", "--output", "made.pdf"],
            "figure figS2_cascade_cifar10 knows no --option zooom; it takes zoom",
        ),
        (
            ["render-figure", "fig2_spiral_dataset", "--option", "zoom=[1, 2]", "--output", "made.pdf"],
            "figure fig2_spiral_dataset knows no --option zoom; it takes none",
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


@pytest.mark.parametrize("kept", [0, 0.3, 0.9])
def test_a_command_names_a_truncated_input(command, kept):
    assert command("prepare-dataset", "--output", SPIRAL) == (0, "")
    os.truncate(SPIRAL, int(kept * os.path.getsize(SPIRAL)))
    status, output = command("train-trajectory", "--dataset", SPIRAL, "--output", "made.nc")
    assert status == 2
    assert output.startswith(f"error: {SPIRAL} is damaged (")
    assert output.endswith(f"snakemake --cores 1 --force {SPIRAL} --configfile workflow/scales/smoke.yaml\n")


def test_settings_may_come_from_a_file(command, tmp_path):
    (tmp_path / "mine.yaml").write_text("points_per_class: 7\n", encoding="utf-8")
    assert command("prepare-dataset", "--settings", "mine.yaml", "--output", "made.nc") == (0, "")
    assert netcdf.read(tmp_path / "made.nc").sizes["train_sample"] == 21


def test_work_is_refused_whose_code_was_edited_since_it_was_planned(command, tmp_path):
    status, output = command("--code", "0" * 12, "prepare-dataset", "--output", "made.nc")
    assert status == 2
    assert output == "error: the code was edited after this work was planned; run the same command again\n"
    assert not (tmp_path / "made.nc").exists()
    planned = code.dataset(SpiralSettings()).digest
    assert command("--code", planned, "prepare-dataset", "--output", "made.nc") == (0, "")
    # The digest that one command expected must not apply to the next command.
    assert command("prepare-dataset", "--output", "made.nc") == (0, "")
