"""Myrtle5, the network of Fig. 1 (Shankar et al. 2020): four convolutions and a readout."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from dynamical_loss.models.convolution import Convolution, average_pool
from dynamical_loss.models.kind import Arithmetic


class Myrtle5(nn.Module):
    """Two 3×3 convolutions, pooling, one, pooling, one, the mean over all pixels, and a readout.

    ReLU after each convolution, zero padding, stride 1, the same number of channels throughout, no biases;
    all kernels are N(0, 2/fan_in).  112 960 parameters at 64 channels on 32×32 colour images.

    Attributes:
        channels: of each convolution.
        classes: number of outputs.
        arithmetic: of the products; the logits are of the precision of the parameters.
    """

    channels: int
    classes: int
    arithmetic: Arithmetic = "full"

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Images (sample, row, column, channel) to logits (sample, class_index)."""
        hidden = inputs
        for index, pooled in enumerate((False, True, True, False)):
            convolution = Convolution(self.channels, arithmetic=self.arithmetic, name=f"convolution_{index}")
            hidden = nn.relu(convolution(hidden))
            hidden = average_pool(hidden) if pooled else hidden
        features = hidden.astype(inputs.dtype).mean(axis=(1, 2))
        kernel = self.param(
            "readout",
            nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
            (self.channels, self.classes),
        )
        return jnp.matmul(features, kernel, precision="highest")
