"""Run times and peak memory of each rule, from the attributes of all results."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamical_loss.pages.page import Link, Page, Section, Table
from dynamical_loss.results import headers

_RECORDED = ("wall_seconds", "peak_memory_mb", "energy_joules")
"""Attributes of a result, in the order of the fields of `Cost`."""


@dataclass(frozen=True)
class Cost:
    """What all jobs of a rule took.

    Attributes:
        rule: name of the rule.
        seconds: wall time of each job, seconds.
        megabytes: peak memory of each job that recorded it, MB of 10⁶ bytes.
        joules: energy of the machine's processors during each job that recorded it, J.
    """

    rule: str
    seconds: Sequence[float]
    megabytes: Sequence[float]
    joules: Sequence[float]


def costs(results: Iterable[Mapping[str, Any]]) -> list[Cost]:
    """Return the costs of each rule, most expensive first.

    Args:
        results: attributes of each result.
    """
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in _RECORDED}
    for attributes in results:
        rule = headers.stage(attributes) or "unknown"
        for name in _RECORDED:
            if name in attributes:
                found[name][rule].append(float(attributes[name]))
    rules = found["wall_seconds"]
    return sorted(
        (Cost(rule, *(found[name][rule] for name in _RECORDED)) for rule in rules),
        key=lambda cost: -sum(cost.seconds),
    )


def _energy(cost: Cost) -> str:
    if not cost.joules:
        return "not reported"
    some = "" if len(cost.joules) == len(cost.seconds) else f" ({len(cost.joules)} results)"
    return f"{sum(cost.joules) / 1000:.1f}{some}"


def render(found: Sequence[Cost]) -> Page:
    """Build the page."""
    rows = [
        [
            cost.rule,
            str(len(cost.seconds)),
            f"{sum(cost.seconds):.1f}",
            f"{statistics.median(cost.seconds):.2f}",
            f"{max(cost.seconds):.1f}",
            f"{max(cost.megabytes):.0f}" if cost.megabytes else "not recorded",
            _energy(cost),
        ]
        for cost in found
    ]
    columns = ["Rule", "Results", "Sum, s", "Median, s", "Longest, s", "Peak memory, MB", "Energy, kJ"]
    total = sum(sum(cost.seconds) for cost in found)
    return Page(
        title="Run times",
        lead=[
            f"The jobs of these results took {total / 60:.1f} minutes together. The time of a result is the "
            "wall time of its job, without the start of the process. Published results lack the training "
            "jobs of phase diagrams. The energy is that of all processors of the machine while a job ran, so "
            "jobs at the same time count it more than once; many machines do not report it."
        ],
        sections=[
            Section(tables=[Table("Wall time and peak memory of each rule.", columns, rows)], wide=True)
        ],
        links=[Link("Report", "index.html")],
    )
