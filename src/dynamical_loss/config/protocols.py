"""Settings of protocols: sets of studies that share one version of the choices that the paper leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field

from dynamical_loss import grid
from dynamical_loss.results import layout
from dynamical_loss.settings import Settings


class Studies(Protocol):
    """The parts of a checked configuration that protocols use."""

    @property
    def trajectories(self) -> Mapping[str, Any]:
        """Trajectory studies, by name."""

    @property
    def protocols(self) -> Mapping[str, ProtocolSettings]:
        """Protocols, by name."""


class ProtocolSettings(Settings):
    """The studies of one protocol; the claims of Fig. 3 to 5 are tested for each protocol separately."""

    phase_narrow: str | None = Field(None, description="study of Fig. 3a,b, a key of `phase`; null: none")
    phase_wide: str | None = Field(None, description="study of Fig. 3c,d, a key of `phase`; null: none")
    trajectory: str | None = Field(None, description="study of Fig. 4, a key of `trajectories`; null: none")
    threshold: str | None = Field(None, description="study of Fig. 5a, a key of `threshold`; null: none")
    static_narrow: str | None = Field(
        None, description="study of Fig. 5b, a key of `trajectories`; null: none"
    )
    static_wide: str | None = Field(None, description="study of Fig. 5c, a key of `trajectories`; null: none")
    reading: str | None = Field(
        None,
        description="rule by which instabilities are found, a key of `readings`; null: the rule under "
        "`instabilities`",
    )

    def evidence(self, trajectories: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the files from which claims are computed, by role, relative to the folder of results.

        Args:
            trajectories: trajectory studies of the configuration, by name.
        """
        found: dict[str, list[str]] = {}
        for role, study in (("phase_narrow", self.phase_narrow), ("phase_wide", self.phase_wide)):
            if study is not None:
                found[role] = [layout.phase(study)]

        def runs(study: str) -> list[str]:
            return grid.trajectory_runs(study, trajectories[study].seeds)

        if self.trajectory is not None:
            found["spectrum"] = list(map(layout.spectrum, runs(self.trajectory)))
            found["instabilities"] = [
                layout.instabilities(run, self.reading) for run in runs(self.trajectory)
            ]
        if self.threshold is not None:
            found["threshold"] = [layout.threshold(self.threshold, self.reading)]
        for role, study in (("static_narrow", self.static_narrow), ("static_wide", self.static_wide)):
            if study is not None:
                found[role] = list(map(layout.spectrum, runs(study)))
        return found


def evidence(config: Studies) -> dict[str, dict[str, list[str]]]:
    """Return the files from which claims are computed, by protocol and role."""
    return {name: protocol.evidence(config.trajectories) for name, protocol in config.protocols.items()}
