"""Digests: of what computes, in a package copied and edited for the test."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from dynamical_loss.config import code
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.datasets.kinds.cifar10 import Cifar10Settings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.results import digest
from dynamical_loss.results.digest import code_digest, imported_modules, settings_digest

STAGES = "dynamical_loss.stages."
POINTS, PICTURES = Shape(30, 30, (2,), 3), Shape(30, 30, (8, 8, 1), 10)
MYRTLE5, WIDE_RESNET = ({"kind": kind} for kind in ("myrtle5", "wide_resnet"))


def jobs(device="cpu"):
    """The code of one job of each sort, by name."""
    trained = {
        "fused": (TrainingSettings(), POINTS),
        "xla": (TrainingSettings(engine="xla"), POINTS),
        "myrtle5": (TrainingSettings(model=MYRTLE5), PICTURES),
        "wide_resnet": (TrainingSettings(model=WIDE_RESNET), PICTURES),
    }
    training = {
        name: code.training("train_phase_block", settings, shape, device)
        for name, (settings, shape) in trained.items()
    }
    stages = ("aggregate_phase", "find_instabilities", "fit_threshold", "evaluate_claims", "publish_result")
    return {
        **training,
        "spiral": code.dataset(SpiralSettings()),
        "cifar10": code.dataset(Cifar10Settings(kind="cifar10")),
        "probe": code.probing(TrainingSettings(), device),
        "probe_images": code.probing(TrainingSettings(model=MYRTLE5), device),
        **{name: code.stage(name) for name in stages},
        "fig3": code.figure("fig3_phase_spiral"),
        "fig4": code.figure("fig4_cascade"),
    }


ALL = set(jobs())
XLA = {"xla", "myrtle5", "wide_resnet"}
TRAINING = {"fused", *XLA}
PROBES = {"probe", "probe_images"}
FIGURES = {"fig3", "fig4"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package and of the lock files to edit; asked for digests, it reads them anew."""

    class Package:
        folder = tmp_path / "src" / "dynamical_loss"
        locks = tmp_path / "envs"

        def edit(self, path, old, new):
            file = self.folder / path
            text = file.read_text()
            assert len(re.findall(old, text)) == 1, (path, old)
            file.write_text(re.sub(old, new, text))

        def digests(self, device="cpu"):
            digest._parsed.cache_clear()
            digest._versions.cache_clear()
            return {name: item.digest for name, item in jobs(device).items()}

    shutil.copytree(digest.PACKAGE, Package.folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(digest.REPOSITORY / "envs", Package.locks)
    monkeypatch.setattr(digest, "PACKAGE", Package.folder)
    monkeypatch.setattr(digest, "REPOSITORY", tmp_path)
    yield Package()
    digest._parsed.cache_clear()
    digest._versions.cache_clear()


def changed(package, before):
    after = package.digests()
    return {name for name in after if after[name] != before[name]}


# --------------------------------------------------------------------------------------------------
# Which modules
# --------------------------------------------------------------------------------------------------


def test_imports_are_those_that_python_makes():
    """A fresh interpreter loads what the syntax tree names; kinds and figures are found by looking."""
    for stage in ("prepare_dataset", "train_phase_block", "find_instabilities", "evaluate_claims"):
        script = (
            f"import sys, {STAGES}{stage}; print([m for m in sys.modules if m.startswith('dynamical_loss')])"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
        loaded = set(ast.literal_eval(loaded))
        by_looking = {name for name in loaded if ".kinds." in name or ".figures.fig" in name}
        assert loaded <= set(imported_modules([STAGES + stage, *by_looking]))


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"no module dynamical_loss\.stages\.nothing"):
        code_digest(STAGES + "nothing")


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        # The training step of either engine, and what both share.
        ("training/xla.py", r"jax\.grad\(objective", "jax.grad(lambda *a: 2 * objective(*a)", XLA),
        ("training/xla.py", r"_EVALUATED = 1000", "_EVALUATED = 1001", XLA),
        ("training/fused_loop.py", r"_LANES = 64 ", "_LANES = 32 ", {"fused"}),
        ("training/fused.py", r"_STRETCH = 4096", "_STRETCH = 4097", {"fused"}),
        ("training/ensemble.py", r"total = -\(-count", "total = -(-1 * count", TRAINING),
        ("losses/weights.py", r"phase >= 0\.25", "phase >= 0.26", TRAINING),
        ("losses/__init__.py", r"0\.5 \*", "0.6 *", TRAINING | PROBES),
        # One network, one dataset, one figure alone.
        ("models/wide_resnet.py", r"momentum=0\.9", "momentum=0.8", {"wide_resnet"}),
        ("models/myrtle5.py", r"\(False, True, True, False\)", "(True, True, True, False)",
         {"myrtle5", "probe_images"}),
        ("models/convolution.py", r"kernel\.shape\[0\] - 1 - padding", "kernel.shape[0] - padding",
         {"myrtle5", "wide_resnet", "probe_images"}),
        ("datasets/spiral.py", r"np\.linspace\(0\.0, 1\.0", "np.linspace(0.1, 1.0", {"spiral"}),
        ("datasets/cifar10_python.py", r"_LARGEST = 40_000_000", "_LARGEST = 40_000_001", {"cifar10"}),
        ("figures/fig4_cascade.py", r"_ROWS = 6", "_ROWS = 5", {"fig4"}),
        ("figures/style.py", r"PAGE = 6\.9", "PAGE = 6.8", FIGURES),
        ("probes/hessian.py", r"\Z", "\nX = 1\n", PROBES),
        ("claims/spiral.py", r"TOO_LARGE = 60\.0", "TOO_LARGE = 61.0", {"evaluate_claims"}),
        # Training reads datasets, whoever makes them, and normalises what it reads.
        ("datasets/preparation.py", r"\Z", "\nX = 1\n", {"cifar10"}),
        ("datasets/normalisation.py", r"\Z", "\nX = 1\n", {"cifar10", *TRAINING, *PROBES}),
        # The front door, and what says how a run went.
        ("cli.py", r"\Z", "\nX = 1\n", set()),
        ("config/study.py", r"\Z", "\nX = 1\n", set()),
        ("progress.py", r"_LOG_INTERVAL_SECONDS = 10\.0", "_LOG_INTERVAL_SECONDS = 9.0", set()),
        ("results/checksums.py", r"\Z", "\nX = 1\n", set()),
        ("results/record.py", r"\Z", "\nX = 1\n", set()),
        ("errors.py", r"\Z", "\nX = 1\n", set()),
    ],
)  # fmt: skip
def test_an_edit_changes_the_digests_of_what_it_computes_for(package, path, old, new, expected):
    before = package.digests()
    package.edit(path, old, new)
    assert changed(package, before) == expected


