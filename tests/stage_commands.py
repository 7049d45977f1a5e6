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


def small_spiral(folder):
    """The file of a spiral of a few points."""
    settings = json.dumps({"points_per_class": 12, "turns": 1})
    command("prepare-dataset", "--settings", settings, "--output", folder / "data.nc")
    return folder / "data.nc"
