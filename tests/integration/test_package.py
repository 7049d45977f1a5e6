"""The package as users install it: built, installed in empty environments, and used there."""

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from project import ROOT

TOOLS = Path(sys.executable).parent
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "src")

# A dynamical loss in a user's own training loop, and the Hessian where it ends.
EXAMPLE = """
import jax
import jax.numpy as jnp
import optax

from dynamical_loss import api

inputs, labels = jnp.array([[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]]), jnp.arange(3)
schedule = api.class_weight_schedule(period=20, amplitude=5.0, classes=3)
each = api.dynamical(api.cross_entropy, schedule)
start = {"kernel": 0.1 * jax.random.normal(jax.random.key(0), (2, 3)), "bias": jnp.zeros(3)}


def loss(parameters, step):
    return jnp.mean(each(inputs @ parameters["kernel"] + parameters["bias"], labels, step))


optimiser = optax.sgd(0.5)
parameters, state = start, optimiser.init(start)
for step in range(100):
    updates, state = optimiser.update(jax.grad(loss)(parameters, step), state)
    parameters = optax.apply_updates(parameters, updates)
spectrum = api.hessian_extremes(lambda p: loss(p, 100), parameters, order=9)
"""

# The matrix of second derivatives, formed densely, is the oracle of the example's last line.
CHECKS = """
import sys

import numpy as np

from jax.flatten_util import ravel_pytree

assert loss(parameters, 100) < loss(start, 0) / 4
flat, unflatten = ravel_pytree(parameters)
dense = np.linalg.eigvalsh(jax.hessian(lambda vector: loss(unflatten(vector), 100))(flat))
np.testing.assert_allclose(spectrum.largest[0], dense[-1], rtol=1e-3)
assert not {"pydantic", "xarray", "click", "numba", "snakemake"} & set(sys.modules)
"""

TRAINING = {
    "dataset": "spiral", "learning_rate": 1.0, "period": 20, "amplitude": 5, "steps": 40, "record_every": 1,
    "snapshots": {"every": 19, "windows": []}, "model": {"kind": "mlp", "width": 5},
}  # fmt: skip


def run(*command, **options):
    """Run a command; return its exit status and all that it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    return done.returncode, done.stdout


def clean_environment(**more):
    """The environment of a user: nothing that leads Python to this repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | more


def build(folder):
    """Build the wheel and the source archive from what the repository holds."""
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        status, said = run("cp", "-r", ROOT / name, source)
        assert status == 0, said
    status, said = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    assert status == 0, said
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the wheel and the source archive."""
    return build(tmp_path_factory.mktemp("built"))


def test_the_same_sources_give_the_same_bytes_and_an_index_would_take_them(built, tmp_path):
    again = build(tmp_path)
    archives = sorted(path.name for path in built.iterdir() if path.is_file())
    assert len(archives) == 2
    for name in archives:
        assert (again / name).read_bytes() == (built / name).read_bytes(), name
    status, said = run(TOOLS / "twine", "check", "--strict", *(built / name for name in archives))
    assert status == 0, said


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A function that installs the wheel and an extra, and returns the folder of its programs."""
    folder = tmp_path_factory.mktemp("installed")
    # The versions of the lock file, without its hashes, which would require a hash of the wheel too.
    pinned = re.findall(
        r"^[\w.-]+==[^\\\n]+", (ROOT / "envs/cpu.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    (folder / "constraints.txt").write_text("\n".join(pinned), encoding="utf-8")
    environment = folder / "environment"
    status, said = run(TOOLS / "uv", "venv", "--python", sys.executable, environment)
    assert status == 0, said
    (wheel,) = built.glob("*.whl")

    def install(extra=""):
        status, said = run(
            TOOLS / "uv", "pip", "install", "--python", environment / "bin/python",
            "--constraint", folder / "constraints.txt", f"{wheel}{extra}",
        )  # fmt: skip
        if "Failed to fetch" in said or "error sending request" in said:
            pytest.skip("no package index can be reached")
        assert status == 0, said
        return environment / "bin"

    return install


def test_the_wheel_carries_what_the_code_reads_and_states_its_licence(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        facts = email.message_from_bytes(archive.read(metadata))
        entry = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    sources = ROOT / "src"
    kept = {
        path.relative_to(sources).as_posix()
        for package in ("dynamical_loss", "snakemake_logger_plugin_dynamical_loss")
        for path in (sources / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == kept
    assert "dynamical_loss/py.typed" in names
    assert facts["License-Expression"] == "MIT"
    assert facts["Requires-Python"] == ">=3.11"
    assert {"pipeline", "cuda", "test", "docs", "torch", "keras"} == set(facts.get_all("Provides-Extra"))
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "dynamical-loss = dynamical_loss.__main__:main" in entry
    core = {re.match(r"[\w-]+", line)[0] for line in facts.get_all("Requires-Dist") if "extra ==" not in line}
    assert core == {"numpy", "jax", "flax", "optax", "jaxtyping", "matfree", "platformdirs"}


def test_the_source_archive_holds_what_the_wheel_was_built_from(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/dynamical_loss/py.typed"} <= names


def test_the_version_is_the_same_everywhere():
    from dynamical_loss import __version__

    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_library_trains_in_an_empty_environment_and_the_command_names_what_it_lacks(installed, tmp_path):
    programs = installed()
    status, said = run(programs / "python", "-c", EXAMPLE + CHECKS, cwd=tmp_path, env=clean_environment())
    assert status == 0, said
    status, said = run(programs / "dynamical-loss", "--help", cwd=tmp_path, env=clean_environment())
    assert status == 2
    (line,) = said.splitlines()
    assert line.startswith("dynamical-loss: the package ")
    assert line.endswith("pip install 'dynamical-loss[pipeline]'")


def test_the_command_trains_and_probes_in_an_environment_of_its_own(installed, tmp_path):
    command = installed("[pipeline]") / "dynamical-loss"
    training, probes = json.dumps(TRAINING), {"hessian": {"modes": 1, "order": 5}}

    def finished(*arguments):
        return run(
            command, *arguments, cwd=tmp_path, env=clean_environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
        )

    for arguments in (
        ("prepare-dataset", "--settings", '{"kind": "spiral"}', "--output", "spiral.nc"),
        ("train-trajectory", "--dataset", "spiral.nc", "--settings", training, "--output", "run.nc"),
        ("probe-spectrum", "--trajectory", "run.nc", "--dataset", "spiral.nc", "--settings",
         json.dumps(probes | {"ntk": None}), "--output", "spectrum.nc"),
    ):  # fmt: skip
        status, said = finished(*arguments)
        assert status == 0, said
    status, said = finished(
        "probe-spectrum", "--trajectory", "run.nc", "--dataset", "spiral.nc", "--settings",
        json.dumps(probes | {"ntk": {"modes": 1, "order": 5}}), "--output", "kernel.nc",
    )  # fmt: skip
    assert status == 2
    assert "pip install --no-deps neural-tangents==0.6.5" in said.splitlines()[-1]
    assert not (tmp_path / "kernel.nc").exists()
