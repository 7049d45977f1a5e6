"""The wide residual network of Fig. S3."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.kind import (
    CONVOLUTIONS,
    Arithmetic,
    Layer,
    ModelSettings,
    NetworkSize,
    convolution,
    dense,
    size_of,
)
from dynamical_loss.settings import Count

if TYPE_CHECKING:
    import flax.linen as nn

_NORMALISATION = {"batch": "with batch norm", "none": "without batch norm"}


class WideResNetSettings(ModelSettings):
    """Settings of the wide residual network of Fig. S3."""

    convolutional = True
    has_state = True
    cost = CONVOLUTIONS

    kind: Literal["wide_resnet"] = Field(description="kind of network")
    depth: Count = Field(
        16,
        description="number of layers; it is 6 n + 4 with n blocks in each of the three stages; the paper "
        "does not state its depth",
    )
    widening: Count = Field(
        4,
        description="widening factor k; the three stages have 16 k, 32 k and 64 k channels; the paper does "
        "not state its factor",
    )
    normalisation: Literal["batch", "none"] = Field(
        "batch",
        description="normalisation of the activations; batch: batch norm; none: no normalisation, the first "
        "open question of the authors' talk",
    )

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if depth < 10 or depth % 6 != 4:
            raise ValueError("a wide residual network has 6 n + 4 layers; take 10, 16, 22 or 28")
        return depth

    def size(self, shape: Shape) -> NetworkSize:
        """See `ModelSettings`."""
        rows, columns, colours = shape.sample
        layers = [convolution(colours, 16, rows * columns)]

        def normalise(channels: int) -> None:
            if self.normalisation == "batch":
                layers.append(Layer(2 * channels, 0, channels * rows * columns))

        before = 16
        for stage, block in itertools.product(range(3), range((self.depth - 4) // 6)):
            after = 16 * self.widening * 2**stage
            halved = stage > 0 and block == 0
            normalise(before)
            if halved:
                rows, columns = -(-rows // 2), -(-columns // 2)
            layers.append(convolution(before, after, rows * columns))
            normalise(after)
            layers.append(convolution(after, after, rows * columns))
            if halved or before != after:
                layers.append(convolution(before, after, rows * columns, size=1))
            before = after
        normalise(before)
        return size_of([*layers, dense(before, shape.classes, bias=True)])

    def build(self, classes: int, arithmetic: Arithmetic = "full") -> nn.Module:
        """See `ModelSettings`."""
        from dynamical_loss.models.wide_resnet import WideResNet

        return WideResNet(self.depth, self.widening, classes, self.normalisation, arithmetic)

    def computed_by(self, arithmetic: Arithmetic, precision: str) -> str:
        """See `ModelSettings`."""
        from dynamical_loss.models.convolution import computed_by

        return computed_by(arithmetic, precision)

    @property
    def label(self) -> str:
        """See `ModelSettings`."""
        return f"Wide ResNet {self.depth}-{self.widening} {_NORMALISATION[self.normalisation]}"
