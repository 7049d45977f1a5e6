"""Whether runs follow the paper's protocols; those for the spiral."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from dynamical_loss.claims.evidence import UntestedError
from dynamical_loss.results.recorded import setting

NARROW, WIDE = 100, 1000
"""Hidden units of the paper's two networks."""

PHASE_STEPS = 35_000
CASCADE_PERIOD, CASCADE_AMPLITUDE, CASCADE_STEPS = 5_000, 70.0, 70_000
"""The paper's protocols of Fig. 3 and Fig. 4, steps at η = 1."""


LOSS = {"loss__kind": "cross_entropy", "loss__waveform": "triangle"}
"""The paper's."""

_ABSENT = object()


def require(settings: Mapping[str, Any], **expected: Any) -> None:
    """`UntestedError` unless the settings (``a__b`` is key b of group a) are the paper's.

    Files that were made before a setting existed do not have it, and pass.
    """
    for path, paper in expected.items():
        found = _setting(settings, path)
        if found is not _ABSENT and found != paper:
            raise UntestedError(f"{path.replace('__', '.')} is {found}, in the paper {paper}")


def require_recorded(settings: Mapping[str, Any], *paths: str) -> None:
    """`UntestedError` unless the settings say all of these: for files that no version made without them."""
    for path in paths:
        if _setting(settings, path) is _ABSENT:
            raise UntestedError(f"the file does not record {path.replace('__', '.')}")


def _setting(settings: Mapping[str, Any], path: str) -> Any:
    return setting(settings, path.replace("__", "."), _ABSENT)


def require_dataset(item: xr.Dataset, name: str) -> None:
    """`UntestedError` if the file names a dataset without `name` among the words.

    Files that were made when there was only the spiral do not name it.
    """
    found = str(item.attrs.get("dataset", name))
    if name.lower() not in found.lower().split():
        raise UntestedError(f"the dataset is {found}, in the paper {name}")


def require_loss(settings: Mapping[str, Any]) -> None:
    """`UntestedError` unless the loss is the paper's, cross-entropy with triangles."""
    require(settings, **LOSS)


def require_network(settings: Mapping[str, Any], width: int) -> None:
    """`UntestedError` unless it is the perceptron of that width, trained by plain gradient descent."""
    require_loss(settings)
    require(
        settings,
        model__kind="mlp",
        model__depth=1,
        model__width=width,
        optimiser__kind="sgd",
        optimiser__arguments={},
        batch_size=None,
        learning_rate_schedule=[],
        oscillation_stop=None,
        evaluation_samples=None,
    )


def require_steps(settings: Mapping[str, Any], steps: int) -> None:
    """Training time is η × steps; a per cent is left for the rounding of steps scaled by 1/η."""
    found = settings["steps"] * settings["learning_rate"]
    if found < 0.99 * steps:
        raise UntestedError(f"runs of η × steps = {found:g}, in the paper {steps}")
