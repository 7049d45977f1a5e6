"""Wide residual networks (Fig. S3), with or without batch norm."""

from __future__ import annotations

import math
from typing import Literal

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from dynamical_loss.models.convolution import Convolution
from dynamical_loss.models.kind import Arithmetic


class WideResNet(nn.Module):
    """Pre-activation residual network of three stages, with 16 k, 32 k and 64 k channels.

    Each stage has n = (depth − 4)/6 blocks of two 3×3 convolutions.  The second and the third stage halve the
    sides of the image.  Without batch norm, the residual branch of each of the N = 3 n blocks is scaled by
    N^(−1/2), which keeps the variance of activations and gradients of order one at any depth.

    Attributes:
        depth: number of layers, 6 n + 4.
        widening: widening factor k.
        classes: number of outputs.
        normalisation: ``batch`` for batch norm, or ``none``.
        arithmetic: precision of the products; the logits have the precision of the parameters.
    """

    depth: int
    widening: int
    classes: int
    normalisation: Literal["batch", "none"] = "batch"
    arithmetic: Arithmetic = "full"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "sample row column channel"],
        training: bool = True,
        present: Bool[Array, " sample"] | None = None,
    ) -> Float[Array, "sample class_index"]:
        """Map images to logits.

        Args:
            inputs: images, (sample, row, column, channel).
            training: whether batch norm uses the statistics of this batch (True) or the collected statistics
                (False).
            present: samples that count in the statistics of the batch, (sample,) booleans; None means all.

        Returns:
            Logits, (sample, class_index).
        """
        mask = None if present is None else present[:, None, None, None]

        def activated(values: jax.Array, name: str) -> jax.Array:
            if self.normalisation == "batch":
                values = nn.BatchNorm(
                    use_running_average=not training, momentum=0.9, param_dtype=inputs.dtype, name=name
                )(values, mask=mask)
            return nn.relu(values)

        def convolution(channels: int, name: str, size: int = 3, stride: int = 1) -> Convolution:
            return Convolution(channels, size, stride, self.arithmetic, name=name)

        blocks = (self.depth - 4) // 6
        scale = 1.0 if self.normalisation == "batch" else 1 / math.sqrt(3 * blocks)
        hidden = convolution(16, "first")(inputs)
        for stage in range(3):
            channels = 16 * self.widening * 2**stage
            for block in range(blocks):
                name = f"block_{stage}_{block}"
                stride = 2 if stage > 0 and block == 0 else 1
                before = activated(hidden, f"{name}_norm_0")
                branch = convolution(channels, f"{name}_0", stride=stride)(before)
                branch = convolution(channels, f"{name}_1")(activated(branch, f"{name}_norm_1"))
                if hidden.shape != branch.shape:
                    hidden = convolution(channels, f"{name}_shortcut", size=1, stride=stride)(before)
                hidden = hidden + scale * branch
        features = activated(hidden, "norm").astype(inputs.dtype).mean(axis=(1, 2))
        return nn.Dense(self.classes, param_dtype=inputs.dtype, precision="highest", name="readout")(features)
