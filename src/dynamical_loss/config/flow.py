"""Settings of the flows that are held against gradient descent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dynamical_loss.settings import Settings


class FlowSettings(Settings):
    """How flows are integrated (Fig. F1)."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-10, description="relative and absolute, of the adaptive integrator"
    )
    evaluations: Annotated[int, Field(ge=14)] = Field(
        5_000,
        description="of a flow's field in a step at most; a flow that needs more is recorded as stuck",
    )