# --------------------------------------------------------------------------------------------------
# What of them
# --------------------------------------------------------------------------------------------------


class Reworded(ast.NodeTransformer):
    """Other docstrings, other annotations of functions."""

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return ast.Expr(ast.Constant("Other words."))
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node


def test_words_and_formatting_change_no_digest(package):
    """Every module without its comments, in another format, and with other docstrings."""
    before = package.digests()
    for path in package.folder.rglob("*.py"):
        tree = Reworded().visit(ast.parse(path.read_text()))
        path.write_text("# A comment.\n" + ast.unparse(ast.fix_missing_locations(tree)) + "\n")
    assert changed(package, before) == set()


def test_the_words_of_an_error_change_no_digest_and_its_condition_does(package):
    before = package.digests()
    package.edit("training/ensemble.py", "batches need seeds of their order", "where are the seeds?")
    assert changed(package, before) == set()
    package.edit("training/ensemble.py", r"if runs\.seed is None:", "if runs.seed is not None:")
    assert changed(package, before) == TRAINING


def test_a_new_settings_key_with_a_default_changes_no_digest(package):
    before = package.digests()
    for path, field in (
        ("config/training.py", "    dataset: str = Field"),
        ("models/kinds/mlp.py", "    width: Count = Field"),
        ("config/probes.py", "    seed: Seed = Field"),
    ):
        package.edit(path, re.escape(field), f'    new: int = Field(7, description="new")\n{field}')
    assert changed(package, before) == set()
    package.edit("config/training.py", r"_SUMS = 24", "_SUMS = 25")
    assert changed(package, before) >= TRAINING


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jax", {*TRAINING, *PROBES, "aggregate_phase"}),  # whose settings name an optimiser
        ("numba", {"fused"}),
        ("matplotlib", FIGURES),
        ("pillow", {"cifar10"}),
        ("netcdf4", ALL - {"evaluate_claims"} - FIGURES),
        ("snakemake", set()),
        ("tqdm", set()),
    ],
)
def test_of_the_lock_file_the_versions_of_what_computes_count(package, name, expected):
    before = package.digests()
    lock = package.locks / "cpu.txt"
    text = lock.read_text()
    assert len(re.findall(rf"^{name}==", text, re.M)) == 1
    lock.write_text(re.sub(rf"^{name}==\S+", f"{name}==999.0", text, flags=re.M))
    assert changed(package, before) == expected


