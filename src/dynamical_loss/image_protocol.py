"""The paper's protocol of training on images, as numbers: what claims and figures hold studies against."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.results.recorded import setting

TRAIN_IMAGES, VALIDATION_IMAGES = 50_000, 10_000
"""Of CIFAR-10."""

CHANNELS, BATCH, EPOCHS, SEEDS = 64, 512, 700, 30
LEARNING_RATE, PEAK_EPOCH, FINAL_FACTOR = 0.02, 300, 0.1
LEARNING_RATE_SCHEDULE = ((0.0, 0.0), (PEAK_EPOCH / EPOCHS, 1.0), (1.0, FINAL_FACTOR))
OSCILLATION_EPOCHS = 600
OSCILLATION_STOP = OSCILLATION_EPOCHS / EPOCHS
MOMENTUM = {"momentum": 0.9, "nesterov": True}
"""Fig. 1, Myrtle5: the learning rate rises to its peak and falls to a tenth of it."""

WIDE_RESNET_BATCH, WIDE_RESNET_EPOCHS = 1024, 200
"""The supplement's Wide ResNet, as far as it is published."""

_TOLERANCE = 1e-3  # of fractions of a run: less than an epoch, so that a configuration may round them


def departures(settings: Mapping[str, Any]) -> list[str]:
    """Where a training differs from the paper's protocol, a line each.

    Sizes are no part of it: those of the network and of the data, the length and the number of seeds.

    Args:
        settings: as a file of a training records them; what they do not record differs.
    """
    paper: dict[str, Any] = {"loss.kind": "cross_entropy", "loss.waveform": "triangle"}
    rounded: dict[str, npt.ArrayLike] = {}
    if settings["model"]["kind"] == "wide_resnet":
        paper |= {"batch_size": WIDE_RESNET_BATCH}
    else:
        paper |= {"optimiser.kind": "sgd", "optimiser.arguments": MOMENTUM}
        paper |= {"learning_rate": LEARNING_RATE, "batch_size": BATCH}
        rounded = {"learning_rate_schedule": LEARNING_RATE_SCHEDULE, "oscillation_stop": OSCILLATION_STOP}
    differing = {key: wanted for key, wanted in paper.items() if setting(settings, key) != wanted}
    for key, numbers in rounded.items():
        if not _is_close(settings.get(key), numbers):
            differing[key] = np.round(np.asarray(numbers), 4).tolist()
    return [f"{key} is {setting(settings, key)}, in the paper {wanted}" for key, wanted in differing.items()]


def _is_close(found: Any, paper: npt.ArrayLike) -> bool:
    """Whether a setting is made of the paper's numbers, up to rounding; null is none of them."""
    wanted = np.asarray(paper, dtype=np.float64)
    given = np.asarray(math.nan if found is None else found, dtype=np.float64)
    return given.shape == wanted.shape and np.allclose(given, wanted, rtol=0.0, atol=_TOLERANCE)
