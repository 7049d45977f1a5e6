"""Settings of the analysis of instabilities and of the claims, and requirements of the analysis on a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dynamical_loss.settings import Count, Seed, Settings

if TYPE_CHECKING:
    from dynamical_loss.config.training import TrajectorySettings


class InstabilitySettings(Settings):
    """Rule by which instabilities are found along a trajectory."""

    tolerance: Annotated[float, Field(gt=0)] = Field(
        0.1,
        description="change of λ_max between snapshots, at η = 1, above which a snapshot counts as changed "
        "(the paper's rule)",
    )
    tolerance_at_rate: Literal["scaled", "fixed"] = Field(
        "scaled",
        description="tolerance at another learning rate. scaled: divided by η, because λ_max scales with "
        "1/η; fixed: the same at every learning rate, which is one way to read the caption of Fig. 4",
    )
    difference: Literal["detrended", "plain"] = Field(
        "detrended",
        description="how the change of λ_max at a snapshot is measured. detrended: from the straight line "
        "through the two neighbouring snapshots; plain: from the snapshot before, which also responds to "
        "steep drift",
    )
    reading: Literal["outside", "flagged"] = Field(
        "outside",
        description="where λ_max at the start and at the finish of an instability is read. outside: one "
        "snapshot outside the instability; flagged: at its first and last snapshot, which is one way to "
        "read the caption of Fig. 4",
    )
    minimum_snapshots: Count = Field(
        3,
        description="smallest number of consecutive changed snapshots that counts as an instability; fewer "
        "may be mere jumps of λ_max",
    )

    @classmethod
    def stated(cls, settings: Mapping[str, Any]) -> InstabilitySettings:
        """Pick these settings from all settings that a file records; a missing key had its default."""
        return cls.model_validate({key: settings[key] for key in cls.model_fields if key in settings})

    def tolerance_at(self, learning_rate: float) -> float:
        """Return the tolerance at a learning rate, in units of λ_max."""
        return self.tolerance / (learning_rate if self.tolerance_at_rate == "scaled" else 1.0)


class BootstrapSettings(Settings):
    """Bootstrap resampling, from which every 95 % interval is computed."""

    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        2000, description="number of bootstrap resamples"
    )
    seed: Seed = Field(0, description="seed of the resampling")


def require_analysable(where: str, run: TrajectorySettings, losses: Sequence[str]) -> None:
    """Refuse a run along which instabilities could not be found.

    Args:
        where: place of the run in the configuration, for the error.
        run: settings of the run.
        losses: losses whose Hessian is probed.

    Raises:
        ValueError: one line that names the key.
    """
    if run.record_every != 1:
        raise ValueError(f"{where}.record_every: instabilities alternate from step to step; set it to 1")
    if key := run.changes_rate:
        raise ValueError(
            f"{where}.{key}: the analysis of instabilities needs a constant learning rate; leave it out"
        )
    if "weighted" not in losses:
        raise ValueError(
            f"{where}: the analysis of instabilities needs the weighted loss; add weighted to hessian.losses"
        )
