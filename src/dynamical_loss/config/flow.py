"""Settings of the continuous-time flows that are compared with gradient descent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.settings import Count, Settings


class FlowSettings(Settings):
    """Numerical integration of flows on losses known in closed form (Fig. F1)."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-10, description="tolerance of the adaptive integrator, both relative and absolute"
    )
    evaluations: Annotated[int, Field(ge=14)] = Field(
        5_000,
        description="largest number of evaluations of a flow's vector field within one step of gradient "
        "descent; a flow that needs more is recorded as stuck",
    )


class FlowStudy(Settings):
    """Flows that approximate gradient descent along the runs of a trajectory study (Fig. F4)."""

    trajectory: str = Field(
        description="study whose runs the flows follow, a key of `trajectories`; its networks must be "
        "trained by plain gradient descent"
    )
    starts: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="steps of the run from which flows start; each needs a snapshot"
    )
    steps: Count = Field(
        5, description="number of steps of gradient descent that are followed from each start"
    )
    order: Count = Field(16, description="number of Arnoldi steps for the principal flow")
    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-8, description="tolerance of the adaptive integrator, both relative and absolute"
    )
    evaluations: Annotated[int, Field(ge=14)] = Field(
        900,
        description="largest number of evaluations of a flow's vector field within one step of gradient "
        "descent; a flow that needs more is recorded as stuck",
    )

    def require_possible(self, run: TrajectorySettings, classes: int) -> None:
        """Refuse runs that are not plain gradient descent, and starts from which no flow can be traced.

        Args:
            run: settings of the trajectory, with its length in steps.
            classes: number of classes of its data.

        Raises:
            ValueError: one line that names the key.
        """
        where = f"trajectory: {self.trajectory}"
        if not run.is_gradient_descent:
            raise ValueError(
                f"{where} has momentum, batches or another optimiser, for which flows are not defined; name "
                "a run of plain sgd on all samples"
            )
        if key := run.changes_rate:
            raise ValueError(
                f"{where} has a {key}, and a flow needs a constant learning rate; name another run"
            )
        if run.output_scale is not None:
            raise ValueError(
                f"{where} has an output_scale, and flows are defined for f itself; name another run"
            )
        if run.record_every != 1:
            raise ValueError(
                f"{where} does not record Γ at every step; set its record_every to 1, or name another run"
            )
        if run.model.kind != "mlp":
            raise ValueError(
                f"{where} trains a network of the kind {run.model.kind}; name a run that trains an mlp"
            )
        if run.loss.emphasis == "random_group":
            raise ValueError(f"{where} weights random groups of samples; name a run that weights classes")
        for start in self.starts:
            if start + self.steps > run.steps:
                raise ValueError(
                    f"starts: {self.steps} steps from {start} on lead beyond the run of {run.steps} steps; "
                    "start earlier"
                )
            if not run.snapshots.has(start):
                raise ValueError(
                    f"starts: there is no snapshot at step {start}; add one to snapshots.windows"
                )
            pieces = {_piece(run, classes, step) for step in range(start, start + self.steps)}
            if run.amplitude > 1 and len(pieces) > 1:
                raise ValueError(
                    f"starts: from {start} on, {self.steps} steps cross a kink of Γ (T = {run.period}); "
                    "start elsewhere, or take fewer steps"
                )


_KINKS = {"triangle": (0.5,), "square": (0.25, 0.75), "sine": ()}
"""Kinks and jumps of a waveform between two multiples of T, as shares of T."""


def _piece(run: TrajectorySettings, classes: int, step: int) -> tuple[int, int] | None:
    """Return the smooth piece of Γ(t) on which a step lies: the number of the period, and that of the piece.

    It is None where the loss is static.
    """
    if step >= run.oscillation_end(run.period, classes):
        return None
    turn, place = divmod(step, run.period + run.loss.rest_steps)
    kinks = (*_KINKS[run.loss.waveform], 1)
    return turn, sum(place >= share * run.period for share in kinks)
