"""The perceptron of Fig. 2 to 5."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.kind import (
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


class MLPSettings(ModelSettings):
    """The perceptron of Fig. 2 to 5."""

    # Of the XLA engine; the fused one takes a quarter of it.  A forward pass takes one product a parameter.
    # Of double precision were measured the products with the Hessian.
    cost = Cost(1.0e-4, 0.0, 2.5, 1.0, {"float32": 10.0, "float64": 4.0})

    kind: Literal["mlp"] = Field("mlp", description="kind of network")
    width: Count = Field(100, description="hidden units; the paper's narrow is 100, wide 1000")
    depth: Count = Field(1, description="hidden layers; the paper has 1")
    initialisation: Literal["lecun", "glorot", "no_bias"] = Field(
        "lecun", description="lecun (the paper's era), glorot or no_bias; see figS0_initialisation"
    )

    @property
    def _bias(self) -> bool:
        return self.initialisation != "no_bias"

    def size(self, shape: Shape) -> NetworkSize:
        """See `ModelSettings`."""
        sizes = [math.prod(shape.sample), *[self.width] * self.depth, shape.classes]
        return size_of([dense(before, after, self._bias) for before, after in itertools.pairwise(sizes)])

    def build(self, classes: int, arithmetic: Arithmetic = "full") -> nn.Module:
        """See `ModelSettings`."""
        from dynamical_loss.models.mlp import MLP

        return MLP(self.width, classes, self.depth, self.initialisation)

    @property
    def label(self) -> str:
        """See `ModelSettings`."""
        layers = f" in each of {self.depth} layers" if self.depth > 1 else ""
        return f"perceptron, {self.width} hidden units{layers}"

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        """See `ModelSettings`."""
        return HiddenLayer(self.width, self._bias) if self.depth == 1 else None
