"""Myrtle5, the network of Fig. 1 (Shankar et al. 2020): four convolutions and a readout."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamical_loss.models.convolution import Convolution, average_pool
from dynamical_loss.models.kind import Arithmetic


class Myrtle5(nn.Module):
    """Four 3×3 convolutions, the mean over all pixels, and a linear readout.

    Average pooling follows the second and the third convolution.  Each convolution has zero padding, stride 1
    and the same number of channels, and is followed by a ReLU.  There are no biases, and all kernels start as
    N(0, 2/fan_in).  With 64 channels on 32×32 colour images, the network has 112 960 parameters.

    Attributes:
        channels: number of channels of each convolution.
        classes: number of outputs.
        arithmetic: precision of the products; the logits have the precision of the parameters.
    """

    channels: int
    classes: int
    arithmetic: Arithmetic = "full"

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "sample row column channel"]
    ) -> Float[Array, "sample class_index"]:
        """Map images (sample, row, column, channel) to logits (sample, class_index)."""
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
