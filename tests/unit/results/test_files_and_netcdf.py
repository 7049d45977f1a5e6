"""Files: complete or absent, with checksums, and with their provenance."""

import fcntl
import hashlib
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

from dynamical_loss import remedies
from dynamical_loss.errors import UnknownOriginError, UnreadableError, UserError
from dynamical_loss.results import checksums, digest, files, netcdf, recorded, sidecars
from dynamical_loss.results.record import Inputs, Provenance
from privileges import open_to_all, without_permission

STAGE = "dynamical_loss.stages.prepare_dataset"


def example(scale=1.0):
    variables = netcdf.Variables()
    variables.add("step", ("step",), np.arange(2000), "time", reference="Eq. 2")
    values = scale * np.random.default_rng(0).normal(size=2000)
    variables.add("loss", ("step",), values, "a loss", reference="Eq. 1")
    variables.add("diverged", (), np.bool_(True), "flag", reference="Fig. 3")
    return variables.dataset()


def record(**settings):
    return Provenance(STAGE, settings, [3, 4], "float64")


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "deep" / "file.nc"
    dataset = example()
    dataset["loss"][5] = np.nan
    record(width=7).write(dataset, path)
    found = netcdf.read(path, ["loss"])
    np.testing.assert_array_equal(found["loss"].values, dataset["loss"].values)
    assert found["loss"].dtype == np.float64
    assert found["step"].dtype == np.int64
    assert found["loss"].attrs == {"long_name": "a loss", "units": "1", "reference": "Eq. 1"}
    assert int(found["diverged"]) == 1
    assert recorded.settings_of(found) == {"width": 7}


