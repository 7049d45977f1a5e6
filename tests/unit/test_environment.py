"""The environment of a process: no variable of all known ones changes a number without a record."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from dynamical_loss import environment
from dynamical_loss.errors import UserError
from dynamical_loss.optimisers import optimiser
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Provenance

SOURCE = str(Path(__file__).parents[2] / "src")

SETTINGS_SEEN = """
import json
from dynamical_loss import environment
environment.prepare()
import flax, jax, numba
print(json.dumps({
    "jax": {name: str(getattr(jax.config, name, value)) for name, value in jax.config.values.items()},
    "flax": {name: str(getattr(flax.config, name)) for name in sorted(flax.config._values)},
    "numba": {name: str(value) for name, value in vars(numba.config).items() if name.isupper()},
}))
"""


def in_surroundings(variables, *arguments, **options):
    """Run Python with additional environment variables; return its exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": SOURCE, **variables},
        capture_output=True,
        text=True,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def seen(variables):
    status, output, error = in_surroundings(variables, "-c", SETTINGS_SEEN)
    assert status == 0, error
    return json.loads(output)


def harmless(name):
    return any(name.startswith(known.rstrip("*")) for known in environment._HARMLESS)


@pytest.fixture(name="clean", scope="module")
def _clean():
    return seen({})


def test_no_variable_reaches_a_setting_of_jax_flax_or_numba(clean):
    """Set the variable of every setting that these libraries list."""
    names = [
        *(name.upper() for name in clean["jax"]),
        *(name.upper() for name in clean["flax"]),
        *(f"NUMBA_{name}" for name in clean["numba"]),
    ]
    assert len(names) > 150
    # The value is no valid boolean, number or choice, so any library that still read it would fail.
    foreign = {name: "perturbed" for name in names if not harmless(name)}
    assert seen(foreign) == clean
    # A value that is valid for many settings must have no effect either.
    assert seen(dict.fromkeys(foreign, "1")) == clean


def test_results_in_foreign_surroundings_have_equal_numbers(tmp_path):
    dataset = tmp_path / "spiral.nc"
    command = ["-m", "dynamical_loss"]
    status, _, error = in_surroundings({}, *command, "prepare-dataset", "--output", str(dataset))
    assert status == 0, error
    foreign = {
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "JAX_DEBUG_NANS": "1",
        "JAX_RANDOM_SEED_OFFSET": "7",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "FLAX_FIX_RNG_SEPARATOR": "1",
        "NUMBA_DISABLE_JIT": "1",
        "OMP_NUM_THREADS": "7",
        "PJRT_NPROC": "2",
        "JAX_PLATFORMS": "cuda",
    }
    checksums = []
    for number, variables in enumerate(({}, foreign)):
        output = tmp_path / f"{number}.nc"
        settings = json.dumps({"engine": "xla", "steps": 40, "record_every": 10, "model": {"width": 7}})
        arguments = ["--dataset", str(dataset), "--settings", settings, "--output", str(output)]
        arguments += ["--period", "20", "--amplitude", "5", "--device", "cpu"]
        status, _, error = in_surroundings(variables, *command, "train-phase-block", *arguments)
        assert status == 0, error
        checksums.append(netcdf.checksum(output))
    assert checksums[0] == checksums[1]


def test_what_is_left_alone_is_recorded_and_what_is_harmless_is_not(monkeypatch):
    for name in environment.recorded():
        monkeypatch.delenv(name)
    assert environment.recorded() == {}
    # Variables that are not known to change numbers are not stored, such as a password for Terraform or the
    # paths of CUDA.
    for name in ("XLA_PYTHON_CLIENT_PREALLOCATE", "CUDA_HOME", "TF_TOKEN_app_terraform_io", "CUDNN_PATH"):
        monkeypatch.setenv(name, "1")
    assert environment.recorded() == {}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    expected = {"NVIDIA_TF32_OVERRIDE": "1", "XLA_FLAGS": "--xla_cpu_enable_fast_math=true"}
    assert environment.recorded() == expected
    record = Provenance("dynamical_loss.stages.prepare_dataset", {}, [0], "float64")
    assert json.loads(record.attributes(Path())["surroundings"]) == expected


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ("", "--xla_backend_optimization_level=2"),
        ("--xla_dump_to='/tmp/a  b'", "--xla_dump_to='/tmp/a  b' --xla_backend_optimization_level=2"),
        ("--xla_backend_optimization_level=3", "--xla_backend_optimization_level=3"),
        ("flags.txt", "flags.txt"),
    ],
)
def test_the_level_of_optimisation_is_that_of_the_user_or_ours(monkeypatch, given, then):
    for name in environment.recorded():
        monkeypatch.delenv(name)
    monkeypatch.setenv("XLA_FLAGS", given)
    for _ in range(2):  # a job inherits what Snakemake has set
        environment.pin()
        assert os.environ["XLA_FLAGS"] == then
        assert environment.recorded() == ({"XLA_FLAGS": given} if given else {})


