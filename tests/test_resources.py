"""What jobs ask of a cluster: enough for what was measured, and growing with what makes them larger."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dynamical_loss import models, resources
from dynamical_loss.config import study
from dynamical_loss.config.datasets import SpiralSettings
from dynamical_loss.config.models import MLPSettings
from dynamical_loss.config.training import SnapshotSettings, TrainingSettings
from dynamical_loss.grid import Block
from dynamical_loss.training import Schedule

CONFIG = study.load(yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text()))
SPIRAL = CONFIG.datasets["spiral"]
THRESHOLD = CONFIG.threshold.trajectory
CASCADE = CONFIG.trajectories["cascade"]
RUNS = {
    "cascade": CASCADE,
    "wide_cascade": CASCADE.model_copy(
        update={
            "model": MLPSettings(width=1000),
            "steps": 20_000,
            "snapshots": SnapshotSettings(every=CASCADE.snapshots.every),
        }
    ),
    "static_w1000": CONFIG.trajectories["static_w1000"],
    "threshold_w100_lr0.25": THRESHOLD.at_learning_rate(0.25, 100),
    "threshold_w1000": THRESHOLD.at_learning_rate(1.0, 1000),
    "threshold_w1000_xla": THRESHOLD.at_learning_rate(1.0, 1000).model_copy(
        update={"engine": "xla", "steps": 20_000}
    ),
}


@pytest.mark.parametrize("initialisation", ["lecun", "glorot", "no_bias"])
@pytest.mark.parametrize(("width", "depth", "classes"), [(100, 1, 3), (7, 3, 5)])
def test_parameters_are_counted_as_the_network_has_them(initialisation, width, depth, classes):
    settings = MLPSettings(width=width, depth=depth, initialisation=initialisation)
    network = models.build(settings, classes)
    leaves = jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 2))))
    assert resources.parameters(settings, classes) == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize("name", RUNS)
def test_snapshots_are_counted_as_the_schedule_has_them(name):
    run = RUNS[name]
    windows = [(window.start, window.stop, window.every) for window in run.snapshots.windows]
    kept = Schedule.regular(run.steps, run.record_every, run.snapshots.every, windows).snapshot_steps
    repeated = sum((stop - start) // every + 1 for start, stop, every in windows)
    assert len(kept) <= resources.snapshots(run) <= len(kept) + repeated + 2


# Peak memory and wall time of a job alone on one core, /usr/bin/time: (training: MB, s; probing: MB, s).
MEASURED = {
    "cascade": (620, 16, 722, 76),
    "wide_cascade": (538, 9, 804, 263),  # the probes' processor time; others computed beside them
    "static_w1000": (515, 11, 394, 18),
    "threshold_w100_lr0.25": (542, 9, 397, 12),
    "threshold_w1000": (699, 17, 648, 134),
    "threshold_w1000_xla": (537, 28, 414, 37),
}


@pytest.mark.parametrize("name", MEASURED)
def test_a_trajectory_gets_what_it_was_seen_to_take_and_not_ten_times_more(name):
    run = RUNS[name]
    probes = getattr(run, "probes", CONFIG.threshold.probes)
    demands = (resources.trajectory(run, SPIRAL), resources.probe(probes, run, SPIRAL))
    for demand, (memory, seconds) in zip(demands, (MEASURED[name][:2], MEASURED[name][2:]), strict=True):
        snakemake = 2 * 130  # MB, of the two runs of Snakemake around the job
        assert memory + snakemake < demand.mem_mb < 3 * (memory + snakemake)
        assert 2 * seconds / 60 < demand.runtime < 15 + 10 * seconds / 60


BLOCK = Block(200, (10.0,), 0, 9)


@given(st.integers(1, 10), st.integers(1, 10), st.integers(1, 10))
def test_a_block_asks_for_more_the_more_it_trains(steps, width, seeds):
    def demand(steps, width, seeds):
        settings = TrainingSettings(steps=1_000_000 * steps, model=MLPSettings(width=100 * width))
        return resources.phase_block(settings, SPIRAL, Block(200, (10.0,), 0, 10 * seeds - 1))

    base = demand(steps, width, seeds)
    for larger in (
        demand(steps + 1, width, seeds),
        demand(steps, width + 1, seeds),
        demand(steps, width, seeds + 1),
    ):
        assert larger.runtime > base.runtime
        assert larger.mem_mb >= base.mem_mb


def test_more_samples_take_more_time():
    settings = TrainingSettings(model=MLPSettings(width=1000))
    larger = SpiralSettings(points_per_class=1000)
    assert (
        resources.phase_block(settings, larger, BLOCK).runtime
        > resources.phase_block(settings, SPIRAL, BLOCK).runtime
    )


def test_a_wide_trajectory_asks_for_its_snapshots():
    """2801 snapshots of 6003 parameters in double precision are 134 MB."""
    narrow = resources.trajectory(THRESHOLD.at_learning_rate(1.0, 100), SPIRAL)
    wide = resources.trajectory(THRESHOLD.at_learning_rate(1.0, 1000), SPIRAL)
    assert wide.mem_mb - narrow.mem_mb > 134


def test_another_attempt_may_take_twice_as_much():
    demand = resources.phase_block(TrainingSettings(), SPIRAL, BLOCK)
    assert demand.at(1) == demand
    assert demand.at(2) == (2 * demand.mem_mb, 2 * demand.runtime)
    assert demand.at(3) == demand.at(2).at(2)
