"""Unambiguous text for numbers and names."""

from __future__ import annotations

import re
from collections.abc import Iterable


def exact(value: float) -> str:
    """Return the shortest text that reads back as the same number, without a trailing ``.0``.

    File names and messages use this text, so that 3.3000000000000003 and 3.3 stay distinct.

    Examples:
        >>> exact(70.0), exact(0.1), exact(3.3000000000000003)
        ('70', '0.1', '3.3000000000000003')
    """
    return repr(float(value)).removesuffix(".0")


def pattern(names: Iterable[str]) -> str:
    r"""Return a regular expression that matches these names and nothing else.

    Names may contain characters with a special meaning in regular expressions, such as the ``+`` of 1e+16.

    Examples:
        >>> pattern(["1e+16", "T20"])
        '1e\\+16|T20'
    """
    return "|".join(map(re.escape, names))