def test_the_pinned_settings_of_jax_are_its_own_defaults(clean):
    for name, value in environment.JAX_SETTINGS.items():
        assert name in jax.config.values
        assert str(value).lower() in clean["jax"][name].lower()
    environment.require_pinned()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_threefry_partitionable", False),
        ("jax_enable_x64", True),
        ("jax_default_prng_impl", "rbg"),
        ("jax_default_matmul_precision", "bfloat16"),
        ("jax_numpy_dtype_promotion", "strict"),
    ],
)
def test_a_program_that_changed_jax_is_refused_in_one_line(name, value):
    before = jax.config.values[name]
    jax.config.update(name, value)
    try:
        with pytest.raises(UserError, match=f"JAX's setting {name} is '?{value}'?, and results") as error:
            Provenance("dynamical_loss.stages.prepare_dataset", {}, [0], "float64")
    finally:
        jax.config.update(name, getattr(before, "value", before))
    assert "\n" not in str(error.value)


def test_numba_s_file_of_settings_is_refused(tmp_path):
    (tmp_path / ".numba_config.yaml").write_text("disable_jit: 1\n", encoding="utf-8")
    status, _, error = in_surroundings({}, "-m", "dynamical_loss", "verify", cwd=tmp_path)
    assert status == 2
    assert error.splitlines() == [
        "error: .numba_config.yaml in this folder would change how numba compiles; move it elsewhere"
    ]


def test_a_device_that_is_not_there_is_told_by_the_variable_that_asks_for_it(tmp_path):
    arguments = ["train-trajectory", "--dataset", "d.nc", "--output", "o.nc"]
    foreign = {"JAX_PLATFORMS": "rocm"}
    status, _, error = in_surroundings(foreign, "-m", "dynamical_loss", *arguments, cwd=tmp_path)
    assert status == 2
    (line,) = [line for line in error.splitlines() if not line.startswith(("WARNING", "I0", "W0", "E0"))]
    assert line.startswith("error: JAX_PLATFORMS is rocm, and JAX cannot compute there (")
    assert line.endswith("); unset it, or use --device cpu")


def test_commands_read_and_write_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "größe.yaml").write_text("# Größe\npoints_per_class: 4\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = ["prepare-dataset", "--settings", "größe.yaml", "--output", "made.nc"]
    status, _, error = in_surroundings(plain, "-m", "dynamical_loss", *arguments, cwd=tmp_path)
    assert status == 0, error
    assert netcdf.read(tmp_path / "made.nc").sizes["train_sample"] == 12
    arguments[-1] = "ä.nc"
    status, _, error = in_surroundings(plain, "-m", "dynamical_loss", *arguments, cwd=tmp_path)
    assert (status, len(error.splitlines())) == (2, 1)
    assert "use a locale with UTF-8" in error
    for command in ("verify", "train-trajectory"):
        status, _, error = in_surroundings(plain, "-m", "dynamical_loss", command, "--help")
        assert status == 0, error


def test_the_package_is_found_in_a_folder_that_the_locale_cannot_write(tmp_path):
    """The Makefile replaces pip here, because pip wrote the absolute path in the locale's encoding."""
    clone = tmp_path / "klön ß"
    (clone / "src" / "dynamical_loss").mkdir(parents=True)
    (clone / "src" / "dynamical_loss" / "__init__.py").write_text("FOUND = True\n", encoding="utf-8")
    makefile = (Path(SOURCE).parent / "Makefile").read_text(encoding="utf-8")
    link = re.search(r"^define LINK\n(.+?)^endef", makefile, re.DOTALL | re.MULTILINE)[1]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    for command in (link, "import dynamical_loss; assert dynamical_loss.FOUND"):
        done = subprocess.run(
            [clone / ".venv" / "bin" / "python", "-c", command],
            cwd=clone,
            env={"LC_ALL": "C"},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr


CHECK = """
from dynamical_loss.optimisers import optimiser
optimiser("sgd", {"momentum": 0.9, "nesterov": True})
"""


def test_optimisers_are_checked_whatever_devices_there_are():
    status, _, error = in_surroundings({"JAX_PLATFORMS": "cuda"}, "-c", CHECK)
    assert status == 0, error
    with pytest.raises(ValueError, match=r"optax\.lbfgs cannot be used"):
        optimiser("lbfgs", {})
