"""Class weights Γ_i(t) of the dynamical loss (Eq. 2-5 of Ruiz-García et al. 2021).

One class at a time is emphasised.  During one period of T steps its raw weight g(t) rises from 1 to
the amplitude A and returns to 1; in the next period it is the next class's turn.  The raw weights are
then scaled so that they always sum to the number of classes.

Variants of it ask which part of this matters: the order of the classes, that it is classes at all, or that
the sum is held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

Waveform = Literal["triangle", "sine", "square"]
WAVEFORMS: tuple[str, ...] = get_args(Waveform)

Emphasis = Literal["class", "random_class", "random_group", "all"]
Normalisation = Literal["each_step", "cycle"]


class Oscillation(NamedTuple):
    """How the weights oscillate, apart from T and A.

    Attributes:
        waveform: shape of a raw weight over a period.
        rest: steps with equal weights after each period.  Eq. 2 has none; the authors' notebooks set their
            clock back one step late, so that the next class is in turn after T + 1 steps.
        emphasis: what is emphasised. ``class``: one class after the other, as in the paper; ``random_class``:
            all classes once a cycle, each cycle in another random order; ``random_group``: as ``class``, but
            the weights belong to random groups of samples and not to classes; ``all``: all classes at once.
        normalisation: the weights sum to the number of classes at ``each_step`` (Eq. 5), or on average over a
            ``cycle`` of as many periods as there are classes.
    """

    waveform: Waveform = "triangle"
    rest: int = 0
    emphasis: Emphasis = "class"
    normalisation: Normalisation = "each_step"


PAPER = Oscillation()
"""As in the paper."""


def _triangle(phase: jax.Array) -> jax.Array:
    return 1.0 - jnp.abs(2.0 * phase - 1.0)


def _sine(phase: jax.Array) -> jax.Array:
    return jnp.sin(jnp.pi * phase) ** 2


def _square(phase: jax.Array) -> jax.Array:
    return jnp.where((phase >= 0.25) & (phase < 0.75), 1.0, 0.0)


_ORDER = 2  # purpose of a random key; `models` has taken 0, the order of samples 1


_SHAPES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "triangle": _triangle,
    "sine": _sine,
    "square": _square,
}


def raw_weight(phase: jax.Array, amplitude: jax.Array | float, waveform: Waveform = "triangle") -> jax.Array:
    """Weight of the emphasised class before normalisation, g in Eq. 3-4.

    Args:
        phase: position within the period, (t mod T) / T in [0, 1), any shape.
        amplitude: A >= 1, the weight at mid-period; broadcasts against `phase`.
        waveform: ``triangle`` (the paper's), ``sine`` (a raised cosine, smooth at the class switch)
            or ``square`` (A during the middle half of the period, 1 otherwise).

    Returns:
        g(t) between 1 and A (dimensionless), 1 at phase 0.

    Raises:
        ValueError: for an unknown waveform.
    """
    if waveform not in _SHAPES:
        raise ValueError(f"unknown waveform '{waveform}'; choose one of {', '.join(WAVEFORMS)}")
    return 1.0 + (amplitude - 1.0) * _SHAPES[waveform](phase)


def _mean_of_shape(period: jax.Array, waveform: Waveform) -> jax.Array:
    """Mean of a shape over the steps 0 … T−1 of a period."""
    real = period.astype(jnp.result_type(float))
    if waveform == "triangle":
        return jnp.where(period % 2 == 0, 0.5, 0.5 - 0.5 / real**2)
    if waveform == "sine":
        return jnp.where(period == 1, 0.0, 0.5)
    # In whole numbers, as the shape itself is on the edge of a quarter.
    quarter, three_quarters = -(-period // 4), -(-3 * period // 4)
    return (three_quarters - quarter) / real


def class_weights(
    step: jax.Array | float,
    period: jax.Array | float,
    amplitude: jax.Array | float,
    classes: int,
    oscillation: Oscillation = PAPER,
    seed: jax.Array | int = 0,
) -> jax.Array:
    """Normalised class weights Γ_i(t) (Eq. 2-5).

    Args:
        step: t, the number of minimisation steps done, a non-negative integer scalar; or the time of a flow.
        period: T in steps, a positive integer scalar; or in the units of that time.
        amplitude: A >= 1, a scalar; A = 1 is the static loss.
        classes: C, the number of classes.
        oscillation: how they oscillate; by default as in the paper.
        seed: of the order of the classes, for the emphasis ``random_class``.

    Returns:
        Γ of shape (class_index,), dimensionless.  By Eq. 5 the sum is C; the largest value over a period is
        C·A / (A + C − 1); every weight is 1 at A = 1, at each multiple of T + `rest` and while it rests.

    Raises:
        ValueError: for an unknown waveform.
    """
    amplitude = jnp.asarray(amplitude, dtype=jnp.result_type(float))
    step, period = jnp.asarray(step), jnp.asarray(period)
    waveform, rest, emphasis, normalisation = oscillation
    # Integer arithmetic, because t / T in floating point misses period boundaries at large t.
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
