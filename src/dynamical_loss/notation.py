"""Numbers and names as text that stands for them alone."""

from __future__ import annotations

import re
from collections.abc import Iterable


def exact(value: float) -> str:
    """Shortest text that reads back as the same number, without a trailing ``.0``.

    Names of files are made of it, and messages show a user's number by it: 3.3000000000000003 is not 3.3.
    """
    return repr(float(value)).removesuffix(".0")


def pattern(names: Iterable[str]) -> str:
    """Regular expression that matches these names and nothing else.

    Names hold characters that mean something else in a regular expression, such as the ``+`` of 1e+16.
    """
    return "|".join(map(re.escape, names))
