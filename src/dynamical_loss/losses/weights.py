"""Class weights Γ_i(t) of the dynamical loss (Eq. 2-5 of Ruiz-García et al. 2021).

One class at a time is emphasised.  During one period of T steps its raw weight g(t) rises from 1 to
the amplitude A and returns to 1; in the next period it is the next class's turn.  The raw weights are
then scaled so that they always sum to the number of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

Waveform = Literal["triangle", "sine", "square"]
WAVEFORMS: tuple[str, ...] = get_args(Waveform)


def _triangle(phase: jax.Array) -> jax.Array:
    return 1.0 - jnp.abs(2.0 * phase - 1.0)


def _sine(phase: jax.Array) -> jax.Array:
    return jnp.sin(jnp.pi * phase) ** 2


def _square(phase: jax.Array) -> jax.Array:
    return jnp.where((phase >= 0.25) & (phase < 0.75), 1.0, 0.0)


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


def class_weights(
    step: jax.Array | int,
    period: jax.Array | int,
    amplitude: jax.Array | float,
    classes: int,
    waveform: Waveform = "triangle",
    rest: int = 0,
) -> jax.Array:
    """Normalised class weights Γ_i(t) (Eq. 2-5).

    Args:
        step: t, the number of minimisation steps done, a non-negative integer scalar.
        period: T in steps, a positive integer scalar.
        amplitude: A >= 1, a scalar; A = 1 is the static loss.
        classes: C, the number of classes.
        waveform: see :func:`raw_weight`.
        rest: steps with equal weights after each period.  Eq. 2 has none; the authors' notebooks set their
            clock back one step late, so that the next class is in turn after T + 1 steps.

    Returns:
        Γ of shape (class_index,), dimensionless.  The sum is C; the largest value over a period is
        C·A / (A + C − 1); every weight is 1 at A = 1, at each multiple of T + `rest` and while it rests.

    Raises:
        ValueError: for an unknown waveform.
    """
    amplitude = jnp.asarray(amplitude, dtype=jnp.result_type(float))
    step = jnp.asarray(step)
    # Integer arithmetic, because t / T in floating point misses period boundaries at large t.
    cycle = period + rest
    phase = jnp.minimum(step % cycle, period).astype(amplitude.dtype) / period
    emphasised = (step // cycle) % classes
    raw = jnp.where(jnp.arange(classes) == emphasised, raw_weight(phase, amplitude, waveform), 1.0)
    return classes * raw / jnp.sum(raw)
