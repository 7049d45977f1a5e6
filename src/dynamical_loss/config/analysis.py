"""Settings of the analysis of instabilities and of the claims."""

from __future__ import annotations

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
