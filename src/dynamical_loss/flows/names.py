"""Names of the flows, in a module that imports neither JAX nor the integrator."""

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
"""Names of the flows in figures, by their names in files."""

KINDS_OF_PIECES: tuple[Kind, ...] = ("gradient", "regularised", "principal")
"""Flows that are also defined for a network with ReLU."""