def test_attributes_say_where_a_file_came_from(tmp_path):
    path = tmp_path / "file.nc"
    record(width=7).write(example(), path)
    attributes = netcdf.read(path).attrs
    assert attributes["code_digest"] == digest.code_digest(STAGE)
    assert attributes["settings_digest"] == digest.settings_digest({"width": 7})
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
        record().write(dataset, tmp_path / "file.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.nc"
    path.write_text("old", encoding="utf-8")

    def fail():
        with files.atomic_path(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert [item.name for item in tmp_path.iterdir()] == ["file.nc"]
    assert path.read_text(encoding="utf-8") == "old"


def test_a_killed_writer_leaves_no_file_of_that_name(tmp_path):
    path = tmp_path / "file.nc"
    script = (
        "import sys, time; from pathlib import Path; from dynamical_loss.results.files import atomic_path\n"
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
    with files.atomic_path(path) as temporary:
        temporary.write_text("whole", encoding="utf-8")
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.98, 0.9999])
def test_a_truncated_file_is_named_with_the_command_that_rebuilds_it(tmp_path, kept):
    path = tmp_path / "results" / "laptop" / "file.nc"
    record().write(example(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError) as error:
        netcdf.read(path)
    words = remedies.in_words(error.value)
    assert words.startswith(f"{path} is damaged (")
    assert words.endswith(f"; make it with: snakemake --cores 1 --force {path}")
    assert "\n" not in words


def refused_without_a_command(call):
    """Return the message of a refusal, which must be one line without advice to make the file again."""
    with pytest.raises(UnreadableError) as error:
        call()
    words = remedies.in_words(error.value)
    assert "\n" not in words
    assert "damaged" not in words and "snakemake" not in words
    return words


@pytest.mark.parametrize("look", [netcdf.read, netcdf.check, netcdf.checksum])
def test_a_good_file_without_permission_is_not_called_damaged(tmp_path, look):
    path = tmp_path / "results" / "laptop" / "file.nc"
    record().write(example(), path)
    open_to_all(path.parent)
    for closed in (path, path.parent):
        with without_permission(closed):
            words = refused_without_a_command(lambda: look(path))
        assert words.startswith(f"{path} cannot be read (Permission denied); mend its permissions")
    assert look(path) is not False


def test_an_error_of_the_disk_is_not_damage(tmp_path):
    """Linux returns an input/output error if the first page of a process is read."""
    path = tmp_path / "file.nc"
    path.symlink_to("/proc/self/mem")
    words = refused_without_a_command(lambda: netcdf.read(path))
    assert words.startswith(f"{path} cannot be read (Input/output error); mend its permissions, or the disk")


def test_what_the_library_cannot_read_is_told_with_its_own_words(tmp_path):
    """The bytes agree with their checksum, but are no NetCDF file."""
    path = tmp_path / "results" / "laptop" / "file.nc"
    record().write(example(), path)
    content = bytearray(path.read_bytes()[: -len(checksums.of_file(path)) - 24])
    content[:8] = b"nonsense"
    path.write_bytes(bytes(content))
    end = b"\nsha256 of all before: " + checksums.of_file(path).encode()
    path.write_bytes(bytes(content) + end)
    words = refused_without_a_command(lambda: netcdf.read(path))
    assert words.startswith(f"{path} is as it was written, but the NetCDF library cannot read it (NetCDF: ")


def test_locks_of_others_hinder_neither_reading_nor_writing(tmp_path):
    path = tmp_path / "file.nc"
    record().write(example(), path)
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert netcdf.read(path).sizes["step"] == 2000
        netcdf.seal(path)
    strict = "import netCDF4, sys; netCDF4.Dataset(sys.argv[1])"
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        locked = subprocess.run(
            [sys.executable, "-c", strict, path],
            env=os.environ | {"HDF5_USE_FILE_LOCKING": "TRUE"},
            capture_output=True,
        )
    assert locked.returncode != 0, "nothing was locked, so that the test above could not fail"


@pytest.mark.parametrize("content", [b"words: 1\n", b"CDF\x01 an older format", b"\x00" * 99])
def test_another_format_is_foreign_and_not_damaged(tmp_path, content):
    path = tmp_path / "file.nc"
    path.write_bytes(content)
    with pytest.raises(UnknownOriginError, match="is no NetCDF-4 file"):
        netcdf.read(path)


def test_a_flipped_byte_in_the_data_is_noticed(tmp_path):
    path = tmp_path / "file.nc"
    record().write(example(), path)
    with netCDF4.Dataset(path) as opened:
        assert opened["loss"].filters()["fletcher32"]
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= (
        0xFF  # this byte lies in the random data, which take most of the file because they do not compress
    )
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="is damaged"):
        netcdf.read(path)


def test_small_variables_are_not_packed(tmp_path):
    """The index of a compressed variable's chunks takes kilobytes, and a result has dozens of variables."""
    variables = netcdf.Variables()
    for name, size in (("small", 511), ("large", 512)):
        variables.add(name, (f"{name}_index",), np.arange(size, dtype=np.float64), name, reference="none")
    path = tmp_path / "file.nc"
    record().write(variables.dataset(), path)
    with netCDF4.Dataset(path) as opened:
        assert opened["small"].chunking() == "contiguous"
        assert opened["large"].filters()["fletcher32"]
    np.testing.assert_array_equal(netcdf.read(path)["small"], np.arange(511))


def test_missing_files_and_variables_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.nc does not exist$") as error:
        netcdf.read(tmp_path / "nothing.nc")
    assert remedies.in_words(error.value).endswith("; name another file, or create it again")
    record().write(example(), tmp_path / "file.nc")
    with pytest.raises(UserError, match="no variable 'parameters'"):
        netcdf.read(tmp_path / "file.nc", ["loss", "parameters"])


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
        netcdf.check(path)
    words = remedies.in_words(error.value)
    assert words.endswith(f"snakemake --cores 1 --force {path} --configfile {overlay}")


def test_a_file_of_another_origin_is_refused(tmp_path):
    path = tmp_path / "file.nc"
    example().to_netcdf(path)
    with pytest.raises(UserError, match=r"file\.nc has no checksum; it was made by another program"):
        netcdf.read(path)
    netcdf.seal(path)
    with pytest.raises(UserError, match=r"file\.nc has no attribute 'settings'"):
        recorded.settings_of(netcdf.read(path))


# --------------------------------------------------------------------------------------------------
# Checksums
# --------------------------------------------------------------------------------------------------


def mixed():
    """Return a dataset with numbers of several types, scalars, and text."""
    variables = netcdf.Variables()
    variables.add("step", ("step",), np.arange(30, dtype=np.int32), "time", reference="Eq. 2")
    variables.add("loss", ("step",), np.random.default_rng(0).normal(size=30), "loss", reference="Eq. 1")
    variables.add("grid", ("step", "side"), np.ones((30, 2), np.float32), "grid", reference="Fig. 3")
    variables.add("none", ("nothing",), np.zeros(0), "no value", reference="Fig. 3")
    variables.add("diverged", (), np.bool_(False), "flag", reference="Fig. 3")
    variables.add("end", (), np.float64(-0.0), "end", reference="Fig. 4")
    variables.add("rule", ("rule",), ["sharpness", "lösung", ""], "rule", reference="Fig. 4")
    return variables.dataset()


def attributes_of(item):
    return {name: item.getncattr(name) for name in item.ncattrs()}


def sha256_of(pieces):
    """Return the checksum of a list of byte strings, as the documentation of `checksums` defines it."""
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "little") + p for p in pieces)).hexdigest()


def pieces_of_array(values):
    if values.dtype.kind == "O" or values.dtype.kind == "U":
        return [b"str", json.dumps(values.shape).encode(), *(str(text).encode() for text in values.flat)]
    little = values.astype(values.dtype.newbyteorder("<"))
    return [little.dtype.str.encode(), json.dumps(values.shape).encode(), little.tobytes(order="C")]


