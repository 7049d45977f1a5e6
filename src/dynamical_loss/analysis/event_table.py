"""Conversion of events to the columns of a file and back; no other module knows how events are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynamical_loss.analysis.events import Event
from dynamical_loss.analysis.records import column

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.results import netcdf

PREFIX = "event_"
"""Prefix of the names of the columns."""

_NO_STEP = -1


def columns(events: Sequence[Event]) -> dict[str, NDArray[np.generic]]:
    """Convert events to arrays of equal length, by the name of their variable.

    Args:
        events: events; there may be none.

    Returns:
        one array of shape (event,) for each field of `Event`: integers for steps and period (an unknown onset
        and a missing period are −1), floats for sharpness (unknown is NaN), booleans, and strings for the
        rule.
    """
    types: dict[str, Any] = {"rule": np.str_, "start": np.int64, "finish": np.int64, "finished": np.bool_}
    types |= {"onset": np.int64, "period_index": np.int64}
    order = ("rule", "onset", *(field.name for field in fields(Event) if field.name not in ("rule", "onset")))
    table: dict[str, NDArray[np.generic]] = {}
    for name in order:
        values = [getattr(event, name) for event in events]
        if name == "onset":
            values = [_NO_STEP if value is None else value for value in values]
        table[PREFIX + name] = np.array(values, dtype=types[name]) if name in types else column(values)
    return table


def add(variables: netcdf.Variables, table: Mapping[str, NDArray[Any]], *, reference: str) -> None:
    """Add columns to a file's variables, over the dimension ``event``.

    Args:
        variables: variables of the file.
        table: columns by the name of their variable, as `columns` or `of_run` return them.
        reference: the paper's figure that shows the events.
    """
    for name, values in table.items():
        words = f"{name.removeprefix(PREFIX).replace('_', ' ')} of each instability"
        variables.add(name, ("event",), values, words, reference=reference)


def of_run(table: xr.Dataset, **run: float) -> dict[str, NDArray[Any]]:
    """Return the stored columns of one run, preceded by columns that name the run.

    Args:
        table: stored events of one run.
        run: values of the columns that name the run, e.g. ``seed=2``.
    """
    of_events = {str(name): item.values for name, item in table.data_vars.items() if item.dims == ("event",)}
    which = {PREFIX + name: np.full(table.sizes["event"], value) for name, value in run.items()}
    return which | of_events


def events_of(table: Mapping[Any, Any], rule: str | None = None, **run: float) -> list[Event]:
    """Return the events that `columns` converted, in order of time.

    Args:
        table: dataset with the columns, or another mapping from names to arrays.
        rule: rule whose events are returned; None returns the events of all rules.
        run: values of further columns that select a run if the file holds the events of several runs, e.g.
            ``seed=2``.
    """
    stored = {field.name: np.asarray(table[PREFIX + field.name]) for field in fields(Event)}
    chosen = np.full(stored["start"].shape, True)
    if rule is not None:
        chosen &= stored["rule"].astype(str) == rule
    for name, value in run.items():
        chosen &= np.asarray(table[PREFIX + name]) == value
    rows = zip(*(values[chosen].tolist() for values in stored.values()), strict=True)
    found = [_event(dict(zip(stored, row, strict=True))) for row in rows]
    return sorted(found, key=lambda event: event.start)


def _event(values: dict[str, Any]) -> Event:
    values["finished"] = bool(values["finished"])
    values["onset"] = None if values["onset"] == _NO_STEP else values["onset"]
    return Event(**values)
