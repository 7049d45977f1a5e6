"""Class weights as a schedule: step → weight of each class (Eq. 2-5)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import jax
    from jax.typing import ArrayLike

# These are the formulas of `losses.weights`, which are for JAX alone and have the variants of the pipeline; a
# test compares the two.  These hold for the numbers of any framework; `sin` is that framework's function.
_SHAPES: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "triangle": lambda phase, sin: 1.0 - abs(2.0 * phase - 1.0),
    "sine": lambda phase, sin: sin(math.pi * phase) ** 2,
    "square": lambda phase, sin: 1.0 * ((phase >= 0.25) & (phase < 0.75)),
}


@dataclass(frozen=True)
class ClassWeightSchedule:
    """Schedule of the class weights Γ(t); a call with a step returns the weights at this step.

    Make it by `class_weight_schedule`, which explains the fields.

    Raises:
        ValueError: if a value is out of range; the message names it and says what is allowed.
    """

    period: int
    amplitude: float
    classes: int
    waveform: Literal["triangle", "sine", "square"] = "triangle"
    stop: int | None = None

    def __post_init__(self) -> None:
        """Check the values, and turn numbers of other types into Python's own."""
        for name, least in (("period", 1), ("classes", 2), ("stop", 0)):
            value = getattr(self, name)
            if name == "stop" and value is None:
                continue
            try:
                whole = operator.index(value)
            except TypeError:
                raise ValueError(f"{name} must be a whole number, not {value!r}") from None
            if whole < least:
                raise ValueError(f"{name} must be at least {least}, not {whole}")
            object.__setattr__(self, name, whole)
        amplitude = float(self.amplitude)
        if not 1.0 <= amplitude < math.inf:
            raise ValueError(f"amplitude must be a finite number of at least 1, not {amplitude:g}")
        object.__setattr__(self, "amplitude", amplitude)
        if self.waveform not in _SHAPES:
            raise ValueError(f"waveform must be one of {', '.join(_SHAPES)}, not {self.waveform!r}")

    def __call__(self, step: ArrayLike) -> jax.Array:
        """Return Γ at a step, (classes,), as an array of JAX; `step` may be traced.

        Args:
            step: number of optimiser steps done, a whole number from 0 on, below 2³¹ without 64-bit numbers.

        Raises:
            ValueError: if the step has a type of real numbers.
        """
        import jax.numpy as jnp

        done = jnp.asarray(step)
        if not jnp.issubdtype(done.dtype, jnp.integer):
            raise ValueError(f"step must be a whole number, not of type {done.dtype}")
        # A smaller type could not hold the period.
        done = done.astype(jnp.promote_types(done.dtype, jnp.int32))
        return jnp.asarray(self.weights(done, jnp.arange(self.classes), jnp.sin))

    def weights(self, step: Any, class_indices: Any, sin: Callable[[Any], Any]) -> Any:
        """Return Γ of some classes at a step, in the framework of the arguments.

        Args:
            step: number of optimiser steps done, a whole number; a tensor without dimensions.
            class_indices: class of each weight, whole numbers from 0 on, of any shape.
            sin: the framework's sine.

        Returns:
            the weights, in the shape of `class_indices`.
        """
        emphasised, raised = self._emphasis(step, sin)
        # The raw weights are 1 + raised for the emphasised class and 1 for the others; by Eq. 5 Γ sums to C.
        return self.classes * (1.0 + raised * (class_indices == emphasised)) / (self.classes + raised)

    def numbers(self, step: int) -> list[float]:
        """Return Γ at a step as numbers of Python, one for each class.

        Eager frameworks need far less time for these than for many operations on small tensors.
        """
        emphasised, raised = self._emphasis(step, math.sin)
        others = self.classes / (self.classes + raised)
        found = [others] * self.classes
        found[emphasised] = others * (1.0 + raised)
        return found

    def _emphasis(self, step: Any, sin: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Return the emphasised class at a step, and how far its raw weight lies above 1 (Eq. 2-4)."""
        phase = (step % self.period) / self.period
        raised = (self.amplitude - 1.0) * _SHAPES[self.waveform](phase, sin)
        if self.stop is not None:
            raised = raised * (step < self.stop)
        return (step // self.period) % self.classes, raised


def class_weight_schedule(
    period: int,
    amplitude: float,
    classes: int,
    waveform: Literal["triangle", "sine", "square"] = "triangle",
    stop: int | None = None,
) -> ClassWeightSchedule:
    """Return the schedule of the class weights Γ of the dynamical loss (Eq. 2-5).

    One class after another is emphasised, each for a period of T steps. Its raw weight rises from 1 to A in
    the middle of the period and falls back to 1; the others stay at 1. The weights are scaled so that they
    sum to the number of classes at every step.

    Args:
        period: period T in optimiser steps, at least 1.
        amplitude: amplitude A, at least 1; 1 is the static loss.
        classes: number of classes, at least 2.
        waveform: ``triangle`` (the paper's), ``sine`` or ``square``.
        stop: first step from which all weights stay at 1, so that training ends with the static loss; None:
            they never stop. Take a multiple of the period, at which all weights are 1 anyway; elsewhere they
            jump. The paper's image networks train the last part of a run so.

    Returns:
        the schedule: ``schedule(step)`` is Γ, (classes,), dimensionless.

    Raises:
        ValueError: if a value is out of range; the message names it and says what is allowed.

    Examples:
        >>> schedule = class_weight_schedule(period=100, amplitude=70.0, classes=3, stop=1000)
        >>> [round(float(weight), 3) for weight in schedule(150)]
        [0.042, 2.917, 0.042]
        >>> schedule(1050).tolist()
        [1.0, 1.0, 1.0]
    """
    return ClassWeightSchedule(period, amplitude, classes, waveform, stop)
