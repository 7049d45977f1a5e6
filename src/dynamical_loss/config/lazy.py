"""Settings of the study of feature and lazy training (arXiv 1906.08034)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.grid import LONGEST_NAME, LazyBlock
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.notation import exact
from dynamical_loss.settings import Count, Seed, Settings

Positive = Annotated[float, Field(gt=0)]
Scales = Annotated[list[Positive], Field(min_length=1)]

_ROUNDING = 1e3  # rounding error of F over α, in units of the machine epsilon; estimated from runs in float32
_MOST_JOBS = 100_000
_MOST_ENTRIES = 50_000_000  # in frozen kernels; larger kernels need hours and gigabytes for each flow


class TiltSettings(Settings):
    """Class weights that oscillate along a gradient flow."""

    period: Positive = Field(
        description="T, period of the class weights, in units of the time in which the same flow without a "
        "tilt halves its loss"
    )
    amplitude: Annotated[float, Field(ge=1)] = Field(
        description="A, amplitude of the class weights, at least 1; 1 is the static loss"
    )


class LazySettings(Settings):
    """Settings of a gradient flow, apart from its width, scale and seed."""

    dataset: str = Field(
        "digits_parity", description="name of the dataset, a key of `datasets`; it must have two classes"
    )
    depth: Count = Field(2, description="number of hidden layers; 3 in the main figures of arXiv 1906.08034")
    activation: Literal["softplus", "relu"] = Field(
        "softplus",
        description="activation function of the hidden units, scaled to mean square 1. softplus: with β = 5; "
        "relu: multiplied by √2",
    )
    loss: Literal["soft_hinge", "mse"] = Field(
        "soft_hinge",
        description="loss of a prediction. soft_hinge: the soft hinge of arXiv 1906.08034 with β = 20; mse: "
        "half the squared error",
    )
    tilt: TiltSettings | None = Field(
        None,
        description="oscillating class weights, as of a dynamical loss; each flow is then also computed "
        "without them, for comparison; null: no class weights",
    )
    velocity_tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-4, description="largest squared relative change of the gradient in one step of the integrator"
    )
    output_tolerance: Annotated[float, Field(gt=0, lt=10)] = Field(
        0.1,
        description="largest change of the prediction of any training sample in one step of the integrator",
    )
    closeness: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-3,
        description="for mse only: accuracy at which a flow ends; every prediction is then at least this "
        "close to its label ±1",
    )
    max_steps: Count = Field(
        20_000,
        description="largest number of gradient evaluations of a flow, including those of rejected steps; a "
        "flow that needs more is kept as not converged",
    )
    precision: Literal["float32", "float64"] = Field("float64", description="floating-point precision")
    kernel_samples: Count = Field(
        200,
        description="number of test samples on which the change of the neural tangent kernel is measured; "
        "the first ones are taken",
    )
    frozen: bool = Field(
        False,
        description="whether to train also with a frozen kernel: once with the kernel before training, and "
        "once with the kernel after training",
    )

    def model(self, width: int) -> MLPSettings:
        """Return the network: neural-tangent parametrisation, no biases, all weights drawn from N(0, 1)."""
        return MLPSettings(
            width=width,
            depth=self.depth,
            activation=self.activation,
            initialisation="no_bias",
            kernel_distribution="normal",
            further_kernel_factor=math.sqrt(2.0) if self.activation == "relu" else 1.0,
            parametrisation="neural_tangent",
        )

    def require_resolved(self, width: int, scale: float) -> None:
        """Refuse a scale at which rounding errors would dominate the result.

        The difference f − f₀ is of order 1/α, so that the rounding error of f is magnified by α.

        Args:
            width: h, number of hidden units.
            scale: √h·α.

        Raises:
            ValueError: one line that names the key.
        """
        alpha = scale / math.sqrt(width)
        digits = -math.log10(np.finfo(self.precision).eps)
        error = _ROUNDING * max(alpha, 1.0) * float(np.finfo(self.precision).eps)
        allowed = 0.1 * min(math.sqrt(self.velocity_tolerance), self.output_tolerance)
        if error <= allowed:
            return
        lost = digits + math.log10(error)
        tolerances = "velocity_tolerance or output_tolerance"
        if alpha <= 1.0:
            raise ValueError(
                f"{tolerances}: {self.precision} resolves a relative change of {error:.0e}, and the "
                f"tolerances need {allowed:.0e}; raise them"
            )
        other = "take precision float64" if self.precision == "float32" else "take smaller scales"
        raise ValueError(
            f"scales: at √h·α = {exact(scale)} and h = {width} about {lost:.0f} of the {digits:.0f} "
            f"digits of {self.precision} are lost in α(f − f₀); {other}, or raise {tolerances}"
        )

    def require_possible(self, shape: Shape) -> None:
        """Refuse data that do not have two classes or are too few or too many for the kernels.

        Args:
            shape: sizes of the dataset.

        Raises:
            ValueError: one line that names the key.
        """
        if shape.classes != 2:
            raise ValueError(
                f"dataset: '{self.dataset}' has {shape.classes} classes, and this study needs two; name a "
                "dataset with `labels: parity`"
            )
        entries = shape.train_samples * (shape.train_samples + shape.validation_samples)
        if self.frozen and entries > _MOST_ENTRIES:
            raise ValueError(
                f"frozen: the kernels of '{self.dataset}' would have {entries:.0e} entries, and at most "
                f"{_MOST_ENTRIES:.0e} are allowed; take fewer samples, or set frozen to false"
            )
        if self.kernel_samples > shape.validation_samples:
            raise ValueError(
                f"kernel_samples: '{self.dataset}' has only {shape.validation_samples} test samples; take "
                "fewer"
            )


class LazyStudy(LazySettings):
    """A grid of gradient flows over width h and scale √h·α (Fig. L1 to L5)."""

    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [32, 64], description="h, numbers of hidden units in each layer"
    )
    scales: Scales = Field(
        [0.01, 1.0, 100.0], description="√h·α, scales of the output; the prediction is F = α(f − f₀)"
    )
    seeds: Count = Field(3, description="n, number of initial seeds, 0 … n−1, the same for all scales")
    seeds_per_block: Count = Field(3, description="number of seeds in a training job")
    scales_per_block: Count = Field(
        20,
        description="largest number of scales in a training job; a scale that is added later repeats the "
        "flows of the job that it joins",
    )
    data_seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0],
        description="seeds that draw the split of the data into training and test set; the study is repeated "
        "for each split",
    )

    @model_validator(mode="after")
    def _usable(self) -> LazyStudy:
        if self.frozen and self.tilt is not None:
            raise ValueError("frozen: frozen kernels do not support a tilt; leave one of the two out")
        for name in ("widths", "scales", "data_seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: a value is given twice; remove one of them")
        for width in self.widths:
            for scale in self.scales:
                self.require_resolved(width, scale)
        longest = max(self.blocks, key=lambda block: len(block.name))
        if len(longest.name) > LONGEST_NAME:
            raise ValueError(
                f"scales_per_block: the name of a training job's file would have {len(longest.name)} "
                f"characters, and at most {LONGEST_NAME} are allowed; take fewer scales"
            )
        if len(self.blocks) > _MOST_JOBS:
            raise ValueError(
                f"seeds_per_block: the study would have {len(self.blocks)} jobs; take more seeds per block"
            )
        return self

    @property
    def run(self) -> LazySettings:
        """The settings that a run depends on; the other settings list the runs and group them into jobs."""
        return LazySettings.model_validate(self.model_dump(include=set(LazySettings.model_fields)))

    @property
    def blocks(self) -> list[LazyBlock]:
        """The blocks of the grid, each of which one job trains."""
        groups = [
            tuple(self.scales[first : first + self.scales_per_block])
            for first in range(0, len(self.scales), self.scales_per_block)
        ]
        return [
            LazyBlock(width, group, data_seed, first, first + self.seeds_per_block - 1)
            for width in self.widths
            for group in groups
            for data_seed in self.data_seeds
            for first in range(0, self.seeds, self.seeds_per_block)
        ]
