"""All runs of a configuration that are followed step by step."""

from __future__ import annotations

from typing import NamedTuple

from dynamical_loss import grid
from dynamical_loss.config.probes import ProbeSettings
from dynamical_loss.config.study import Config
from dynamical_loss.config.training import TrajectorySettings


class FollowedRun(NamedTuple):
    """One run of a trajectory or threshold study.

    Attributes:
        study: name of the study.
        seed: initial seed.
        alike: names of all runs of the study that differ from this one in the initial seed at most, in the
            order of the seeds 0, 1, ….
        training: settings of the training.
        probes: settings of the measurements at its snapshots.
    """

    study: str
    seed: int
    alike: tuple[str, ...]
    training: TrajectorySettings
    probes: ProbeSettings


def trajectory_runs(config: Config) -> dict[str, FollowedRun]:
    """Return the runs of all trajectory studies, by name."""
    return {
        run: FollowedRun(name, seed, alike, study.training, study.probes)
        for name, study in config.trajectories.items()
        for alike in [tuple(grid.trajectory_runs(name, study.seeds))]
        for seed, run in enumerate(alike)
    }


def threshold_runs(config: Config) -> dict[str, FollowedRun]:
    """Return the runs of all threshold studies, by name."""
    return {
        run: FollowedRun(name, seed, alike, training, study.probes)
        for name, study in config.threshold.items()
        for width, settings in study.widths.items()
        for rate in settings.learning_rates
        for training in [study.run(width, rate)]
        for alike in [tuple(grid.threshold_run(name, width, rate, seed) for seed in range(settings.seeds))]
        for seed, run in enumerate(alike)
    }
