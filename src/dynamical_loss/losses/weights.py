"""Class weights Γ_i(t) of the dynamical loss (Eq. 2-5 of Ruiz-García et al. 2021).

The dynamical loss emphasises one class at a time.  During one period of T steps, the raw weight g(t) of this
class rises from 1 to the amplitude A and returns to 1.  In the next period, the next class is emphasised.
The raw weights are then scaled so that they always sum to the number of classes.

Variants of the weights test which part of this scheme matters: the order of the classes, the emphasis on
classes rather than on other groups of samples, or the constant sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Integer, Real

Waveform = Literal["triangle", "sine", "square"]
WAVEFORMS: tuple[str, ...] = get_args(Waveform)

Emphasis = Literal["class", "random_class", "random_group", "all"]
Normalisation = Literal["each_step", "cycle"]


class Oscillation(NamedTuple):
    """Form of the oscillation of the class weights, apart from the period T and the amplitude A.

    Attributes:
        waveform: shape of a raw weight over a period.
        rest: number of steps with equal weights after each period.  Eq. 2 has none.  The authors' notebooks
            reset their clock one step late, so that the next class follows after T + 1 steps (`rest` = 1).
        emphasis: what is emphasised.  ``class``: one class after another, as in the paper.  ``random_class``:
            each class once per cycle, in a new random order in each cycle.  ``random_group``: one group of
            samples after another, where the groups are random subsets as large as the classes.  ``all``: all
            classes at once.
        normalisation: ``each_step``: the weights sum to the number of classes at each step (Eq. 5).
            ``cycle``: they sum to the number of classes on average over a cycle, which has as many periods
            as there are classes.
    """

    waveform: Waveform = "triangle"
    rest: int = 0
    emphasis: Emphasis = "class"
    normalisation: Normalisation = "each_step"


PAPER = Oscillation()
"""The oscillation of the paper."""


def _triangle(phase: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return 1.0 - jnp.abs(2.0 * phase - 1.0)


def _sine(phase: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.sin(jnp.pi * phase) ** 2


def _square(phase: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where((phase >= 0.25) & (phase < 0.75), 1.0, 0.0)


_ORDER = 2  # purpose of a random key; 0 is taken by `models`, 1 by the order of the samples


_SHAPES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "triangle": _triangle,
    "sine": _sine,
    "square": _square,
}


def raw_weight(
    phase: Float[Array, "*shape"] | float, amplitude: Float[Array, ""] | float, waveform: str = "triangle"
) -> Float[Array, "*shape"]:
    """Return the weight of the emphasised class before normalisation, g in Eq. 3-4.

    Args:
        phase: position within the period, (t mod T) / T in [0, 1).
        amplitude: amplitude A >= 1, the weight in the middle of the period.
        waveform: ``triangle`` (used by the paper), ``sine`` (a raised cosine, smooth where the class changes)
            or ``square`` (A during the middle half of the period, 1 otherwise).

    Returns:
        g(t) between 1 and A, dimensionless; it is 1 at phase 0.

    Raises:
        ValueError: if the waveform is unknown.
    """
    if waveform not in _SHAPES:
        raise ValueError(f"waveform: unknown waveform '{waveform}'; choose one of {', '.join(WAVEFORMS)}")
    return 1.0 + (amplitude - 1.0) * _SHAPES[waveform](jnp.asarray(phase))


def _mean_of_shape(period: Real[Array, ""], waveform: Waveform) -> Float[Array, ""]:
    """Return the mean of a waveform's shape over the steps 0 … T−1 of a period."""
    real = period.astype(jnp.result_type(float))
    if waveform == "triangle":
        return jnp.where(period % 2 == 0, 0.5, 0.5 - 0.5 / real**2)
    if waveform == "sine":
        return jnp.where(period == 1, 0.0, 0.5)
    # Integer arithmetic: the square wave jumps at exact quarters of the period, where a rounded phase could
    # fall on either side.
    quarter, three_quarters = -(-period // 4), -(-3 * period // 4)
    return (three_quarters - quarter) / real


def class_weights(
    step: Real[ArrayLike, ""],
    period: Real[ArrayLike, ""],
    amplitude: Real[ArrayLike, ""],
    classes: int,
    oscillation: Oscillation = PAPER,
    seed: Integer[ArrayLike, ""] = 0,
) -> Float[Array, " class_index"]:
    """Return the normalised class weights Γ_i(t) (Eq. 2-5).

    Args:
        step: number t of minimisation steps done, a non-negative integer; for a gradient flow, its time.
        period: period T in steps, a positive integer; for a gradient flow, in the units of its time.
        amplitude: amplitude A >= 1; A = 1 is the static loss.
        classes: number of classes C.
        oscillation: form of the oscillation; defaults to the oscillation of the paper.
        seed: seed of the order of the classes, used by the emphasis ``random_class``.

    Returns:
        Γ, dimensionless.  By Eq. 5 the weights sum to C, and the largest weight in a period is
        C·A / (A + C − 1).  All weights are 1 if A = 1, at each multiple of T + `rest`, and during the rest.
        With the normalisation ``cycle``, only the mean of their sum over a cycle is C.

    Raises:
        ValueError: if the waveform is unknown.

    Examples:
        >>> weights = class_weights(50, period=100, amplitude=70.0, classes=3)
        >>> [round(float(weight), 3) for weight in weights]
        [2.917, 0.042, 0.042]
        >>> class_weights(100, period=100, amplitude=70.0, classes=3).tolist()
        [1.0, 1.0, 1.0]
    """
    amplitude = jnp.asarray(amplitude, dtype=jnp.result_type(float))
    step, period = jnp.asarray(step), jnp.asarray(period)
    waveform, rest, emphasis, normalisation = oscillation
    # Integer arithmetic, because t / T in floating point is too inexact at large t to find the boundaries of
    # the periods.
    cycle = period + rest
    phase = jnp.minimum(step % cycle, period).astype(amplitude.dtype) / period
    turn = step // cycle
    emphasised = turn % classes
    if emphasis == "random_class":
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _ORDER), turn // classes)
        emphasised = jax.random.permutation(key, classes)[emphasised]
    chosen = (jnp.arange(classes) == emphasised) | (emphasis == "all")
    raw = jnp.where(chosen, raw_weight(phase, amplitude, waveform), 1.0)
    if normalisation == "each_step":
        return classes * raw / jnp.sum(raw)
    share = 1.0 if emphasis == "all" else 1.0 / classes
    excess = (amplitude - 1.0) * _mean_of_shape(period, waveform) * period / cycle
    return raw / (1.0 + share * excess)
