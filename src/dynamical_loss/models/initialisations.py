"""Distributions of the initial weights: presets for the choices that the paper and its notebooks leave open.

This module draws no numbers and does not import JAX, because the settings use it before JAX is imported.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Distribution = Literal["normal", "truncated_normal", "uniform"]
"""Distribution of the entries of a kernel.

``truncated_normal`` is cut at two standard deviations of the full normal distribution.
"""

Preset = Literal[
    "lecun", "glorot_zero", "glorot_truncated", "glorot", "glorot_uniform_zero", "he", "karpathy", "no_bias"
]
"""Names of `PRESETS`."""


class Initialisation(NamedTuple):
    """Distribution of the initial kernels and biases of a network.

    Attributes:
        fan: number that divides the variance of a kernel: ``in`` (number of inputs), ``average`` (mean of the
            numbers of inputs and outputs), or ``none`` (1).
        variance: variance of a kernel's entries before the division.
        distribution: distribution of a kernel's entries.
        bias: standard deviation of the initial biases, which are trained; None means that the network has no
            biases.
        first_factor: factor of the standard deviation of the first kernel.
        further_factor: factor of the standard deviation of all kernels after the first.
    """

    fan: Literal["in", "average", "none"]
    variance: float
    distribution: Distribution = "normal"
    bias: float | None = 0.0
    first_factor: float = 1.0
    further_factor: float = 1.0

    def standard_deviation(self, inputs: int, outputs: int, first: bool) -> float:
        """Return the standard deviation of the entries of a kernel.

        Args:
            inputs: number of inputs of the layer.
            outputs: number of outputs of the layer.
            first: whether the kernel is the first of the network.
        """
        units = {"in": inputs, "average": (inputs + outputs) / 2, "none": 1}[self.fan]
        return (self.first_factor if first else self.further_factor) * math.sqrt(self.variance / units)


PRESETS: dict[Preset, Initialisation] = {
    # The default of neural-tangents up to 0.3.8, the versions of the paper's time.  The numbers of the
    # original notebook show that it used this preset.
    "lecun": Initialisation("in", 1.0),
    # The kernels of the updated notebook without truncation, and biases that start at 0.
    "glorot_zero": Initialisation("average", 1.0),
    # The default of `jax.example_libraries.stax`.  The numbers of the updated notebook show that it used this
    # preset.
    "glorot_truncated": Initialisation("average", 1.0, "truncated_normal", 0.01),
    # An earlier guess at the updated notebook, made before its numbers were compared.
    "glorot": Initialisation("average", 1.0, "normal", 0.01),
    # The default of many libraries.
    "glorot_uniform_zero": Initialisation("average", 1.0, "uniform"),
    "he": Initialisation("in", 2.0),
    # 0.01·N(0, 1), from the course notes from which the spiral dataset is adapted.
    "karpathy": Initialisation("none", 1e-4),
    # The preset of the original notebook with neural-tangents 0.3.9, which changed the default of the biases.
    "no_bias": Initialisation("in", 1.0, bias=None),
}
"""Presets by name."""
