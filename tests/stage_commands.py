"""Run stages in this process, as the command line does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from dynamical_loss import cli


def command(*arguments: object) -> str:
    """Run a command, verify its success, and return its output."""
    result = CliRunner().invoke(
        cli.commands, [str(argument) for argument in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def probed_pair(path: Path, run: Mapping[str, Any], probes: Mapping[str, Any], seeds: int = 2) -> Path:
    """Train, probe and gather runs with the static loss (A = 1) and with a dynamical loss (A = 20).

    The files are ``static0.nc``, ``static0_spectrum.nc`` and so on for each seed, ``static.nc`` for the
    gathered runs, and the corresponding names with ``dynamical``.

    Args:
        path: folder of the files.
        run: settings of the trajectories.
        probes: settings of the probes.
        seeds: number of runs of each kind.

    Returns:
        the folder.
    """
    data = small_spiral(path)
    for study, amplitude in (("static", 1), ("dynamical", 20)):
        given: list[object] = []
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


def small_spiral(folder: Path) -> Path:
    """Prepare a spiral of 36 points, and return its file."""
    settings = json.dumps({"points_per_class": 12, "turns": 1})
    command("prepare-dataset", "--settings", settings, "--output", folder / "data.nc")
    return folder / "data.nc"
