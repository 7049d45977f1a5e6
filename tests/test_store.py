"""Files: whole or absent, checked, and saying where they came from."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dynamical_loss import provenance, store
from dynamical_loss.errors import UserError

STAGE = "dynamical_loss.stages.prepare_dataset"


def example(scale=1.0):
    variables = store.Variables()
    variables.add("step", ("step",), np.arange(2000), "time", reference="Eq. 2")
    values = scale * np.random.default_rng(0).normal(size=2000)
    variables.add("loss", ("step",), values, "a loss", reference="Eq. 1")
    variables.add("diverged", (), np.bool_(True), "flag", reference="Fig. 3")
    return variables.dataset()


def record(**settings):
    return store.Provenance(STAGE, settings, [3, 4], "float64")


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "deep" / "file.nc"
    dataset = example()
    dataset["loss"][5] = np.nan
    store.write(dataset, path, record(width=7))
    found = store.read(path, ["loss"])
    np.testing.assert_array_equal(found["loss"].values, dataset["loss"].values)
    assert found["loss"].dtype == np.float64
    assert found["step"].dtype == np.int64
    assert found["loss"].attrs == {"long_name": "a loss", "units": "1", "reference": "Eq. 1"}
    assert int(found["diverged"]) == 1
    assert store.settings_of(found) == {"width": 7}


def test_attributes_say_where_a_file_came_from(tmp_path):
    path = tmp_path / "file.nc"
    store.write(example(), path, record(width=7))
    attributes = store.read(path).attrs
    assert attributes["code_digest"] == provenance.code_digest(STAGE)
    assert attributes["settings_digest"] == provenance.settings_digest({"width": 7})
    assert json.loads(attributes["seeds"]) == [3, 4]
    assert attributes["precision"] == "float64"
    assert attributes["git_state"] in {"clean", "dirty", "unknown"}
    assert {"backend", "device", "git_commit", "wall_seconds", "created", "package_versions"} <= set(
        attributes
    )
    assert "jax " in attributes["package_versions"]


def test_a_variable_without_metadata_is_refused(tmp_path):
    dataset = example()
    del dataset["loss"].attrs["units"]
    with pytest.raises(ValueError, match="loss lacks units"):
        store.write(dataset, tmp_path / "file.nc", record())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.nc"
    path.write_text("old")

    def fail():
        with store.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert [item.name for item in tmp_path.iterdir()] == ["file.nc"]
    assert path.read_text() == "old"


def test_a_killed_writer_leaves_no_file_of_that_name(tmp_path):
    path = tmp_path / "file.nc"
    script = (
        "import sys, time; from pathlib import Path; from dynamical_loss.store import atomic_path\n"
        f"with atomic_path(Path({str(path)!r})) as t:\n"
        "    t.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"writing\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not path.exists()


def test_new_files_get_ordinary_permissions(tmp_path):
    path = tmp_path / "file.txt"
    with store.atomic_path(path) as temporary:
        temporary.write_text("whole")
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.98])
def test_a_truncated_file_is_named_with_the_command_that_rebuilds_it(tmp_path, kept):
    path = tmp_path / "results" / "laptop" / "file.nc"
    store.write(example(), path, record())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError) as error:
        store.read(path)
    assert str(path) in str(error.value)
    assert f"snakemake --cores 1 --force {path}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flipped_byte_in_the_data_is_noticed(tmp_path):
    path = tmp_path / "file.nc"
    store.write(example(), path, record())
    with netCDF4.Dataset(path) as opened:
        assert opened["loss"].filters()["fletcher32"]
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF  # random data take most of the file and do not compress
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="is damaged"):
        store.read(path)


def test_missing_files_and_variables_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.nc does not exist; name another file"):
        store.read(tmp_path / "nothing.nc")
    store.write(example(), tmp_path / "file.nc", record())
    with pytest.raises(UserError, match="no variable 'parameters'"):
        store.read(tmp_path / "file.nc", ["loss", "parameters"])


def test_wall_seconds_run_from_creation(tmp_path):
    stopwatch = record()
    time.sleep(0.05)
    assert stopwatch.attributes(tmp_path)["wall_seconds"] >= 0.05


def test_a_result_of_another_scale_is_rebuilt_with_its_overlay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overlay = Path("workflow", "scales", "smoke.yaml")
    overlay.parent.mkdir(parents=True)
    overlay.touch()
    path = Path("results", "smoke", "dataset", "spiral.nc")
    with pytest.raises(UserError) as error:
        store.check(path)
    assert str(error.value).endswith(f"snakemake --cores 1 --force {path} --configfile {overlay}")


def test_a_file_of_another_origin_is_refused(tmp_path):
    path = tmp_path / "file.nc"
    example().to_netcdf(path)
    with pytest.raises(UserError, match=r"file\.nc has no checksum; it was made by another program"):
        store.read(path)
    store.seal(path)
    with pytest.raises(UserError, match=r"file\.nc has no attribute 'settings'"):
        store.settings_of(store.read(path))
