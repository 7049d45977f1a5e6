"""The run that Fig. 4 and Fig. S1 follow through its cascades: what their declarations share."""

from __future__ import annotations

from dynamical_loss import grid
from dynamical_loss.config.analysis import require_analysable
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures.declaration import Role
from dynamical_loss.results import layout

SETTINGS = {
    "trajectory": Setting(str, "cascade", "Fig. 4, S1: a key of `trajectories`, seed 0", names="trajectories")
}


def _run(config: Configuration) -> str:
    return grid.trajectory_run(config.figures.trajectory, 0)


INPUTS = {
    "trajectory": Role("train_trajectory", lambda config: [layout.trajectory(_run(config))]),
    "spectrum": Role(
        "probe_spectrum", lambda config: [layout.spectrum(_run(config))], ("hessian_eigenvalue",)
    ),
    "instabilities": Role("find_instabilities", lambda config: [layout.instabilities(_run(config))]),
}

MADE_FROM = (("spectrum", "trajectory"), ("instabilities", "trajectory"), ("instabilities", "spectrum"))
"""Roles of which the first is made from the second."""


def check(config: Configuration) -> None:
    """Refuse a run along which instabilities could not be found.

    Raises:
        ValueError: one line that names the key to change.
    """
    study = config.figures.trajectory
    run = config.trajectories[study]
    require_analysable(f"trajectories.{study}", run, run.probes.hessian.losses)
