"""The paper's protocols for the spiral, and whether runs follow them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamical_loss.claims.evidence import UntestedError

NARROW, WIDE = 100, 1000
"""Hidden units of the paper's two networks."""

PHASE_STEPS = 35_000
CASCADE_PERIOD, CASCADE_AMPLITUDE, CASCADE_STEPS = 5_000, 70.0, 70_000
"""The paper's protocols of Fig. 3 and Fig. 4, steps at η = 1."""


def require(settings: Mapping[str, Any], **expected: Any) -> None:
    """`UntestedError` unless the settings (``a__b`` is key b of group a) are the paper's."""
    for path, paper in expected.items():
        found: Any = settings
        for key in path.split("__"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None and found != paper:
            raise UntestedError(f"{path.replace('__', '.')} is {found}, in the paper {paper}")


def require_network(settings: Mapping[str, Any], width: int) -> None:
    """`UntestedError` unless it is the perceptron of that width, trained by plain gradient descent."""
    require(
        settings,
        model__kind="mlp",
        model__depth=1,
        model__width=width,
        loss__kind="cross_entropy",
        loss__waveform="triangle",
        optimiser__kind="sgd",
        optimiser__arguments={},
    )


def require_steps(settings: Mapping[str, Any], steps: int) -> None:
    """Training time is η × steps; a per cent is left for the rounding of steps scaled by 1/η."""
    found = settings["steps"] * settings["learning_rate"]
    if found < 0.99 * steps:
        raise UntestedError(f"runs of η × steps = {found:g}, in the paper {steps}")
