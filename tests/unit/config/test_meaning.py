"""Settings without their defaults: they read back as equal settings, and new keys cause no re-runs."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from dynamical_loss.config import meaning as module
from dynamical_loss.config.meaning import FIRST_DEFAULTS, completed, meaning
from dynamical_loss.config.probes import HessianSettings, NTKSettings, ProbeSettings
from dynamical_loss.config.study import Config, load
from dynamical_loss.config.training import (
    PhaseSettings,
    SnapshotSettings,
    TrainingSettings,
    TrajectorySettings,
)
from dynamical_loss.datasets.kinds import KINDS as DATASETS
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.models.kinds.mlp import MLPSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def config():
    return load(
        yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")), "config.yaml", FIGURES
    ).for_data()


def groups(config):
    for study in config.phase.values():
        yield from (study, study.training)
    for study in config.trajectories.values():
        yield from (study.training, study.probes)
    yield config.threshold["scaling"].trajectory.at_learning_rate(0.25, 1000)
    yield from config.datasets.values()


def test_what_is_left_is_the_same_settings(config):
    found = list(groups(config))
    assert len(found) > 25
    for settings in found:
        assert type(settings).model_validate(meaning(settings)) == settings


@given(
    st.integers(1, 10**6), st.sampled_from(["float32", "float64"]), st.sampled_from(["lecun", "glorot"]),
    st.none() | st.builds(NTKSettings, modes=st.integers(1, 24)),
)  # fmt: skip
def test_any_settings_come_back(steps, precision, initialisation, ntk):
    run = TrajectorySettings(
        steps=2 * steps, period=steps, precision=precision, model={"initialisation": initialisation}
    )
    assert TrajectorySettings.model_validate(meaning(run)) == run
    probes = ProbeSettings(ntk=ntk)
    assert ProbeSettings.model_validate(meaning(probes)) == probes


def test_defaults_go_without_saying():
    assert meaning(TrainingSettings()) == {}
    assert meaning(TrainingSettings(model=MLPSettings(width=7), loss={})) == {"model": {"width": 7}}
    assert meaning(ProbeSettings(ntk=NTKSettings())) == {"ntk": {}}
    assert meaning(ProbeSettings(hessian=HessianSettings())) == {}
    # A kind other than the default kind is always written.
    assert meaning(TrainingSettings(model={"kind": "myrtle5"})) == {"model": {"kind": "myrtle5"}}
    assert [meaning(kind.model_validate({"kind": name})) for kind, name in kinds()] == [
        {} if name == "spiral" else {"kind": name} for _, name in kinds()
    ]


def kinds():
    return [(kind, kind.model_fields["kind"].annotation.__args__[0]) for kind in DATASETS]


def test_a_new_key_is_left_out_and_a_key_with_another_default_never_again(monkeypatch):
    class Grown(TrainingSettings):
        another: int = Field(7, description="new")

    assert meaning(Grown()) == {}
    assert meaning(Grown(another=8)) == {"another": 8}
    # The first default of `steps` was 20 000 here, so a missing key must not stand for the present default.
    monkeypatch.setattr(module, "first_defaults", lambda: {"TrainingSettings.steps": 20_000})
    assert meaning(TrainingSettings()) == {"steps": 35_000}
    assert meaning(TrainingSettings(steps=20_000)) == {"steps": 20_000}
    assert meaning(PhaseSettings()) == {}  # a different class, whose keys have separate first defaults


def test_a_default_that_was_no_group_or_another_one_is_written(monkeypatch):
    """Otherwise a kernel that is now probed by default could not be distinguished from one that was not."""

    class Changed(ProbeSettings):
        ntk: NTKSettings | None = Field(NTKSettings(), description="probed by default")

    monkeypatch.setattr(module, "first_defaults", lambda: {"Changed.ntk": None})
    assert meaning(Changed()) == {"ntk": {}}
    monkeypatch.setattr(module, "first_defaults", lambda: {"Changed.ntk": "<NTKSettings>"})
    assert meaning(Changed()) == {}
    assert meaning(Changed(ntk=None)) == {"ntk": None}
    monkeypatch.setattr(module, "first_defaults", lambda: {"ProbeSettings.hessian": "<LanczosSettings>"})
    assert meaning(ProbeSettings()) == {"hessian": {}}


def test_groups_in_lists_leave_out_their_defaults_too():
    snapshots = SnapshotSettings(windows=[{"start": 0, "stop": 10}])
    assert meaning(snapshots) == {"windows": [{"start": 0, "stop": 10}]}
    assert SnapshotSettings.model_validate(meaning(snapshots)) == snapshots


def test_the_table_of_first_defaults_has_every_key(config):
    assert completed(Config) == FIRST_DEFAULTS.read_text(encoding="utf-8"), "run `make config`"
    table = module.first_defaults()
    for settings in groups(config):
        for name, field in type(settings).model_fields.items():
            assert field.is_required() or f"{type(settings).__name__}.{name}" in table
