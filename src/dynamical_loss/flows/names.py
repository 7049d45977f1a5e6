"""Which flows there are, known without importing what integrates them."""

from __future__ import annotations

from typing import Literal

Kind = Literal["gradient", "regularised", "third_order", "principal", "principal_and_next"]

KINDS: dict[Kind, str] = {
    "gradient": "gradient flow",
    "regularised": "implicit gradient regularisation",
    "third_order": "third order",
    "principal": "principal flow",
    "principal_and_next": "principal flow and next term",
}
"""The flows by name, as readers know them."""

KINDS_OF_PIECES: tuple[Kind, ...] = ("gradient", "regularised", "principal")
"""Those that a network with ReLU has too."""