def pieces_of_attributes(attributes):
    pieces = []
    for name in sorted(attributes):
        value = attributes[name]
        array = np.array([value], dtype=object) if isinstance(value, str) else np.atleast_1d(value)
        pieces += [name.encode(), *pieces_of_array(array)]
    return pieces


def test_checksums_are_those_of_the_description(tmp_path):
    """The test computes the checksums itself and uses only the NetCDF library."""
    record(width=7).write(mixed(), tmp_path / "file.nc")
    pieces = []
    with netCDF4.Dataset(tmp_path / "file.nc") as opened:
        opened.set_auto_maskandscale(False)
        for name in sorted(opened.variables):
            variable = opened.variables[name]
            attributes = attributes_of(variable)
            pieces += [name.encode(), json.dumps(variable.dimensions).encode()]
            pieces += [str(len(attributes)).encode(), *pieces_of_attributes(attributes)]
            pieces += pieces_of_array(np.asarray(variable[...]))
        stated = attributes_of(opened)
    assert stated["content_checksum"] == sha256_of(pieces)
    others = {name: value for name, value in stated.items() if name != "attributes_checksum"}
    assert stated["attributes_checksum"] == sha256_of(pieces_of_attributes(others))
    content = (tmp_path / "file.nc").read_bytes()
    assert content.endswith(hashlib.sha256(content[: content.rindex(b"\nsha256")]).hexdigest().encode())


def test_big_arrays_are_hashed_in_parts_to_the_same_checksum(monkeypatch):
    dataset = mixed().assign(big=(("a", "b", "c"), np.random.default_rng(1).normal(size=(50, 7, 3))))
    whole = checksums.of_content(dataset)
    monkeypatch.setattr(checksums, "_CHUNK_BYTES", 400)
    assert checksums.of_content(dataset) == whole
    assert checksums.of_content(dataset.assign(big=dataset["big"].transpose("b", "a", "c"))) != whole


def test_equal_numbers_have_equal_checksums_and_others_have_not(tmp_path):
    paths = [tmp_path / name for name in ("a.nc", "b.nc", "c.nc")]
    record(width=7).write(mixed(), paths[0])
    record(width=8).write(mixed(), paths[1])
    other = mixed()
    other["end"] = other["end"].copy(data=np.float64(0.0))  # only the sign of zero differs
    record(width=7).write(other, paths[2])
    first, second, third = map(netcdf.checksum, paths)
    assert first == second != third


def test_a_rounded_copy_states_what_is_stored(tmp_path):
    record().write(example(), tmp_path / "full.nc")
    full = netcdf.read(tmp_path / "full.nc")
    netcdf.write_small(full, tmp_path / "small.nc", {}, 3)
    small = netcdf.read(tmp_path / "small.nc")
    assert not np.array_equal(small["loss"], full["loss"])
    assert (
        small.attrs[recorded.CONTENT]
        == netcdf.checksum(tmp_path / "small.nc")
        != full.attrs[recorded.CONTENT]
    )


def test_one_flipped_bit_anywhere_is_noticed(tmp_path):
    path = tmp_path / "whole.nc"
    record(width=7).write(mixed(), path)
    content = path.read_bytes()
    everywhere = np.random.default_rng(0).integers(0, 8 * len(content), 200)
    start = np.arange(0, 8 * 512, 41)  # the superblock and the first header
    end = 8 * len(content) - 1 - np.arange(0, 8 * 90, 23)  # the checksum of all bytes
    for bit in map(int, np.concatenate([everywhere, start, end])):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        copy = tmp_path / f"{bit}.nc"
        copy.write_bytes(damaged)
        with pytest.raises(UserError, match=r"\.nc is damaged \(.+\)$"):
            netcdf.read(copy)
        copy.unlink()


@pytest.mark.parametrize("attribute", [None, "settings"])
def test_a_changed_file_whose_bytes_agree_is_noticed(tmp_path, attribute):
    """Only a program that updates the checksum at the end but not the others would leave such a file."""
    path = tmp_path / "file.nc"
    record(width=7).write(mixed(), path)
    content = path.read_bytes()
    end = content.rindex(b"\nsha256")
    path.write_bytes(content[:end])
    with pytest.raises(UserError, match=r"file\.nc is damaged \(its end is missing\)"):
        netcdf.check(path)
    with netCDF4.Dataset(path, "a") as opened:
        if attribute:
            opened.setncattr(attribute, "{}")
        else:
            opened["end"][...] = 1.0
    changed = path.read_bytes()
    path.write_bytes(changed + content[end:-64] + hashlib.sha256(changed).hexdigest().encode())
    netcdf.check(path)
    with pytest.raises(UserError, match=r"file\.nc is damaged \(it differs from its checksum\)"):
        netcdf.read(path)


