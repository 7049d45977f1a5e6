"""Colour and marker of each flow, shared by all figures of flows."""

from __future__ import annotations

from typing import Any

from dynamical_loss.figures import style
from dynamical_loss.flows.names import Kind

LOOKS: dict[Kind, dict[str, Any]] = {
    "gradient": {"color": "0.6", "marker": "s"},
    "regularised": {"color": style.CLASS_COLOURS[0], "marker": "^"},
    "third_order": {"color": style.CLASS_COLOURS[2], "marker": "v"},
    "principal": {"color": style.CLASS_COLOURS[1], "marker": "o"},
    "principal_and_next": {"color": "black", "marker": "x"},
}
"""Colour and marker of each kind of flow, as arguments of Matplotlib."""
