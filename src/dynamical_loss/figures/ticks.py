"""Places and labels of the ticks on every numerical axis.

Whatever an axis spans, at least two of its ticks have labels, and no two labels are equal. Otherwise a reader
could not tell the scale of the axis.
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
"""Range of data that a logarithmic axis can show. Closer to the limits of double precision, matplotlib's own
arithmetic overflows."""

_FEWEST = 2  # smallest number of labelled ticks
_DECADES, _FEW, _MANY = (1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
_PLAIN = (9e-4, 2e4)  # range in which numbers on a logarithmic axis are written without powers of ten
_PLAIN_ON_BOTH_SIDES = (1e-5, 1e6)  # that range on a symmetric-log axis
_ROUND = (1.0, 2.0, 5.0, 10.0)
_DIGITS = range(6, 18)  # significant digits of a label; 17 distinguish any two double-precision numbers
_ROUNDING = 0.01  # largest rounding error of a label, relative to the distance between ticks

Floats = npt.NDArray[np.float64]
Span = tuple[float, float]
Writer = Callable[[float, int], str]


def plain_number(value: float, digits: int = 6) -> str:
    """Return a number without powers of ten: 12 345 with a thin space, 0.05 or −3.

    Args:
        value: number to write.
        digits: number of significant digits; all digits before the decimal point are written in any case.
    """
    if abs(value) < 1000:
        return f"{value:.{digits}g}".replace("-", "−")
    decimals = max(0, digits - len(f"{abs(value):.0f}"))
    whole, _, rest = f"{value:,.{decimals}f}".partition(".")
    rest = rest.rstrip("0")
    text = whole.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
    return f"{text}.{rest}" if rest else text


def power_of_ten(value: float, digits: int = 6) -> str:
    """Return a number as matplotlib writes it on logarithmic axes: 10⁵, 2 × 10⁵; zero is 0.

    Args:
        value: number to write.
        digits: number of significant digits.
    """
    if value == 0:
        return "0"
    factor, _, exponent = f"{abs(value):.{digits - 1}e}".partition("e")
    factor = factor.rstrip("0").rstrip(".")
    times = "" if factor == "1" else rf"{factor}\times"
    return rf"$\mathdefault{{{'-' if value < 0 else ''}{times}10^{{{int(exponent)}}}}}$"


def labels(places: npt.ArrayLike, write: Writer) -> list[str]:
    """Return the labels of ticks, with enough digits to distinguish each tick from its neighbours.

    Args:
        places: places of the ticks, ascending.
        write: function that writes a number, `plain_number` or `power_of_ten`.

    Returns:
        One label for each tick.
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
    """Set the labelled ticks of an axis. All other ticks lose their labels.

    Args:
        scale: x axis or y axis of a panel.
        places: places of the ticks, ascending.
        write: function that writes the numbers, `plain_number` or `power_of_ten`.
    """
    scale.set_major_locator(ticker.FixedLocator(np.asarray(places, dtype=float).tolist()))
    scale.set_major_formatter(ticker.FixedFormatter(labels(places, write)))
    # On a logarithmic axis that spans less than about two decades, matplotlib would label minor ticks too.
    scale.set_minor_formatter(ticker.NullFormatter())


def whole_numbers(scale: Axis, span: Span, most: int, steps: Sequence[float] | None = _ROUND) -> None:
    """Set about `most` ticks at whole numbers.

    On an axis that spans less than two, there are ticks between the whole numbers too.

    Args:
        scale: linear axis whose limits do not change any more.
        span: limits of the axis.
        most: largest number of intervals between ticks.
        steps: allowed distances between ticks, as multiples of powers of ten; None: matplotlib's choice.
    """
    chosen = {} if steps is None else {"steps": list(steps)}
    put(scale, _inside(ticker.MaxNLocator(most, integer=True, **chosen).tick_values(*span), span))


def logarithmic(scale: Axis, span: Span, most: int, multiples: Sequence[float]) -> None:
    """Set the ticks of a logarithmic axis at given multiples of powers of ten, if these are few enough.

    If these would be too many or too few, ticks are set at powers of ten alone (axes that span many decades)
    or at more multiples (axes that span few decades). If the axis spans so little that hardly any of these
    places lie on it, the ticks have equal distances.

    Args:
        scale: logarithmic axis whose limits do not change any more.
        span: limits of the axis, above 0.
        most: largest number of ticks; one more is allowed.
        multiples: preferred multiples of powers of ten.
    """
    write = plain_number if span[0] > _PLAIN[0] and span[1] < _PLAIN[1] else power_of_ten
    put(scale, log_places(span, most, multiples), write)
    scale.set_minor_locator(ticker.LogLocator(subs=tuple(range(2, 10)), numticks=12))
    scale.set_minor_formatter(ticker.NullFormatter())


def log_places(span: Span, most: int, multiples: Sequence[float]) -> Floats:
    """Return the places of the ticks that `logarithmic` sets; its arguments are explained there."""
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
    """Make an axis symmetric-logarithmic, with labels at 0 and at decades outside the linear part.

    Unlabelled ticks mark the ends of the linear part.

    Args:
        scale: x axis or y axis of a panel.
        set_scale: method of the panel that sets the scale of this axis.
        linear: |value| below which the axis is linear, above 0.
        low: smallest value shown.
        high: largest value shown.
        most: largest number of labelled decades on each side of zero.
        linear_size: length of half the linear part, in decades.
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
    """Set the ticks of a symmetric-log axis, which spans decades on both sides of zero."""
    sizes = [abs(place) for place in places if place]
    low, high = _PLAIN_ON_BOTH_SIDES
    plain = min(sizes, default=low) >= low and max(sizes, default=high) <= high
    put(scale, places, plain_number if plain else power_of_ten)


def multiples_for(span: Span) -> tuple[float, ...]:
    """Return multiples of powers of ten for the ticks of an axis: more of them if it spans fewer decades."""
    decades = math.log10(span[1]) - math.log10(span[0])
    return _DECADES if decades > 2.2 else _FEW if decades > 0.5 else _MANY


def _inside(places: npt.ArrayLike, span: Span) -> Floats:
    """Return the places that lie in a span. Places at its ends count as inside, up to rounding errors."""
    values = np.asarray(places, dtype=float)
    # Each end has its own tolerance: on a logarithmic axis one end may be far smaller than the other.
    below, above = (1e-9 * min(abs(end), span[1] - span[0]) for end in span)
    return np.asarray(values[(values >= span[0] - below) & (values <= span[1] + above)])
