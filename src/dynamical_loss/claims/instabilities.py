"""Claims about the instabilities along a run, and about the NTK near them (Fig. 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import ValidationError

from dynamical_loss.analysis import kernel
from dynamical_loss.analysis.event_table import events_of
from dynamical_loss.analysis.events import SHARPNESS_RULE, oscillating_periods, unstable_periods
from dynamical_loss.analysis.ritz import regular_snapshots
from dynamical_loss.claims.criteria import Range, above, below
from dynamical_loss.claims.evidence import MINIMUM_RUNS, Claim, Evidence, Measurement, UntestedError
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.grid import oscillation_end
from dynamical_loss.paper.departures import departures, facts_of
from dynamical_loss.paper.protocols import (
    CASCADE,
    CASCADE_AMPLITUDE,
    CASCADE_PERIOD,
    CASCADE_STEPS,
    NARROW,
)
from dynamical_loss.results import recorded

Floats = npt.NDArray[np.float64]


def _is_cascade_run(item: xr.Dataset, origin: Mapping[str, Any]) -> bool:
    """Return whether a run in a file follows the protocol of Fig. 4: width 100, η = 1, T = 5000, A = 70."""
    return not departures(CASCADE, facts_of(item, origin))


def _run_key(origin: Mapping[str, Any]) -> str:
    """Return a key that identifies a run, whatever was recorded along the run.

    A setting that was introduced after the record was made has its default value.
    """
    present = {key: value for key, value in origin.items() if key in TrajectorySettings.model_fields}
    with suppress(ValidationError):  # settings that are no longer valid stay as they were recorded
        present = TrajectorySettings.model_validate(present).model_dump()
    known = {**origin, **present}
    return repr(sorted((key, known[key]) for key in known if key not in ("snapshots", "record_every")))


def _unstable_periods(evidence: Evidence) -> list[npt.NDArray[np.bool_]]:
    """Return which oscillating periods were unstable, for each run that follows the protocol of Fig. 4.

    A run counts once, even if it is both in a file of instabilities and in a file of thresholds.

    Raises:
        UntestedError: if no run follows this protocol.
    """
    found: dict[str, npt.NDArray[np.bool_]] = {}

    def add(origin: Mapping[str, Any], table: xr.Dataset, **run: float) -> None:
        if not _is_cascade_run(table, origin):
            return
        period = recorded.cycle_of(origin)
        # The last period is static (the paper's protocol), so it does not count.
        end = oscillation_end(origin["steps"], period)
        oscillating = oscillating_periods(end, period, origin["amplitude"])
        events = events_of(table, SHARPNESS_RULE, **run)
        found[_run_key(origin)] = unstable_periods(events, oscillating, period=period)

    for item in evidence.inputs.get("threshold", ()):
        for origin in recorded.settings_of(item)["trajectories"]:
            add(
                origin,
                item,
                learning_rate=origin["learning_rate"],
                width=origin["model"]["width"],
                seed=origin["seed"],
            )
    for item in evidence.inputs.get("instabilities", ()):
        add(recorded.settings_of(item)["trajectory"], item)
    if not found:
        roles = ("threshold", "instabilities")
        raise UntestedError(
            f"there is no run of width {NARROW} at η = 1, T = {CASCADE_PERIOD}, A = {CASCADE_AMPLITUDE:g} "
            f"over {CASCADE_STEPS} steps",
            absent=not any(evidence.inputs.get(role) for role in roles),
        )
    return list(found.values())


def _unstable_count(evidence: Evidence) -> Measurement:
    return evidence.mean([unstable.sum() for unstable in _unstable_periods(evidence)])


def _last_unstable(evidence: Evidence) -> Measurement:
    periods = _unstable_periods(evidence)
    last = [int(np.flatnonzero(unstable)[-1]) + 1 if unstable.any() else 0 for unstable in periods]
    return evidence.mean(last)


def _ntk(part: str, evidence: Evidence) -> Measurement:
    """Measure the relative change of the NTK's λ_max about each event, geometric mean over events or runs."""
    spectra = {
        _run_key(recorded.settings_of(item)["trajectory"]): item
        for item in evidence.files("spectrum")
        if "ntk_eigenvalue" in item
    }
    runs: list[Floats] = []
    for item in evidence.files("instabilities"):
        origin = recorded.settings_of(item)["trajectory"]
        probes = spectra.get(_run_key(origin))
        if probes is None or not (_is_cascade_run(item, origin) and _is_cascade_run(probes, origin)):
            continue
        change = kernel.ntk_change(
            *regular_snapshots(probes, "ntk_eigenvalue"),
            events_of(item, SHARPNESS_RULE),
            period=recorded.cycle_of(origin),
        )
        known = getattr(change, part)
        runs.append(np.log1p(known[np.isfinite(known)]))
    if not runs:
        raise UntestedError("the NTK was not probed along any run that follows the protocol of Fig. 4")
    independent = len(runs) >= MINIMUM_RUNS
    values = np.array([run.mean() for run in runs if run.size]) if independent else np.concatenate(runs)
    logarithm = evidence.mean(values)
    lower, upper = logarithm.interval
    return Measurement(math.expm1(logarithm.value), (math.expm1(lower), math.expm1(upper)), logarithm.n)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "unstable_periods",
        "Fig. 4, Sec. III.3",
        "in the run of Fig. 4 about ten periods of the oscillation have instabilities",
        10.0,
        "number of oscillating periods with an instability by the paper's rule (width 100, η = 1, T = 5000, "
        "A = 70), mean over n runs",
        Range(8.0, 12.0),
        ("threshold", "instabilities"),
        _unstable_count,
        "periods of the oscillation",
        f"width {NARROW}",
    ),
    Claim(
        "instabilities_end",
        "Fig. 4, Sec. III.3",
        "in the run of Fig. 4 there are no instabilities after about ten periods of the oscillation",
        10.0,
        "number of the last unstable period (counted from 1; 13 oscillate) by the paper's rule, same runs, "
        "mean over n runs",
        Range(8.0, 12.0),
        ("threshold", "instabilities"),
        _last_unstable,
        "periods of the oscillation",
        f"width {NARROW}",
    ),
)
"""Claims about the unstable periods."""

KERNEL_CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"ntk_{short}",
            "Fig. 4f, Sec. III.4",
            f"in the run of Fig. 4 the largest eigenvalue of the NTK {words}",
            math.nan,
            f"its relative change {span}, geometric mean over n runs, or with fewer than {MINIMUM_RUNS} runs "
            "over their n events (which are not quite independent)",
            criterion,
            ("instabilities", "spectrum"),
            partial(_ntk, part),
            "relative change",
            f"width {NARROW}",
        )
        for short, words, span, criterion, part in (
            (
                "grows_before",
                "grows until an instability begins",
                "from the beginning of the period to the start of the instability",
                above(0.0),
                "before",
            ),
            ("drops_during", "drops in an instability", "from its start to its finish", below(0.0), "during"),
        )
    ),
)
"""Claims about the NTK."""
