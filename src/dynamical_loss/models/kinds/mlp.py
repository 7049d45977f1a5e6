"""The multilayer perceptron of Fig. 2 to 5."""

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
    """Settings of the multilayer perceptron of Fig. 2 to 5."""

    # Measured with the XLA engine; the fused loop takes a quarter of the time.  A forward pass has
    # one product per parameter.
    cost = Cost(**MEASURED["dense"], record=1.0, probe={"float32": 10.0, "float64": 4.0})

    kind: Literal["mlp"] = Field("mlp", description="kind of network")
    width: Count = Field(
        100,
        description="number of units in each hidden layer; the paper uses 100 (narrow) and 1000 (wide)",
    )
    depth: Count = Field(1, description="number of hidden layers; the paper uses 1")
    activation: Literal["relu", "tanh", "softplus"] = Field(
        "relu",
        description="activation function of the hidden units; the paper uses relu, and arXiv 1906.08034 uses "
        "softplus",
    )
    initialisation: Preset = Field(
        "lecun",
        description="how the initial weights and biases are drawn; docs/choices.md compares the choices; "
        "lecun was neural-tangents' default when the paper was written, and the original notebook uses it",
    )
    kernel_distribution: Distribution | None = Field(
        None,
        description="distribution of the initial weights; null uses the distribution that belongs to "
        "initialisation",
    )
    first_kernel_factor: Positive = Field(
        1.0,
        description="factor that multiplies the standard deviation of the first layer's initial weights",
    )
    further_kernel_factor: Positive = Field(
        1.0,
        description="factor that multiplies the standard deviation of the initial weights of every layer "
        "after the first",
    )
    bias_scale: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="standard deviation of the initial biases; null uses the value that belongs to "
        "initialisation",
    )
    parametrisation: Literal["standard", "neural_tangent"] = Field(
        "standard",
        description="how the weights are stored; standard: as they are; neural_tangent: with an initial "
        "standard deviation of 1, and each layer multiplies them by the intended standard deviation, so that "
        "gradient descent moves the weights of wide layers less",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> MLPSettings:
        start = PRESETS[self.initialisation]
        if self.bias_scale is not None and start.bias is None:
            raise ValueError(f"bias_scale: {self.initialisation} has no biases; leave bias_scale out")
        if self.kernel_distribution is not None and start.fan == "none":
            raise ValueError(
                f"kernel_distribution: {self.initialisation} draws its weights from a normal distribution; "
                "leave kernel_distribution out"
            )
        return self

    @property
    def start(self) -> Initialisation:
        """The initialisation of the layers: the preset, with the parts that the settings replace."""
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
        """See `ModelSettings`.

        With one hidden layer, a unit owns its input weights, its bias and its output weights.  With more
        hidden layers, units share weights, and the result is None.
        """
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
