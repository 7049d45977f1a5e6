"""What convolutional networks are built of; images are laid out (sample, row, column, channel).

Products may be taken at lower precision than parameters are kept in, which an accelerator does much faster.
"""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import Precision

Arithmetic = Literal["full", "tf32", "bfloat16"]
"""Of products: at the precision of the parameters, with 10 or with 7 bits of fraction."""

_PRECISION = {"full": Precision.HIGHEST, "tf32": Precision.HIGH, "bfloat16": Precision.DEFAULT}


class Convolution(nn.Module):
    """Zero-padded convolution without bias; a kernel is N(0, 2/fan_in), as W_std = √2.

    Attributes:
        channels: number of outputs.
        size: of the square kernel.
        stride: pixels between outputs.
        arithmetic: of the products.
    """

    channels: int
    size: int = 3
    stride: int = 1
    arithmetic: Arithmetic = "full"

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """(sample, row, column, channel_in) to (sample, row / stride, column / stride, channel_out)."""
        shape = (self.size, self.size, inputs.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.variance_scaling(2.0, "fan_in", "normal"), shape)
        if self.arithmetic == "bfloat16":
            inputs, kernel = inputs.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
        return jax.lax.conv_general_dilated(
            inputs,
            kernel,
            (self.stride, self.stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=_PRECISION[self.arithmetic],
        )


def average_pool(images: jax.Array) -> jax.Array:
    """Means of 2×2 pixels; a last odd row or column is left out."""
    count, rows, columns, channels = images.shape
    blocks = images[:, : rows // 2 * 2, : columns // 2 * 2].reshape(
        count, rows // 2, 2, columns // 2, 2, channels
    )
    return blocks.mean(axis=(2, 4))
