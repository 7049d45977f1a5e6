"""Modules that the digest of code leaves out decide no number: numbers are equal without them."""

import os
import shutil
import subprocess
import sys

import pytest
import xarray as xr

from dynamical_loss.results import digest

STUBS = {
    "errors.py": "class UserError(Exception): pass\n"
    "class ResultError(UserError):\n    def __init__(self, message, path): pass\n"
    "class UnknownOriginError(ResultError): pass\nclass Interrupted(Exception): pass\n",
    "progress.py": "import contextlib\n@contextlib.contextmanager\n"
    "def report(*_): yield lambda fraction: None\n",
    "program_cache.py": "from pathlib import Path\ndef folder(name): return Path('programs')\n"
    "def check(*_): return False\ndef seal(*_): pass\ndef read(*_): return None\ndef write(*_): pass\n",
    "kinds.py": "import importlib, pkgutil\ndef kinds_in(package, base):\n"
    "    for item in pkgutil.iter_modules(package.__path__):\n"
    "        importlib.import_module(package.__name__ + '.' + item.name)\n"
    "    kinds = [k for k in base.__subclasses__() + [l for k in base.__subclasses__() for l in "
    "k.__subclasses__()] if 'kind' in k.__annotations__]\n"
    "    return sorted(kinds, key=lambda kind: kind.model_fields['kind'].is_required())\n",
    "settings.py": "from typing import Any, Union\nfrom pydantic import BaseModel, TypeAdapter\n"
    "Count = Runs = Seed = int\nSettings = BaseModel\n"
    "Place = str\ndef located(place): return place\n"
    "def kind_of(model): return ''\ndef names_of(models): return ''\n"
    "def one_of(*models): return Union[models]\ndef members(annotation): return []\n"
    "def validate(model, values, where): return TypeAdapter(model).validate_python(values)\n",
    "models/kinds/__init__.py": None,
    "datasets/kinds/__init__.py": None,
    "config/reading.py": "def scalar(text): return text\n",
    "resources.py": "def warn_of_memory(*_): pass\nphase_block = trajectory = warn_of_memory\n",
    "config/code.py": "def stage(*_, **__): return 'code'\ndataset = training = probing = stage\n",
    "results/digest.py": "class Code: pass\n",
    "results/checksums.py": "def of_content(*_): return '0' * 64\nof_attributes = of_file = of_content\n",
    "results/files.py": "import contextlib\nfrom dynamical_loss.errors import ResultError\n"
    "@contextlib.contextmanager\ndef atomic_path(path):\n"
    "    path.parent.mkdir(exist_ok=True)\n    yield path\n"
    "@contextlib.contextmanager\ndef reading(path):\n    yield\n"
    "def bring_back(*_): pass\ndef damaged(*_): return ResultError('', '')\n"
    "differs = missing = unreadable = not_understood = damaged\n",
    "results/sidecars.py": "",
    "results/record.py": "import json\nfrom dynamical_loss.results import netcdf\n"
    "class Inputs:\n    paths = ()\n"
    "    def read(self, path, variables=(), made_by=None): return netcdf.read(path)\n"
    "    def require_made_from(self, *_): pass\n    def origins(self, path): return None\n"
    "class Provenance:\n"
    "    def __init__(self, code, settings, seeds, precision, inputs=None, computed_by=''):\n"
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


@pytest.mark.long
def test_with_what_is_left_out_stubbed_the_numbers_are_equal(tmp_path):
    """Replace every module of `LEFT_OUT` by a stub that reports, checks and records almost nothing."""
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
                (package / name).write_text(source, encoding="utf-8")
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
