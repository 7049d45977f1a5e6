"""The run whose cascades Fig. 4 and Fig. S1 show, and the parts that their declarations share."""

from __future__ import annotations

from dynamical_loss import grid
from dynamical_loss.config.analysis import require_analysable
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures.declaration import Role
from dynamical_loss.results import layout

SETTINGS = {
    "trajectory": Setting(
        str,
        "cascade",
        "Fig. 4 and S1: study of the run that is shown, with seed 0; a key of `trajectories`",
        names="trajectories",
    )
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
"""Pairs of roles: the file of the first must have been made from the file of the second."""


def check(config: Configuration) -> None:
    """Refuse a run in which instabilities could not be detected.

    Raises:
        ValueError: if the run is refused; one line names the key to change.
    """
    study = config.figures.trajectory
    run = config.trajectories[study]
    require_analysable(f"trajectories.{study}", run, run.probes.hessian.losses)
