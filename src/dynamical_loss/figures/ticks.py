"""Ticks of every axis of numbers: where they stand and what they say.

Whatever an axis spans, at least two of its ticks are labelled, and no two labels are alike: a reader
could not tell the scale of an axis otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dynamical_loss.figures.deferred import ticker

if TYPE_CHECKING:
    from matplotlib.axis import Axis

SMALLEST, LARGEST = 1e-150, 1e150
"""Data that a logarithmic axis can show: matplotlib's own arithmetic fails nearer to the ends of doubles."""

_FEWEST = 2
_DECADES, _FEW, _MANY = (1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
_PLAIN = (9e-4, 2e4)  # between these, numbers on a logarithmic axis need no powers of ten
_PLAIN_ON_BOTH_SIDES = (1e-5, 1e6)
_ROUND = (1.0, 2.0, 5.0, 10.0)
_DIGITS = range(6, 18)  # of a label; 17 tell any two numbers in double precision apart
_ROUNDING = 0.01  # of a label, in distances between ticks

Floats = npt.NDArray[np.float64]
Span = tuple[float, float]
Writer = Callable[[float, int], str]


def plain_number(value: float, digits: int = 6) -> str:
    """A number without powers of ten: 12 345 with a thin space, 0.05 and −3 as they are.

    Args:
        value: what to write.
        digits: that are significant; those before the decimal point are always written.
    """
    if abs(value) < 1000:
        return f"{value:.{digits}g}".replace("-", "−")
    decimals = max(0, digits - len(f"{abs(value):.0f}"))
    whole, _, rest = f"{value:,.{decimals}f}".partition(".")
    rest = rest.rstrip("0")
    text = whole.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
    return f"{text}.{rest}" if rest else text


def power_of_ten(value: float, digits: int = 6) -> str:
    """A number as matplotlib writes it on logarithmic axes: 10⁵, 2 × 10⁵; zero is 0.

    Args:
        value: what to write.
        digits: that are significant.
    """
    if value == 0:
        return "0"
    factor, _, exponent = f"{abs(value):.{digits - 1}e}".partition("e")
    factor = factor.rstrip("0").rstrip(".")
    times = "" if factor == "1" else rf"{factor}\times"
    return rf"$\mathdefault{{{'-' if value < 0 else ''}{times}10^{{{int(exponent)}}}}}$"


def labels(places: npt.ArrayLike, write: Writer) -> list[str]:
    """What ticks say, with as many digits as tell each from its neighbours.

    Args:
        places: of the ticks, ascending.
        write: `plain_number` or `power_of_ten`.

    Returns:
        A label a tick.
    """
    values = np.asarray(places, dtype=float).tolist()
    distance = float(np.min(np.diff(values), initial=math.inf))
    for digits in _DIGITS:
        rounded = [float(f"{value:.{digits - 1}e}") for value in values]
        texts = [write(value, digits) for value in values]
        error = max((abs(a - b) for a, b in zip(values, rounded, strict=True)), default=0.0)
        if len(set(texts)) == len(texts) and error <= _ROUNDING * distance:
            break
    return texts


def put(scale: Axis, places: npt.ArrayLike, write: Writer = plain_number) -> None:
    """Set the labelled ticks of an axis, where they are and nowhere else.

    Args:
        scale: the x axis or the y axis of a panel.
        places: where, ascending.
        write: how their numbers are written.
    """
    scale.set_major_locator(ticker.FixedLocator(np.asarray(places, dtype=float).tolist()))
    scale.set_major_formatter(ticker.FixedFormatter(labels(places, write)))
    # A logarithmic axis of less than a decade or two would write numbers at its small ticks as well.
    scale.set_minor_formatter(ticker.NullFormatter())


def whole_numbers(scale: Axis, span: Span, most: int, steps: Sequence[float] | None = _ROUND) -> None:
    """About so many ticks at whole numbers; between them too where the axis spans less than two.

    Args:
        scale: a linear axis whose limits do not change any more.
        span: its limits.
        most: distances between ticks, at most.
        steps: multiples of powers of ten that ticks may lie apart; None: those of matplotlib.
    """
    chosen = {} if steps is None else {"steps": list(steps)}
    put(scale, _inside(ticker.MaxNLocator(most, integer=True, **chosen).tick_values(*span), span))


def logarithmic(scale: Axis, span: Span, most: int, multiples: Sequence[float]) -> None:
    """Ticks of a logarithmic axis, at those multiples of powers of ten if they are enough and not too many.

    Otherwise at powers of ten alone if the axis spans many, at more of their multiples if it spans few, and
    at equal distances if it spans so little that hardly any of these lie in it.

    Args:
        scale: a logarithmic axis whose limits do not change any more.
        span: its limits, above 0.
        most: ticks, or one more.
        multiples: of powers of ten, at which ticks are wanted.
    """
    write = plain_number if span[0] > _PLAIN[0] and span[1] < _PLAIN[1] else power_of_ten
    put(scale, log_places(span, most, multiples), write)
    scale.set_minor_locator(ticker.LogLocator(subs=tuple(range(2, 10)), numticks=12))
    scale.set_minor_formatter(ticker.NullFormatter())


def log_places(span: Span, most: int, multiples: Sequence[float]) -> Floats:
    """Where the ticks of `logarithmic` stand; see there."""
    for wanted in (multiples, _DECADES, _FEW, _MANY):
        # Ticks beyond the limits, which are left out below, may be too large for double precision.
        with np.errstate(over="ignore"):
            found = _inside(ticker.LogLocator(subs=wanted, numticks=most).tick_values(*span), span)
        if _FEWEST <= found.size <= most + 1:
            return found
    return _inside(ticker.MaxNLocator(most - 1, steps=list(_ROUND)).tick_values(*span), span)


def symmetric_logarithmic(
    scale: Axis,
    set_scale: Callable[..., None],
    linear: float,
    low: float,
    high: float,
    *,
    most: int = 4,
    linear_size: float = 0.35,
) -> None:
    """Make a symmetric-log axis, labelled at 0 and at decades outside its linear part, whose ends are ticks.

    Args:
        scale: the axis.
        set_scale: what sets its scale.
        linear: |value| below which it is linear, above 0.
        low: the smallest value shown.
        high: the largest.
        most: decades labelled on each side.
        linear_size: of half the linear part, in decades.
    """
    set_scale("symlog", linthresh=linear, linscale=linear_size)
    reach = max(-low, high, 10 * linear)
    powers = range(math.floor(math.log10(linear)) + 1, math.floor(math.log10(reach)) + 1)
    decades = [10.0**power for power in powers][:: math.ceil(len(powers) / most)]
    inside = [
        value for value in (*(-x for x in decades), 0.0, *decades) if low <= value <= high or value == 0
    ]
    both_sides(scale, sorted(inside))
    scale.set_minor_locator(ticker.FixedLocator([-linear, linear]))
    scale.set_minor_formatter(ticker.NullFormatter())


def both_sides(scale: Axis, places: Sequence[float]) -> None:
    """Ticks of a symmetric-log axis, which spans decades on both sides of zero."""
    sizes = [abs(place) for place in places if place]
    low, high = _PLAIN_ON_BOTH_SIDES
    plain = min(sizes, default=low) >= low and max(sizes, default=high) <= high
    put(scale, places, plain_number if plain else power_of_ten)


def multiples_for(span: Span) -> tuple[float, ...]:
    """Multiples of powers of ten for an axis that spans so much: decades, or more where they are few."""
    decades = math.log10(span[1]) - math.log10(span[0])
    return _DECADES if decades > 2.2 else _FEW if decades > 0.5 else _MANY


def _inside(places: npt.ArrayLike, span: Span) -> Floats:
    """Those that lie in a span, its ends included but for rounding."""
    values = np.asarray(places, dtype=float)
    # Of the end that is looked at, as on a logarithmic axis one end may be far smaller than the other.
    below, above = (1e-9 * min(abs(end), span[1] - span[0]) for end in span)
    return np.asarray(values[(values >= span[0] - below) & (values <= span[1] + above)])
