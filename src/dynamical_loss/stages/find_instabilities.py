"""Find the instabilities along one trajectory by both rules, and compute the threshold from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynamical_loss.analysis import event_table, threshold
from dynamical_loss.analysis.events import (
    LOSS_RULE,
    SHARPNESS_RULE,
    events_from_loss,
    events_from_sharpness,
    oscillating_periods,
    unstable_periods,
)
from dynamical_loss.analysis.ritz import regular_snapshots
from dynamical_loss.config.analysis import InstabilitySettings
from dynamical_loss.errors import UserError
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs, Provenance

RULES = (SHARPNESS_RULE, LOSS_RULE)


def run(settings: InstabilitySettings, trajectory: Path, spectrum: Path, output: Path) -> None:
    """Write the table of events.

    Raises:
        UserError: if an input cannot be read or lacks a variable that the rules need, if the spectrum was
            measured along another trajectory, or if the learning rate of the trajectory changes.
    """
    inputs = Inputs()
    path = inputs.read(trajectory, ["weighted_loss", "oscillation_end"], made_by="train_trajectory")
    probes = inputs.read(spectrum, ["hessian_eigenvalue"], made_by="probe_spectrum")
    inputs.require_made_from(spectrum, trajectory)
    origin = recorded.settings_of(path)
    rule = recorded.setting(origin, "learning_rate_rule.kind", "constant")
    if rule != "constant" or recorded.setting(origin, "learning_rate_schedule"):
        raise UserError(
            f"{trajectory} was trained with a changing learning rate, but instabilities are compared with a "
            "constant one; give a run with a constant learning rate"
        )
    record = Provenance(
        __name__, {**settings.model_dump(), "trajectory": origin}, [origin["seed"]], "float64", inputs
    )
    tolerance = settings.tolerance_at(origin["learning_rate"])
    end = float(path["oscillation_end"])
    snapshot_step, sharpness = regular_snapshots(probes, "hessian_eigenvalue")
    period = recorded.cycle_of(origin)
    try:
        found = {
            SHARPNESS_RULE: events_from_sharpness(
                snapshot_step,
                sharpness,
                period=period,
                tolerance=tolerance,
                oscillation_end=end,
                detrend=settings.difference == "detrended",
                minimum_snapshots=settings.minimum_snapshots,
                read_inside=settings.reading == "flagged",
            ),
            LOSS_RULE: events_from_loss(
                path["weighted_loss"].values,
                step=path["step"].values,
                period=period,
                snapshot_step=snapshot_step,
                sharpness=sharpness,
                sharpness_tolerance=tolerance,
                oscillation_end=end,
            ),
        }
    except ValueError as error:
        raise UserError(f"{trajectory}: {error}") from None
    variables = netcdf.Variables()
    events = [event for rule in RULES for event in found[rule]]
    event_table.add(variables, event_table.columns(events), reference="Fig. 4, dashed lines")
    number_of_periods = oscillating_periods(end, period, origin["amplitude"])
    variables.add("rule", ("rule",), list(RULES), "how events are found", reference="Fig. 4")
    variables.add(
        "unstable_period",
        ("rule", "period_index"),
        np.array([unstable_periods(found[rule], number_of_periods, period=period) for rule in RULES]),
        "1 if an instability lies in that period of the oscillation",
        reference="Fig. 4",
    )
    summary = [threshold.threshold(found[rule]) for rule in RULES]
    for name in summary[0].__dataclass_fields__:
        summaries = [getattr(item, name) for item in summary]
        for part, text in (("mean", "mean"), ("median", "median"), ("n", "number of values")):
            suffix = "" if part == "mean" else f"_{part}"
            variables.add(
                f"threshold_{name}{suffix}",
                ("rule",),
                [getattr(item, part) for item in summaries],
                f"{text} of λ_max over events: {name.replace('_', ' ')}",
                reference="Fig. 4e, horizontal dashed line",
            )
    record.write(variables.dataset().assign_attrs(recorded.of_data(path)), output)
