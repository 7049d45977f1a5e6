"""Settings of the analysis of instabilities and of the claims, and what the analysis asks of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from dynamical_loss.settings import Seed, Settings


class InstabilitySettings(Settings):
    """How instabilities are found along a trajectory."""

    tolerance: Annotated[float, Field(gt=0)] = Field(
        0.1,
        description="the paper's rule: a change of λ_max between snapshots above this, at η = 1; "
        "it is divided by η, as λ_max scales with 1/η",
    )


class BootstrapSettings(Settings):
    """Resampling behind every 95 % interval."""

    resamples: Annotated[int, Field(ge=100)] = Field(2000, description="bootstrap resamples")
    seed: Seed = Field(0, description="seed of the resampling")


def require_analysable(where: str, record_every: int, losses: Sequence[str]) -> None:
    """Refuse a run along which instabilities could not be found.

    Args:
        where: the run's place in the configuration.
        record_every: steps between records of the loss.
        losses: those whose Hessian is probed.

    Raises:
        ValueError: one line that names the key.
    """
    if record_every != 1:
        raise ValueError(f"{where}.record_every: instabilities show from step to step; set it to 1")
    if "weighted" not in losses:
        raise ValueError(f"{where}: instabilities need the weighted loss; add it to hessian.losses")
