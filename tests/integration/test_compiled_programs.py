"""Programs kept between jobs: found again, harmless when damaged, and never a change of numbers."""

import os
import subprocess
import sys

import numpy as np
import xarray as xr

from dynamical_loss import cli

SETTINGS = '{"steps": 40, "period": 10, "model": {"width": 5}, "snapshots": {"every": 11}}'


def probe(folder, name):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-m", "dynamical_loss", "probe-spectrum", "--trajectory", folder / "t.nc",
         "--dataset", folder / "d.nc", "--output", folder / name, "--settings", '{"hessian": {"order": 8}}'],
        env=environment | {"XDG_CACHE_HOME": str(folder / "cache")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(folder / name) as stored:
        return stored["hessian_eigenvalue"].load(), done.stderr


def test_a_kept_program_gives_the_same_numbers_and_a_damaged_one_does_no_harm(tmp_path):
    data = str(tmp_path / "d.nc")
    cli.main(["prepare-dataset", "--output", data, "--settings", '{"points_per_class": 7}'])
    cli.main(["train-trajectory", "--dataset", data, "--output", str(tmp_path / "t.nc"),
              "--settings", SETTINGS])  # fmt: skip
    first, _ = probe(tmp_path, "first.nc")
    programs = list((tmp_path / "cache" / "dynamical-loss").glob("jax-*/*-cache"))
    assert programs
    second, _ = probe(tmp_path, "second.nc")
    assert sorted((tmp_path / "cache" / "dynamical-loss").glob("jax-*/*-cache")) == sorted(programs)
    np.testing.assert_array_equal(first, second)
    for program in programs:
        program.write_bytes(program.read_bytes()[:100])
    third, _ = probe(tmp_path, "third.nc")
    np.testing.assert_array_equal(first, third)
