"""Settings of the curvature probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from dynamical_loss.settings import Count, Seed, Settings

_OF_OUTPUT = ("alignment", "residual", "small_steps", "batches", "optimiser")
"""Probes that know no scaled output."""


class LanczosSettings(Settings):
    """How many eigenvalues are wanted, and of how many Lanczos steps."""

    modes: Count = Field(3, description="largest eigenvalues kept")
    order: Count = Field(24, description="Lanczos steps")

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        if self.modes > self.order:
            raise ValueError(f"{self.order} Lanczos steps cannot give {self.modes} modes; raise order")
        return self


class HessianSettings(LanczosSettings):
    """Extreme eigenvalues of the loss Hessian, by Lanczos."""

    losses: Annotated[list[Literal["weighted", "static"]], Field(min_length=1)] = Field(
        ["weighted"], description="weighted: with Γ at that step (Fig. 4e); static: with Γ = 1"
    )
    modes: Count = Field(5, description="largest eigenvalues kept")
    order: Count = Field(30, description="Lanczos steps; 10 in the authors' notebook")


class NTKSettings(LanczosSettings):
    """Largest eigenvalues of the neural tangent kernel."""

    notebook_samples: Count | None = Field(
        None, description="also the authors' notebook variant on that many first samples (50)"
    )


class ResidualSettings(LanczosSettings):
    """How the residual of the squared error moves, mode by mode of the kernel (Fig. F10)."""

    modes: Count = Field(10, description="largest eigenvalues of the weighted kernel that are kept")
    order: Count = Field(60, description="Lanczos steps")
    restart: Count = Field(
        20, description="steps that kernels lead the residual before it starts anew from the run's"
    )


class DensitySettings(Settings):
    """Full spectral density of the Hessian, by stochastic Lanczos quadrature."""

    steps: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="steps to look at; the nearest snapshot is used"
    )
    order: Count = Field(80, description="Lanczos steps per probe vector")
    probes: Count = Field(10, description="random probe vectors")


class BatchSettings(Settings):
    """Curvature as a descent by batches meets it: along the gradients of batches drawn as in training."""

    count: Count = Field(16, description="batches of the run's size, drawn anew at each snapshot")
    vectors: Annotated[int, Field(ge=2)] = Field(16, description="random vectors behind the trace")
    order: Count = Field(24, description="Lanczos steps of the Gauss-Newton matrix")


class OptimiserProbeSettings(Settings):
    """Stability of the optimiser's own step, whatever the optimiser is."""

    order: Count = Field(40, description="Arnoldi steps")


class SmallStepSettings(Settings):
    """A stretch of the run once more, in steps too small for an instability (Fig. F11)."""

    start: Annotated[int, Field(ge=0)] = Field(description="step of the run, at which there is a snapshot")
    steps: Count = Field(description="of the run, that are done again")
    divide: Annotated[int, Field(ge=2)] = Field(
        8, description="η is so many times smaller, and each step becomes so many"
    )
    every: Count = Field(
        11, description="steps of the run between places that are looked at; it divides their number"
    )
    order: Count = Field(30, description="Lanczos steps")

    @model_validator(mode="after")
    def _sees_both_branches(self) -> Self:
        if self.every % 2 == 0:
            raise ValueError(
                f"every: {self.every} sees one branch of an alternation alone; take an odd number"
            )
        if self.steps % self.every:
            raise ValueError(
                f"steps: {self.steps} is no multiple of every, {self.every}; take "
                f"{-(-self.steps // self.every) * self.every}"
            )
        return self


class ProbedRun(NamedTuple):
    """What probes have to know of a run.

    Attributes:
        parameters: of the network.
        samples: training samples that the probes look at.
        classes: C; the kernel has a row for each logit of each sample.
        steps: of the run.
        batch_size: of the run; None for all samples.
        remembers: whether what the optimiser remembers is known at the snapshots.
        descends: whether a step is −η times the gradient over all samples, which are looked at.
        changes_rate: the key by which η changes from step to step; None if it does not.
        scaled: whether the prediction is α(f − f₀) and not the network's output f.
        squared_error: whether the loss is the squared error.
        record_every: steps between records of Γ.
        snapshots: whether there is one at a step.
    """

    parameters: int
    samples: int
    classes: int
    steps: int
    batch_size: int | None
    remembers: bool
    descends: bool
    changes_rate: str | None
    scaled: bool
    squared_error: bool
    record_every: int
    snapshots: Callable[[int], bool]


