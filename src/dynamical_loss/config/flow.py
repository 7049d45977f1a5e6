"""Settings of the flows that are held against gradient descent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.settings import Count, Settings


class FlowSettings(Settings):
    """How flows are integrated (Fig. F1)."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-10, description="relative and absolute, of the adaptive integrator"
    )
    evaluations: Annotated[int, Field(ge=14)] = Field(
        5_000,
        description="of a flow's field in a step at most; a flow that needs more is recorded as stuck",
    )


class FlowStudy(Settings):
    """Flows that follow gradient descent along the runs of a trajectory study (Fig. F4)."""

    trajectory: str = Field(
        description="a key of `trajectories`, of networks trained by plain gradient descent"
    )
    starts: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="steps of the run from which flows start; each needs a snapshot"
    )
    steps: Count = Field(5, description="steps of gradient descent that are followed from each start")
    order: Count = Field(16, description="Arnoldi steps of the principal flow")
    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-8, description="relative and absolute, of the adaptive integrator"
    )
    evaluations: Annotated[int, Field(ge=14)] = Field(
        900, description="of a flow's field in a step at most; a flow that needs more is recorded as stuck"
    )

    def require_possible(self, run: TrajectorySettings) -> None:
        """Refuse runs that are no gradient descent, and starts that a flow cannot have.

        Args:
            run: the trajectory, its length in steps.

        Raises:
            ValueError: one line that names the key.
        """
        where = f"trajectory: {self.trajectory}"
        if not run.is_gradient_descent:
            raise ValueError(
                f"{where} has momentum, batches or another optimiser, and a flow has none of these; name a "
                "run of plain sgd on all samples"
            )
        if key := run.changes_rate:
            raise ValueError(f"{where} has a {key}, and a flow one learning rate; name another run")
        if run.output_scale is not None:
            raise ValueError(f"{where} has an output_scale, and a flow follows f itself; name another run")
        if run.record_every != 1:
            raise ValueError(f"{where} lacks Γ at some steps; set its record_every to 1, or name another run")
        if run.model.kind != "mlp":
            raise ValueError(
                f"{where} is of the kind {run.model.kind}; flows follow networks of the kind mlp"
            )
        if run.loss.emphasis == "random_group":
            raise ValueError(f"{where} weighs random groups of samples; name a run that weighs classes")
        for start in self.starts:
            if start + self.steps > run.steps:
                raise ValueError(
                    f"starts: {start} and {self.steps} steps lead beyond the run of {run.steps}; start "
                    "earlier"
                )
            if not run.snapshots.has(start):
                raise ValueError(
                    f"starts: there is no snapshot at step {start}; add one to snapshots.windows"
                )
            if run.amplitude > 1 and len({_piece(run, t) for t in range(start, start + self.steps)}) > 1:
                raise ValueError(
                    f"starts: from {start} on, {self.steps} steps cross a kink of Γ (T = {run.period}); "
                    "start elsewhere, or take fewer steps"
                )


def _piece(run: TrajectorySettings, step: int) -> tuple[int, bool] | None:
    """On which straight piece of Γ(t) a step lies: which turn of a class, and which half of it."""
    if run.oscillation_stop_step is not None and step >= run.oscillation_stop_step:
        return None
    cycle = run.period + run.loss.rest_steps
    return step // cycle, 2 * (step % cycle) >= run.period
