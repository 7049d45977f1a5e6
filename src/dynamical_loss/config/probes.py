"""Settings of the curvature probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from dynamical_loss.settings import Count, Seed, Settings

_OF_OUTPUT = ("alignment", "residual", "small_steps", "batches", "optimiser")
"""Probes that do not support a scaled output."""


class LanczosSettings(Settings):
    """Number of eigenvalues that are kept, and number of Lanczos steps."""

    modes: Count = Field(3, description="number of largest eigenvalues that are kept")
    order: Count = Field(24, description="number of Lanczos steps")

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        if self.modes > self.order:
            raise ValueError(f"{self.order} Lanczos steps cannot give {self.modes} modes; raise order")
        return self


class HessianSettings(LanczosSettings):
    """Extreme eigenvalues of the loss Hessian, by Lanczos."""

    losses: Annotated[list[Literal["weighted", "static"]], Field(min_length=1)] = Field(
        ["weighted"],
        description="losses whose Hessian is probed. weighted: the loss with the class weights Γ of that "
        "step (Fig. 4e); static: the loss with Γ = 1",
    )
    modes: Count = Field(5, description="number of largest eigenvalues that are kept")
    order: Count = Field(30, description="number of Lanczos steps; 10 in the authors' notebook")


class NTKSettings(LanczosSettings):
    """Largest eigenvalues of the neural tangent kernel."""

    notebook_samples: Count | None = Field(
        None,
        description="number of samples, the first ones, on which the variant of the kernel in the authors' "
        "notebook is also measured (50 in the notebook); null: the variant is not measured",
    )


class ResidualSettings(LanczosSettings):
    """Evolution of the residual of the squared error, in each eigenmode of the kernel (Fig. F10)."""

    modes: Count = Field(10, description="number of largest eigenvalues of the weighted kernel that are kept")
    order: Count = Field(60, description="number of Lanczos steps")
    restart: Count = Field(
        20,
        description="number of steps for which the residual is evolved by the kernels alone, before it is "
        "set again to the residual of the run",
    )


class DensitySettings(Settings):
    """Full spectral density of the Hessian, by stochastic Lanczos quadrature."""

    steps: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(
        description="steps of the run at which the density is measured; the nearest snapshot is used"
    )
    order: Count = Field(80, description="number of Lanczos steps per probe vector")
    probes: Count = Field(10, description="number of random probe vectors")


class BatchSettings(Settings):
    """Curvature along the gradients of batches, which are drawn as in training."""

    count: Count = Field(
        16, description="number of batches, of the run's batch size, drawn at random at each snapshot"
    )
    vectors: Annotated[int, Field(ge=2)] = Field(
        16, description="number of random vectors for estimating the trace of the Hessian"
    )
    order: Count = Field(24, description="number of Lanczos steps for the Gauss-Newton matrix")


class OptimiserProbeSettings(Settings):
    """Linear stability of the step of any optimiser."""

    order: Count = Field(40, description="number of Arnoldi steps")


class SmallStepSettings(Settings):
    """A repetition of a stretch of the run with steps that are too small for an instability (Fig. F11)."""

    start: Annotated[int, Field(ge=0)] = Field(
        description="step of the run at which the stretch begins; it needs a snapshot"
    )
    steps: Count = Field(description="length of the stretch, in steps of the run")
    divide: Annotated[int, Field(ge=2)] = Field(
        8, description="factor k by which η is divided; k small steps replace each step of the run"
    )
    every: Count = Field(
        11,
        description="number of steps of the run between two measurements; an odd number that divides `steps`",
    )
    order: Count = Field(30, description="number of Lanczos steps")

    @model_validator(mode="after")
    def _sees_both_branches(self) -> Self:
        if self.every % 2 == 0:
            raise ValueError(
                f"every: {self.every} is even and sees only one branch of an alternation; take an odd number"
            )
        if self.steps % self.every:
            raise ValueError(
                f"steps: {self.steps} is not a multiple of every, {self.every}; take "
                f"{-(-self.steps // self.every) * self.every}"
            )
        return self


class ProbedRun(NamedTuple):
    """Properties of a run that probes depend on.

    Attributes:
        parameters: number of parameters of the network.
        samples: number of training samples on which the probes are evaluated.
        classes: C, number of classes; the kernel has a row for each logit of each sample.
        steps: length of the run in steps.
        batch_size: number of samples in a batch; None for all samples.
        remembers: whether the optimiser's state is known at the snapshots.
        descends: whether a step is −η times the gradient over all samples, and the probes are evaluated on
            all of them.
        changes_rate: the key that makes η change from step to step; None if η is constant.
        scaled: whether the prediction is α(f − f₀) instead of the network's output f.
        squared_error: whether the loss is the squared error.
        record_every: number of steps between records of Γ.
        snapshots: function that tells whether there is a snapshot at a step.
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
    """Measurements that are made at every snapshot."""

    seed: Seed = Field(0, description="seed of the random start vectors of Lanczos")
    hessian: HessianSettings = Field(
        HessianSettings(), description="largest eigenvalues of the Hessian of the loss"
    )
    ntk: NTKSettings | None = Field(
        None, description="largest eigenvalues of the neural tangent kernel; null: not probed"
    )
    density: DensitySettings | None = Field(
        None, description="spectral density of the Hessian; null: not probed"
    )
    alignment: bool = Field(
        False,
        description="whether to measure the share of the gradient along each eigenvector, and the "
        "contribution of each class to the curvature and to the change of the loss in one step (Fig. F5, F9)",
    )
    residual: ResidualSettings | None = Field(
        None,
        description="residual of the squared error, split into eigenmodes of the neural tangent kernel; only "
        "for gradient descent with loss.kind: mse; null: not probed",
    )
    small_steps: SmallStepSettings | None = Field(
        None,
        description="repetition of a stretch of the run with smaller steps; only for gradient descent; null: "
        "not probed",
    )
    batches: BatchSettings | None = Field(
        None,
        description="curvature along the gradients of batches, trace of the Hessian, and largest eigenvalues "
        "of the Gauss-Newton matrix; null: not probed",
    )
    optimiser: OptimiserProbeSettings | None = Field(
        None,
        description="stability of the optimiser's step; it needs the optimiser's state "
        "(snapshots.optimiser_state); null: not probed",
    )

    def require_possible(self, run: ProbedRun) -> None:
        """Refuse probes that the run cannot support.

        Args:
            run: properties of the run.

        Raises:
            ValueError: one line that names the key.
        """
        if self.hessian.modes > run.parameters:
            raise ValueError(
                f"hessian.modes: the network has only {run.parameters} parameters; take fewer modes"
            )
        rank = min(run.samples * run.classes, run.parameters)
        for name, kernel in (("ntk", self.ntk), ("residual", self.residual)):
            if kernel is not None and kernel.modes > rank:
                raise ValueError(
                    f"{name}.modes: the kernel has no more than {rank} eigenvalues that are not zero; take "
                    "fewer modes"
                )
        if self.ntk is not None and (self.ntk.notebook_samples or 0) > run.samples:
            raise ValueError(f"ntk.notebook_samples: there are only {run.samples} samples; take fewer")
        if self.residual is not None and not (run.descends and run.squared_error):
            raise ValueError(
                "residual: this probe needs plain sgd on all samples with loss.kind: mse; set these, or "
                "leave residual out"
            )
        if self.alignment and "weighted" not in self.hessian.losses:
            raise ValueError(
                "alignment: this probe needs the weighted loss; add weighted to hessian.losses, or leave "
                "alignment out"
            )
        if self.optimiser is not None and not run.remembers:
            raise ValueError(
                "optimiser: the run's snapshots do not hold the optimiser's state; set "
                "snapshots.optimiser_state to true"
            )
        if self.batches is not None and (run.batch_size or 0) > run.samples:
            raise ValueError(
                f"batches: probes are evaluated on {run.samples} samples, fewer than a batch of "
                f"{run.batch_size}; raise evaluation_samples"
            )
        for step in self.density.steps if self.density else ():
            if step > run.steps:
                raise ValueError(
                    f"density.steps: {step} lies beyond the run of {run.steps} steps; take an earlier step"
                )
        if self.small_steps is not None:
            self._require_descent(self.small_steps, run)
        for name in _OF_OUTPUT if run.scaled else ():
            if getattr(self, name):
                raise ValueError(
                    f"{name}: this probe does not support the run's output_scale; leave the probe out"
                )

    @staticmethod
    def _require_descent(wanted: SmallStepSettings, run: ProbedRun) -> None:
        if not run.descends or run.changes_rate:
            raise ValueError(
                "small_steps: this probe needs gradient descent on all samples with a constant η; set these, "
                "or leave small_steps out"
            )
        if run.record_every != 1:
            raise ValueError("small_steps: this probe needs Γ at every step; set record_every to 1")
        if wanted.start + wanted.steps > run.steps:
            raise ValueError(
                f"small_steps: {wanted.steps} steps from {wanted.start} on lead beyond the run of "
                f"{run.steps} steps; start earlier"
            )
        if not run.snapshots(wanted.start):
            raise ValueError(
                f"small_steps.start: there is no snapshot at step {wanted.start}; add one to "
                "snapshots.windows"
            )