class ProbeSettings(Settings):
    """What is measured at every snapshot."""

    seed: Seed = Field(0, description="seed of the Lanczos start vectors")
    hessian: HessianSettings = Field(HessianSettings(), description="Hessian eigenvalues")
    ntk: NTKSettings | None = Field(None, description="NTK eigenvalues; null: not probed")
    density: DensitySettings | None = Field(None, description="Hessian density; null: not probed")
    alignment: bool = Field(
        False,
        description="share of the gradient along each eigenvector, and what each class adds to the curvature "
        "and to the change by a step (Fig. F5, F9)",
    )
    residual: ResidualSettings | None = Field(
        None,
        description="modes of the residual, of gradient descent on the squared error (loss.kind: mse); null: "
        "not probed",
    )
    small_steps: SmallStepSettings | None = Field(
        None,
        description="a stretch of a run of gradient descent once more, in smaller steps; null: not probed",
    )
    batches: BatchSettings | None = Field(
        None, description="curvature along gradients of batches, trace, Gauss-Newton; null: not probed"
    )
    optimiser: OptimiserProbeSettings | None = Field(
        None,
        description="stability of the optimiser's step, from what it remembers (snapshots.optimiser_state); "
        "null: not probed",
    )

    def require_possible(self, run: ProbedRun) -> None:
        """Refuse probes that ask a run for more than there is.

        Args:
            run: what is known of it.

        Raises:
            ValueError: one line that names the key.
        """
        if self.hessian.modes > run.parameters:
            raise ValueError(
                f"hessian.modes: the network has no more than {run.parameters} parameters; take fewer"
            )
        rank = min(run.samples * run.classes, run.parameters)
        for name, kernel in (("ntk", self.ntk), ("residual", self.residual)):
            if kernel is not None and kernel.modes > rank:
                raise ValueError(
                    f"{name}.modes: the kernel has no more than {rank} eigenvalues that are not zero; take "
                    "fewer"
                )
        if self.ntk is not None and (self.ntk.notebook_samples or 0) > run.samples:
            raise ValueError(
                f"ntk.notebook_samples: there are no more than {run.samples} samples; take fewer"
            )
        if self.residual is not None and not (run.descends and run.squared_error):
            raise ValueError(
                "residual: its modes are those of plain sgd with loss.kind: mse on all samples; train "
                "so, or leave residual out"
            )
        if self.alignment and "weighted" not in self.hessian.losses:
            raise ValueError(
                "alignment: the gradient is that of the weighted loss; add it to hessian.losses, or leave "
                "alignment out"
            )
        if self.optimiser is not None and not run.remembers:
            raise ValueError(
                "optimiser: the run's snapshots lack what the optimiser remembers; set "
                "snapshots.optimiser_state to true"
            )
        if self.batches is not None and (run.batch_size or 0) > run.samples:
            raise ValueError(
                f"batches: the probes look at {run.samples} samples, and a batch has {run.batch_size}; raise "
                "evaluation_samples"
            )
        for step in self.density.steps if self.density else ():
            if step > run.steps:
                raise ValueError(
                    f"density.steps: {step} lies beyond the run of {run.steps} steps; take earlier ones"
                )
        if self.small_steps is not None:
            self._require_descent(self.small_steps, run)
        for name in _OF_OUTPUT if run.scaled else ():
            if getattr(self, name):
                raise ValueError(
                    f"{name}: no probe of a scaled output, and the run has an output_scale; leave it out"
                )

    @staticmethod
    def _require_descent(wanted: SmallStepSettings, run: ProbedRun) -> None:
        if not run.descends or run.changes_rate:
            raise ValueError(
                "small_steps: only gradient descent on all samples with a constant η can be done again; "
                "train so, or leave small_steps out"
            )
        if run.record_every != 1:
            raise ValueError("small_steps: they need Γ at every step; set record_every to 1")
        if wanted.start + wanted.steps > run.steps:
            raise ValueError(
                f"small_steps: {wanted.start} and {wanted.steps} steps lead beyond the run of {run.steps}; "
                "start earlier"
            )
        if not run.snapshots(wanted.start):
            raise ValueError(
                f"small_steps.start: there is no snapshot at step {wanted.start}; add one to "
                "snapshots.windows"
            )
