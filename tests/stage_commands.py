"""Stages as the command line runs them, in this process."""

import json

from click.testing import CliRunner

from dynamical_loss import cli


def command(*arguments):
    """What a command that succeeds says."""
    result = CliRunner().invoke(
        cli.commands, [str(argument) for argument in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def probed_pair(path, run, probes, seeds=2):
    """Trajectories and spectra of a static and a dynamical run, of some seeds each, gathered, in a folder.

    They are ``static0.nc``, ``static0_spectrum.nc`` and so on, and ``static.nc``; likewise ``dynamical…``.
    """
    data = small_spiral(path)
    for study, amplitude in (("static", 1), ("dynamical", 20)):
        given = []
        for seed in range(seeds):
            trajectory, spectrum = path / f"{study}{seed}.nc", path / f"{study}{seed}_spectrum.nc"
            command(
                "train-trajectory", "--dataset", data, "--seed", seed,
                "--settings", json.dumps({**run, "amplitude": amplitude}), "--output", trajectory,
            )  # fmt: skip
            command(
                "probe-spectrum", "--dataset", data, "--trajectory", trajectory,
                "--settings", json.dumps(probes), "--output", spectrum,
            )  # fmt: skip
            given += ["--trajectory", trajectory, "--spectrum", spectrum]
        command("gather-runs", *given, "--output", path / f"{study}.nc")
    return path


def small_spiral(folder):
    """The file of a spiral of a few points."""
    settings = json.dumps({"points_per_class": 12, "turns": 1})
    command("prepare-dataset", "--settings", settings, "--output", folder / "data.nc")
    return folder / "data.nc"