def test_hashes_of_the_lock_file_do_not_count_and_a_gpu_has_its_own(package):
    before = package.digests(), package.digests("gpu")
    lock = package.locks / "cpu.txt"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", lock.read_text()))
    assert (package.digests(), package.digests("gpu")) == before
    lock = package.locks / "cuda.txt"
    lock.write_text(re.sub(r"^jaxlib==\S+", "jaxlib==999.0", lock.read_text(), flags=re.M))
    assert package.digests() == before[0]
    after = package.digests("gpu")
    assert {name for name in ALL if after[name] != before[1][name]} == {*TRAINING, *PROBES}


def other_interpreters():
    """Later versions of Python on this machine, beside the one that runs the tests."""
    roots = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    roots += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin"))
    for minor in (11, 12, 13):
        for root in roots:
            path = root / f"python3.{minor}"
            if sys.version_info[1] != minor and path.is_file() and "shims" not in path.parts:
                yield path
                break


@pytest.mark.parametrize("interpreter", list(other_interpreters()), ids=lambda path: path.name)
def test_the_digest_is_the_same_on_every_version_of_python(interpreter):
    names = [STAGES + "train_phase_block", STAGES + "probe_spectrum", "dynamical_loss.figures.fig4_cascade"]
    script = f"from dynamical_loss.results.digest import code_digest; print(code_digest(*{names}))"
    environment = os.environ | {"PYTHONPATH": str(digest.PACKAGE.parent)}
    done = subprocess.run([interpreter, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == code_digest(*names)


# --------------------------------------------------------------------------------------------------
# What is left out does no harm
# --------------------------------------------------------------------------------------------------

STUBS = {
    "errors.py": "class UserError(Exception): pass\n"
    "class ResultError(UserError):\n    def __init__(self, message, path): pass\n"
    "class UnknownOriginError(ResultError): pass\nclass Interrupted(Exception): pass\n",
    "progress.py": "import contextlib\n@contextlib.contextmanager\n"
    "def report(*_): yield lambda fraction: None\n",
    "kinds.py": "import importlib, pkgutil\ndef kinds_in(package, base):\n"
    "    for item in pkgutil.iter_modules(package.__path__):\n"
    "        importlib.import_module(package.__name__ + '.' + item.name)\n"
    "    kinds = [k for k in base.__subclasses__() + [l for k in base.__subclasses__() for l in "
    "k.__subclasses__()] if 'kind' in k.__annotations__]\n"
    "    return sorted(kinds, key=lambda kind: kind.model_fields['kind'].is_required())\n",
    "settings.py": "from typing import Any, Union\nfrom pydantic import BaseModel, TypeAdapter\n"
    "Count = Seed = int\nSettings = BaseModel\n"
    "def require_plain(path): pass\ndef kind_of(model): return ''\ndef names_of(models): return ''\n"
    "def one_of(*models): return Union[models]\ndef members(annotation): return []\n"
    "def validate(model, values, where): return TypeAdapter(model).validate_python(values)\n",
    "models/kinds/__init__.py": None,
    "datasets/kinds/__init__.py": None,
    "config/code.py": "def stage(*_, **__): return 'code'\ndataset = training = probing = stage\n",
    "results/digest.py": "class Code: pass\n",
    "results/checksums.py": "def of_content(*_): return '0' * 64\nof_attributes = of_file = of_content\n",
    "results/files.py": "import contextlib\nfrom dynamical_loss.errors import ResultError\n"
    "@contextlib.contextmanager\ndef atomic_path(path):\n"
    "    path.parent.mkdir(exist_ok=True)\n    yield path\n"
    "def bring_back(*_): pass\ndef damaged(*_): return ResultError('', '')\ndiffers = missing = damaged\n",
    "results/sidecars.py": "",
    "results/record.py": "import json\nfrom dynamical_loss.results import netcdf\n"
    "class Inputs:\n    paths = ()\n"
    "    def read(self, path, variables=(), made_by=None): return netcdf.read(path)\n"
    "    def require_made_from(self, *_): pass\n    def origins(self, path): return None\n"
    "class Provenance:\n"
    "    def __init__(self, code, settings, seeds, precision, inputs=None):\n"
    "        self.inputs, self.settings = inputs or Inputs(), settings\n"
    "    def resume(self, attributes): pass\n"
    "    def attributes(self, folder):\n"
    "        return {'settings': json.dumps(self.settings, default=str), 'device': 'x'}\n"
    "    def write(self, dataset, path):\n"
    "        netcdf.write(dataset.assign_attrs(self.attributes(path.parent)), path)\n",
}

WORK = """
from pathlib import Path
from dynamical_loss.analysis.intervals import bootstrap_interval
from dynamical_loss.config.analysis import BootstrapSettings, InstabilitySettings
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.training import PhaseSettings, TrainingSettings, TrajectorySettings
from dynamical_loss.datasets.kinds.digits import DigitsSettings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.grid import Block
from dynamical_loss.stages import (
    aggregate_phase, find_instabilities, fit_threshold, prepare_dataset, probe_spectrum, train_phase_block,
    train_trajectory,
)
made = Path("made")
made.mkdir()
prepare_dataset.run(SpiralSettings(points_per_class=10), made / "spiral.nc")
digits = DigitsSettings(kind="digits", train_samples=30, validation_samples=20)
prepare_dataset.run(digits, made / "images.nc")
block = Block(20, (5.0,), 0, 1)
for engine in ("xla", "fused"):
    settings = dict(model={"kind": "mlp", "width": 5}, steps=60, record_every=10, engine=engine)
    part = made / engine / f"{block.name}.nc"
    train_phase_block.run(TrainingSettings(**settings), block, made / "spiral.nc", part, 60)
phase = PhaseSettings(**settings, periods=[20], amplitudes=[5.0], seeds=2)
aggregate_phase.run(phase, [part], made / "phase.nc")
network = dict(model={"kind": "wide_resnet", "depth": 10, "widening": 1}, steps=2, record_every=1)
network |= dict(batch_size=7, oscillation_stop=1.0)
train_phase_block.run(TrainingSettings(**network), block, made / "images.nc", made / "images" / "b.nc", 60)
run = TrajectorySettings(model={"kind": "mlp", "width": 5}, period=20, steps=100, snapshots={"every": 5})
train_trajectory.run(run, 3, made / "spiral.nc", made / "trajectory.nc", 60)
probes = ProbeSettings(hessian={"modes": 2, "order": 6}, ntk={"modes": 1, "order": 4})
probe_spectrum.run(probes, made / "trajectory.nc", made / "spiral.nc", made / "spectrum.nc")
events = made / "events.nc"
find_instabilities.run(InstabilitySettings(), made / "trajectory.nc", made / "spectrum.nc", events)
fit_threshold.run(BootstrapSettings(), [events], made / "threshold.nc")
"""


def test_with_what_is_left_out_stubbed_the_numbers_are_equal(tmp_path):
    """Every module of `LEFT_OUT` is replaced by one that says, checks and records next to nothing."""
    names = {
        "dynamical_loss." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in STUBS
    }
    assert names == digest.LEFT_OUT - {"dynamical_loss.remedies"}  # which no stage imports
    found = {}
    for kind in ("real", "stubbed"):
        folder = tmp_path / kind
        package = folder / "src" / "dynamical_loss"
        shutil.copytree(digest.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        for name, source in STUBS.items() if kind == "stubbed" else ():
            if source is not None:
                (package / name).write_text(source)
        done = subprocess.run(
            [sys.executable, "-c", WORK],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder / "src")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        made = sorted((folder / "made").rglob("*.nc"))
        found[kind] = {
            path.relative_to(folder).as_posix(): xr.load_dataset(path).drop_attrs() for path in made
        }
    assert len(found["real"]) == 10
    assert found["real"].keys() == found["stubbed"].keys()
    for name, dataset in found["real"].items():
        xr.testing.assert_identical(dataset, found["stubbed"][name])


def test_settings_digest_ignores_order_and_sees_values():
    assert settings_digest({"a": 1, "b": {"c": 2}}) == settings_digest({"b": {"c": 2}, "a": 1})
    assert settings_digest({"a": 1}) != settings_digest({"a": 2})
