"""Myrtle5, the convolutional network of Fig. 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.kind import (
    CONVOLUTIONS,
    Arithmetic,
    ModelSettings,
    NetworkSize,
    convolution,
    dense,
    size_of,
)
from dynamical_loss.settings import Count

if TYPE_CHECKING:
    import flax.linen as nn


class Myrtle5Settings(ModelSettings):
    """Settings of Myrtle5, the convolutional network of Fig. 1."""

    convolutional = True
    cost = CONVOLUTIONS

    kind: Literal["myrtle5"] = Field(description="kind of network")
    channels: Count = Field(64, description="number of channels of each convolution; the paper uses 64")

    def size(self, shape: Shape) -> NetworkSize:
        """See `ModelSettings`."""
        rows, columns, before = shape.sample
        layers = []
        for pooled in (False, True, True, False):
            layers.append(convolution(before, self.channels, rows * columns))
            before = self.channels
            if pooled:
                rows, columns = rows // 2, columns // 2
        return size_of([*layers, dense(before, shape.classes, bias=False)])

    def build(self, classes: int, arithmetic: Arithmetic = "full") -> nn.Module:
        """See `ModelSettings`."""
        from dynamical_loss.models.myrtle5 import Myrtle5

        return Myrtle5(self.channels, classes, arithmetic)

    def computed_by(self, arithmetic: Arithmetic, precision: str) -> str:
        """See `ModelSettings`."""
        from dynamical_loss.models.convolution import computed_by

        return computed_by(arithmetic, precision)

    @property
    def label(self) -> str:
        """See `ModelSettings`."""
        return f"Myrtle5, {self.channels} channels"
