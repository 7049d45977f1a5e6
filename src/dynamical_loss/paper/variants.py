"""Variants of the dynamical loss that leave out one of its parts (Fig. S6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamical_loss.paper.protocols import LOSS_PARTS

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "random_order": ("a fixed order of the classes", {"loss.emphasis": "random_class"}),
    "random_groups": ("classes (random groups of samples replace them)", {"loss.emphasis": "random_group"}),
    "in_phase": (
        "any tilt (all classes are emphasised at once, which only modulates the learning rate)",
        {"loss.emphasis": "all", "loss.normalisation": "cycle"},
    ),
    "unnormalised": (
        "the normalisation of Eq. 5 (the weights have the same mean over a cycle, but not at each step)",
        {"loss.normalisation": "cycle"},
    ),
    "one_cycle": ("repetition (one cycle, then the static loss)", {"loss.cycles": 1}),
}
"""Variants by name: the part that the loss lacks, in words, and the settings that leave this part out."""


def variant_of(loss: Mapping[str, Any]) -> str | None:
    """Return which of `VARIANTS` a loss is; ``whole`` for the paper's loss, None for any other loss.

    Args:
        loss: settings of the loss; a missing key has the paper's value.
    """
    parts = {key: loss.get(key.removeprefix("loss."), usual) for key, usual in LOSS_PARTS.items()}
    changed = {key: value for key, value in parts.items() if value != LOSS_PARTS[key]}
    if not changed:
        return "whole"
    return next((name for name, (_, without) in VARIANTS.items() if changed == dict(without)), None)
