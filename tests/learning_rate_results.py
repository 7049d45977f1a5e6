"""Made-up phase diagrams of several learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr

from claim_results import changed, phase

DECAY = [[0.0, 2.0], [1.0, 0.0]]


def study(
    static: float | None,
    dynamical: float | None,
    *,
    choosing: Sequence[float] = (),
    cell: tuple[int, float] = (200, 10),
    seeds: int = 20,
    steps: int = 35_000,
    **settings: Any,
) -> xr.Dataset:
    """Make a phase diagram of the static loss and one cell, with a small noise between seeds.

    Args:
        static: validation accuracy at A = 1; None: the study has no static loss.
        dynamical: validation accuracy in the cell; None: the study has no such cell.
        choosing: validation accuracy of seeds 0 to 4 at each amplitude; empty: as for the other seeds.
        cell: period and amplitude of the cell.
        seeds: number of runs.
        steps: length of a run.
        settings: other recorded settings.
    """
    period, amplitude = cell
    given: list[tuple[float, float | None]] = [(1, static), (amplitude, dynamical)]
    values = {each: value for each, value in given if value is not None}
    amplitudes = list(values)
    item = phase(
        lambda _, each: 0.05 + values[each],
        periods=(period,),
        amplitudes=amplitudes,
        seeds=seeds,
        steps=steps,
    )
    rule = {"kind": "constant", "power": 1.0, "constant": 2.0, "cap": None, "steps_of": "own_run"}
    settings["learning_rate_rule"] = rule | settings.get("learning_rate_rule", {})
    if choosing:
        accuracy = item["validation_accuracy"].copy()
        for amplitude, value in zip(amplitudes, choosing, strict=True):
            accuracy.loc[{"amplitude": amplitude, "seed": slice(0, 4)}] = value
        item = item.assign(validation_accuracy=accuracy)
    return changed(item, **settings)


def dal(
    static: float | None,
    dynamical: float | None,
    power: float = 1.0,
    cap: float | None = 2.0,
    steps_of: str = "own_run",
    constant: float = 2.0,
    **more: Any,
) -> xr.Dataset:
    """Make a study whose learning rate follows the curvature (DAL)."""
    rule = {"kind": "dal", "power": power, "cap": cap, "steps_of": steps_of, "constant": constant}
    return study(static, dynamical, learning_rate_rule=rule, **more)
