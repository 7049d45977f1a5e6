"""How networks may start: the presets that the paper, its notebooks and their sources leave open.

Nothing here draws a number or imports JAX: settings read it before JAX is ever imported.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Distribution = Literal["normal", "truncated_normal", "uniform"]
"""Of the entries of a kernel; a truncated one has none beyond two standard deviations of the full one."""

Preset = Literal[
    "lecun", "glorot_zero", "glorot_truncated", "glorot", "glorot_uniform_zero", "he", "karpathy", "no_bias"
]
"""Names of `PRESETS`."""


class Initialisation(NamedTuple):
    """How the layers of a network start.

    Attributes:
        fan: what the variance of a kernel is divided by: ``in``, ``average`` (of inputs and outputs), or
            ``none``.
        variance: of a kernel's entries, before it is divided.
        distribution: of a kernel's entries.
        bias: standard deviation of the biases, which are trained; None: there are no biases at all.
        first_factor: of the standard deviation of the first kernel.
        further_factor: of the standard deviation of all kernels after it.
    """

    fan: Literal["in", "average", "none"]
    variance: float
    distribution: Distribution = "normal"
    bias: float | None = 0.0
    first_factor: float = 1.0
    further_factor: float = 1.0

    def standard_deviation(self, inputs: int, outputs: int, first: bool) -> float:
        """Of the entries of a kernel with so many inputs and outputs."""
        units = {"in": inputs, "average": (inputs + outputs) / 2, "none": 1}[self.fan]
        return (self.first_factor if first else self.further_factor) * math.sqrt(self.variance / units)


PRESETS: dict[Preset, Initialisation] = {
    # The library of the paper's time (neural-tangents up to 0.3.8); the original notebook, by its numbers.
    "lecun": Initialisation("in", 1.0),
    # The updated notebook's kernels without the cut, and biases that start at 0.
    "glorot_zero": Initialisation("average", 1.0),
    # `jax.example_libraries.stax`: the updated notebook, by its numbers.
    "glorot_truncated": Initialisation("average", 1.0, "truncated_normal", 0.01),
    # What was taken for the updated notebook before its numbers were compared.
    "glorot": Initialisation("average", 1.0, "normal", 0.01),
    # The default of many libraries.
    "glorot_uniform_zero": Initialisation("average", 1.0, "uniform"),
    "he": Initialisation("in", 2.0),
    # The course notes that the spiral is adapted from: 0.01·N(0, 1).
    "karpathy": Initialisation("none", 1e-4),
    # What the original notebook became when neural-tangents changed a default (0.3.9).
    "no_bias": Initialisation("in", 1.0, bias=None),
}
"""By name."""
