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

_ROUNDING = 1e3  # of F, in units of α and of the precision's rounding, as runs in float32 show it
_MOST_JOBS = 100_000
_MOST_ENTRIES = 50_000_000  # of frozen kernels: beyond it they take hours and gigabytes for each flow


class TiltSettings(Settings):
    """Class weights that oscillate along a flow."""

    period: Positive = Field(
        description="T, in units of the time in which the same flow without a tilt halves its loss"
    )
    amplitude: Annotated[float, Field(ge=1)] = Field(description="A; 1 is the static loss")


class LazySettings(Settings):
    """What decides a run of gradient flow, apart from width, scale and seed."""

    dataset: str = Field("digits_parity", description="a key of `datasets`, with two classes")
    depth: Count = Field(2, description="hidden layers; 3 in the paper's main figures")
    activation: Literal["softplus", "relu"] = Field(
        "softplus", description="of hidden units, with mean square 1: softplus (β = 5) or relu (times √2)"
    )
    loss: Literal["soft_hinge", "mse"] = Field(
        "soft_hinge", description="soft_hinge: the paper's, β = 20; mse: half the squared error"
    )
    tilt: TiltSettings | None = Field(
        None,
        description="class weights that oscillate, of a dynamical loss; each flow is then followed "
        "without them too; null: none",
    )
    velocity_tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-4, description="ε of a step: the square of the gradient's relative change, at most"
    )
    output_tolerance: Annotated[float, Field(gt=0, lt=10)] = Field(
        0.1, description="change of the prediction of any training sample in a step, at most"
    )
    closeness: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-3, description="of mse: a flow ends when every prediction is as near to its label as this"
    )
    max_steps: Count = Field(
        20_000,
        description="gradient evaluations of a flow, those of rejected steps too; one that needs more is "
        "kept as not converged",
    )
    precision: Literal["float32", "float64"] = Field("float64", description="floating-point precision")
    kernel_samples: Count = Field(
        200, description="test samples, the first, on which the change of the kernel is measured"
    )
    frozen: bool = Field(
        False,
        description="whether the kernels of the start and of the end of training are also trained with, "
        "frozen as they are",
    )

    def model(self, width: int) -> MLPSettings:
        """The network: neural-tangent parametrisation, no biases, all entries N(0, 1)."""
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
        """Refuse a scale at which rounding would decide the result.

        The difference f − f₀ is of order 1/α, so that the precision's rounding of f is enlarged by α.

        Args:
            width: h.
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
                f"tolerances ask for {allowed:.0e}; raise them"
            )
        other = "take precision float64" if self.precision == "float32" else "take smaller scales"
        raise ValueError(
            f"scales: at √h·α = {exact(scale)} and h = {width} about {lost:.0f} of the {digits:.0f} "
            f"digits of {self.precision} are lost in α(f − f₀); {other}, or raise {tolerances}"
        )

    def require_possible(self, shape: Shape) -> None:
        """Refuse data that are not of two classes.

        Raises:
            ValueError: one line that names the key.
        """
        if shape.classes != 2:
            raise ValueError(
                f"dataset: '{self.dataset}' has {shape.classes} classes, and labels here are ±1; name one "
                "with `labels: parity`"
            )
        entries = shape.train_samples * (shape.train_samples + shape.validation_samples)
        if self.frozen and entries > _MOST_ENTRIES:
            raise ValueError(
                f"frozen: the kernels of '{self.dataset}' would have {entries:.0e} entries, and "
                f"{_MOST_ENTRIES:.0e} are the most; take fewer samples, or set it to false"
            )
        if self.kernel_samples > shape.validation_samples:
            raise ValueError(
                f"kernel_samples: '{self.dataset}' has {shape.validation_samples} test samples; take fewer"
            )


class LazyStudy(LazySettings):
    """A grid of gradient flows over width h and scale √h·α (Fig. L1 to L5)."""

    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [32, 64], description="h, hidden units of each layer"
    )
    scales: Scales = Field([0.01, 1.0, 100.0], description="√h·α of the prediction F = α(f − f₀)")
    seeds: Count = Field(3, description="initial seeds 0 … n−1, the same for all scales")
    seeds_per_block: Count = Field(3, description="seeds in a training job")
    scales_per_block: Count = Field(
        20, description="scales in a training job, at most; a scale that is added repeats those of its job"
    )
    data_seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        [0], description="splits of the data into training and test set, each drawn from one of these seeds"
    )

    @model_validator(mode="after")
    def _usable(self) -> LazyStudy:
        if self.frozen and self.tilt is not None:
            raise ValueError("frozen: frozen kernels are trained without a tilt; leave one of the two out")
        for name in ("widths", "scales", "data_seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: a value is given twice; give each once")
        for width in self.widths:
            for scale in self.scales:
                self.require_resolved(width, scale)
        longest = max(self.blocks, key=lambda block: len(block.name))
        if len(longest.name) > LONGEST_NAME:
            raise ValueError(
                f"scales_per_block: the name of a training job's file would have {len(longest.name)} "
                f"characters, and {LONGEST_NAME} are the most; take fewer"
            )
        if len(self.blocks) > _MOST_JOBS:
            raise ValueError(f"seeds_per_block: the study would have {len(self.blocks)} jobs; take more")
        return self

    @property
    def run(self) -> LazySettings:
        """The settings that a run depends on; the others say which runs there are, and in which jobs."""
        return LazySettings.model_validate(self.model_dump(include=set(LazySettings.model_fields)))

    @property
    def blocks(self) -> list[LazyBlock]:
        """What each training job does."""
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