# --------------------------------------------------------------------------------------------------
# Inputs, and results that are not NetCDF
# --------------------------------------------------------------------------------------------------


def test_inputs_are_recorded_relative_to_the_output(tmp_path):
    record().write(mixed(), tmp_path / "results" / "a" / "in.nc")
    made = record()
    made.inputs.read(tmp_path / "results" / "a" / "in.nc", ["loss"], made_by="prepare_dataset")
    made.write(mixed(), tmp_path / "results" / "b" / "out.nc")
    found = netcdf.read(tmp_path / "results" / "b" / "out.nc")
    checksum = netcdf.checksum(tmp_path / "results" / "a" / "in.nc")
    assert json.loads(found.attrs["inputs"]) == {"../a/in.nc": checksum}


def test_a_result_of_another_stage_is_refused(tmp_path):
    record().write(mixed(), tmp_path / "in.nc")
    with pytest.raises(UserError, match="not a result of train-trajectory but of prepare-dataset"):
        Inputs().read(tmp_path / "in.nc", ["parameters"], made_by="train_trajectory")


def test_a_result_belongs_to_the_content_that_it_was_made_from(tmp_path):
    source, result, copy = (tmp_path / f"{name}.nc" for name in ("source", "result", "copy"))
    record().write(mixed(), source)
    made = record()
    small = made.inputs.read(source).assign_attrs(published="small", published_from=netcdf.checksum(source))
    made.write(mixed(), result)
    netcdf.write_small(small, copy, {}, 1)
    inputs = Inputs()
    for path in (source, result, copy):
        inputs.read(path)
    inputs.require_made_from(result, source)
    inputs.require_made_from(result, copy)  # a published copy stands for the full result
    record().write(example(), source)
    inputs.read(source)
    with pytest.raises(UserError, match=r"result\.nc was not made from .*source\.nc as it is now"):
        inputs.require_made_from(result, source)


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / "fig.pdf", tmp_path / "fig.png", tmp_path / "other.png"]
    for path in paths:
        path.write_bytes(path.name.encode())
    sidecars.write(paths, record(width=7).attributes(tmp_path), [])
    return paths


def test_a_sidecar_names_the_results_of_its_stem(pictures):
    found = sidecars.read(pictures[0].with_suffix(".json"))
    assert found["files"] == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("fig.pdf", "fig.png")
    }
    assert json.loads(found["settings"]) == {"width": 7}
    assert found["code_digest"] == digest.code_digest(STAGE)
    assert set(sidecars.read(pictures[2].with_suffix(".json"))["files"]) == {"other.png"}


def test_a_changed_picture_or_sidecar_is_refused(pictures):
    sidecar = pictures[0].with_suffix(".json")
    content = sidecar.read_text(encoding="utf-8")
    sidecar.write_text(content.replace("width", "widht"), encoding="utf-8")
    with pytest.raises(UserError, match=r"fig\.json is damaged \(it differs from its checksum\)"):
        sidecars.read(sidecar)
    sidecar.write_text(content[:50], encoding="utf-8")
    with pytest.raises(UserError, match=r"fig\.json is damaged \("):
        sidecars.read(sidecar)
    sidecar.write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"fig\.json names no results"):
        sidecars.read(sidecar)
    sidecar.write_text(content, encoding="utf-8")
    pictures[1].write_bytes(b"fig.pnG")
    with pytest.raises(UserError, match=r"fig\.png is damaged \(it differs from its checksum\)"):
        sidecars.read(sidecar)
    pictures[1].unlink()
    pictures[1].write_bytes(b"fig.png")
    open_to_all(sidecar.parent)
    for closed in (sidecar, pictures[1]):
        with without_permission(closed):
            refused_without_a_command(lambda: sidecars.read(sidecar))
    pictures[1].unlink()
    with pytest.raises(UserError, match=r"fig\.png does not exist"):
        sidecars.read(sidecar)


def test_what_files_do_not_agree_on_is_not_said_of_their_data():
    same = {"dataset": "spiral", "train_samples": 30, "width": 7}
    first, second, third = (
        example().assign_attrs(attributes)
        for attributes in (
            same | {"steps_per_epoch": 1},
            same | {"steps_per_epoch": 2},
            {"dataset": "spiral"},
        )
    )
    assert recorded.of_data(first) == {"dataset": "spiral", "train_samples": 30, "steps_per_epoch": 1}
    assert recorded.of_data(first, second) == {"dataset": "spiral", "train_samples": 30}
    assert recorded.of_data(first, second, third) == {"dataset": "spiral"}
