"""The perceptron of Fig. 2 to 5."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.initialisations import PRESETS, Distribution, Initialisation, Preset
from dynamical_loss.models.kind import (
    MEASURED,
    Arithmetic,
    Cost,
    HiddenLayer,
    ModelSettings,
    NetworkSize,
    dense,
    size_of,
)
from dynamical_loss.settings import Count

if TYPE_CHECKING:
    import flax.linen as nn


Positive = Annotated[float, Field(gt=0)]


class MLPSettings(ModelSettings):
    """The perceptron of Fig. 2 to 5."""

    # Of the XLA engine; the fused one takes a quarter of it.  A forward pass takes one product a parameter.
    cost = Cost(**MEASURED["dense"], record=1.0, probe={"float32": 10.0, "float64": 4.0})

    kind: Literal["mlp"] = Field("mlp", description="kind of network")
    width: Count = Field(100, description="hidden units; the paper's narrow is 100, wide 1000")
    depth: Count = Field(1, description="hidden layers; the paper has 1")
    activation: Literal["relu", "tanh", "softplus"] = Field(
        "relu",
        description="of hidden units; relu is the paper's; softplus that of arXiv 1906.08034",
    )
    initialisation: Preset = Field(
        "lecun",
        description="how it starts, see docs/choices.md; lecun: the paper's era and its original notebook",
    )
    kernel_distribution: Distribution | None = Field(
        None, description="of the kernels' entries; null: that of the initialisation"
    )
    first_kernel_factor: Positive = Field(
        1.0, description="of the standard deviation of the first kernel's entries"
    )
    further_kernel_factor: Positive = Field(
        1.0, description="of the standard deviation of the entries of the kernels after it"
    )
    bias_scale: Annotated[float, Field(ge=0)] | None = Field(
        None, description="standard deviation of the biases at the start; null: that of the initialisation"
    )
    parametrisation: Literal["standard", "neural_tangent"] = Field(
        "standard",
        description="neural_tangent: kernels are stored with standard deviation 1 and multiplied by their "
        "own where they are used, so that gradient descent moves wide ones less",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> MLPSettings:
        start = PRESETS[self.initialisation]
        if self.bias_scale is not None and start.bias is None:
            raise ValueError(f"bias_scale: {self.initialisation} has no biases; leave it out")
        if self.kernel_distribution is not None and start.fan == "none":
            raise ValueError(
                f"kernel_distribution: the kernels of {self.initialisation} are normal; leave it out"
            )
        return self

    @property
    def start(self) -> Initialisation:
        """How the layers start, part by part."""
        start = PRESETS[self.initialisation]
        return start._replace(
            distribution=self.kernel_distribution or start.distribution,
            bias=start.bias if self.bias_scale is None else self.bias_scale,
            first_factor=self.first_kernel_factor,
            further_factor=self.further_kernel_factor,
        )

    @property
    def _bias(self) -> bool:
        return self.start.bias is not None

    def size(self, shape: Shape) -> NetworkSize:
        """See `ModelSettings`."""
        sizes = [math.prod(shape.sample), *[self.width] * self.depth, shape.classes]
        return size_of([dense(before, after, self._bias) for before, after in itertools.pairwise(sizes)])

    def build(self, classes: int, arithmetic: Arithmetic = "full") -> nn.Module:
        """See `ModelSettings`."""
        from dynamical_loss.models.mlp import MLP

        neural_tangent = self.parametrisation == "neural_tangent"
        return MLP(self.width, classes, self.depth, self.start, neural_tangent, self.activation)

    @property
    def label(self) -> str:
        """See `ModelSettings`."""
        layers = f" in each of {self.depth} layers" if self.depth > 1 else ""
        kind = "" if self.activation == "relu" else f" {self.activation}"
        return f"perceptron, {self.width} hidden{kind} units{layers}"

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        """See `ModelSettings`."""
        fused = self.depth == 1 and self.parametrisation == "standard" and self.activation == "relu"
        return HiddenLayer(self.width, self._bias) if fused else None

    @property
    def analytic(self) -> bool:
        """See `ModelSettings`."""
        return self.activation == "tanh"

    def unit_of(self, parameters: Any) -> Any:
        """See `ModelSettings`: with one hidden layer, a unit has what leads into it and out of it."""
        if self.depth > 1:
            return None
        import numpy as np

        units = np.arange(self.width)
        labels = {
            "hidden_0": {"kernel": units, "bias": units},
            "output": {"kernel": units[:, None], "bias": np.array(-1)},
        }
        return {
            layer: {
                name: np.broadcast_to(labels[layer][name], entries.shape) for name, entries in held.items()
            }
            for layer, held in parameters.items()
        }
