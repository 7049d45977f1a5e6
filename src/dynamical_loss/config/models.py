"""Settings of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from dynamical_loss.config.base import Count, Settings, one_of

_KINDS = "architecture: mlp, myrtle5 or wide_resnet"


class MLPSettings(Settings):
    """The perceptron of Fig. 2 to 5."""

    kind: Literal["mlp"] = Field("mlp", description=_KINDS)
    width: Count = Field(100, description="hidden units; the paper's narrow is 100, wide 1000")
    depth: Count = Field(1, description="hidden layers; the paper has 1")
    initialisation: Literal["lecun", "glorot", "no_bias"] = Field(
        "lecun", description="lecun (the paper's era), glorot or no_bias; see figS0_initialisation"
    )


class Myrtle5Settings(Settings):
    """Myrtle5, the convolutional network of Fig. 1."""

    kind: Literal["myrtle5"] = Field(description=_KINDS)
    channels: Count = Field(64, description="of each convolution; the paper has 64")


class WideResNetSettings(Settings):
    """A wide residual network (Fig. S3)."""

    kind: Literal["wide_resnet"] = Field(description=_KINDS)
    depth: Count = Field(16, description="6 n + 4, n being the blocks of a stage; not published")
    widening: Count = Field(4, description="channels are 16, 32 and 64 times that; not published")
    normalisation: Literal["batch", "none"] = Field(
        "batch", description="batch: batch norm; none: without, the talk's first open question"
    )

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if depth < 10 or depth % 6 != 4:
            raise ValueError("a wide residual network has 6 n + 4 layers; take 10, 16, 22 or 28")
        return depth


if TYPE_CHECKING:
    ModelSettings = MLPSettings | Myrtle5Settings | WideResNetSettings
else:
    ModelSettings = one_of(MLPSettings, Myrtle5Settings, WideResNetSettings)
"""Settings of one network, told apart by `kind`; the perceptron where that is left out."""
