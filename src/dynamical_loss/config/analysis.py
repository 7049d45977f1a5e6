"""Settings of the analysis of instabilities and of the claims, and what the analysis asks of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dynamical_loss.settings import Count, Seed, Settings

if TYPE_CHECKING:
    from dynamical_loss.config.training import TrajectorySettings


class InstabilitySettings(Settings):
    """How instabilities are found along a trajectory."""

    tolerance: Annotated[float, Field(gt=0)] = Field(
        0.1, description="the paper's rule: a change of λ_max between snapshots above this, at η = 1"
    )
    tolerance_at_rate: Literal["scaled", "fixed"] = Field(
        "scaled",
        description="at another learning rate; scaled: divided by η, as λ_max scales with 1/η; fixed: the "
        "same, as the caption of Fig. 4 may be read",
    )
    difference: Literal["detrended", "plain"] = Field(
        "detrended",
        description="between snapshots; detrended: from the line through the two neighbours; plain: from the "
        "snapshot before, which also sees steep drift",
    )
    reading: Literal["outside", "flagged"] = Field(
        "outside",
        description="where λ_max of a start or a finish is read; outside: one snapshot outside the "
        "instability; flagged: at its first and last snapshot, as the caption of Fig. 4 may be read",
    )
    minimum_snapshots: Count = Field(
        3, description="changed snapshots in a row that make an instability; fewer may be steps of λ_max"
    )

    @classmethod
    def stated(cls, settings: Mapping[str, Any]) -> InstabilitySettings:
        """These settings among all that a file records; a key that it does not record had its default."""
        return cls.model_validate({key: settings[key] for key in cls.model_fields if key in settings})

    def tolerance_at(self, learning_rate: float) -> float:
        """The tolerance at a learning rate, in units of λ_max."""
        return self.tolerance / (learning_rate if self.tolerance_at_rate == "scaled" else 1.0)


class BootstrapSettings(Settings):
    """Resampling behind every 95 % interval."""

    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = Field(2000, description="bootstrap resamples")
    seed: Seed = Field(0, description="seed of the resampling")


def require_analysable(where: str, run: TrajectorySettings, losses: Sequence[str]) -> None:
    """Refuse a run along which instabilities could not be found.

    Args:
        where: the run's place in the configuration.
        run: its settings.
        losses: those whose Hessian is probed.

    Raises:
        ValueError: one line that names the key.
    """
    if run.record_every != 1:
        raise ValueError(f"{where}.record_every: instabilities show from step to step; set it to 1")
    if key := run.changes_rate:
        raise ValueError(f"{where}.{key}: instabilities are held against one learning rate; leave it out")
    if "weighted" not in losses:
        raise ValueError(f"{where}: instabilities need the weighted loss; add it to hessian.losses")
