"""Find where a result departs from a protocol of the paper, only from what the result records.

A protocol is a list of rules, each about one recorded fact.  A fact that the result does not record is
unknown, and an unknown fact never counts as the paper's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamical_loss.datasets.official import SHA256
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

OFFICIAL, EXACT, LOSSY = "official", *recorded.COPIES
"""Origin of the images in the words of `facts_of`: an official archive, exact copies, or lossy copies."""

COPIES = "dataset_copies"

_ABSENT = object()


class Sort(StrEnum):
    """Kind of a departure."""

    PROTOCOL = "protocol"
    """Departure in how networks are trained and evaluated."""
    SIZE = "size"
    """Departure in the size of the network or the length of the run."""
    DATA = "data"
    """Departure in the kind or the amount of data."""
    SEEDS = "seeds"
    """Departure in the number of runs."""


@dataclass(frozen=True)
class Departure:
    """One way in which a result differs from the paper.

    Attributes:
        keys: recorded facts that show the departure; for an unknown fact, the key that is not recorded.
        sort: kind of the departure.
        known: whether the result records the fact.
        found: value in the result; None if the result does not record the value.
        paper: value in the paper; None if the paper leaves the value open and the result does not record it.
        words: the departure in one line.
    """

    keys: tuple[str, ...]
    sort: Sort
    known: bool
    found: Any
    paper: Any
    words: str


def _itself(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Rule:
    """The paper's value of one fact.

    Attributes:
        keys: keys of the recorded facts that the fact is computed from; ``a.b`` is key b of group a.
        sort: kind of a departure from this rule.
        paper: the paper's value.
        agrees: function of the found value and the paper's value; it returns whether they agree.
        value: function that computes the fact from the values of `keys`, in their order.
        words: template for the words of a departure, with ``{key}``, ``{found}`` and ``{paper}``.
        before: value of results from before the key existed; by default their value is unknown.
    """

    keys: tuple[str, ...]
    sort: Sort
    paper: Any
    agrees: Callable[[Any, Any], bool] = operator.eq
    value: Callable[..., Any] = _itself
    words: str = "{key} is {found}, in the paper {paper}"
    before: Any = _ABSENT

    def departure(self, facts: Mapping[str, Any]) -> Departure | None:
        """Return how these facts depart from the paper; None if they do not depart."""
        values = []
        for key in self.keys:
            known = recorded.setting(facts, key, self.before)
            if known is _ABSENT:
                words = f"the file does not record {key}"
                return Departure((key,), self.sort, False, None, self.paper, words)
            values.append(known)
        found = self.value(*values)
        if self.agrees(found, self.paper):
            return None
        words = self.words.format(key=self.keys[0], found=found, paper=_rounded(self.paper))
        return Departure(self.keys, self.sort, True, found, self.paper, words)


Protocol = tuple[Rule, ...]
"""All that the paper says about one kind of result; the most important rules come first."""


def exactly(sort: Sort, facts: Mapping[str, Any]) -> Protocol:
    """Return rules that each fact must have exactly the paper's value."""
    return tuple(Rule((key,), sort, paper) for key, paper in facts.items())


def recorded_at_all(sort: Sort, *keys: str) -> Protocol:
    """Return rules that facts must be recorded with any value, because the paper does not give one."""
    return tuple(Rule((key,), sort, None, lambda found, paper: True) for key in keys)


def close(tolerance: float) -> Callable[[Any, Any], bool]:
    """Return a function that compares numbers, or lists of numbers, up to an absolute tolerance.

    None (null in a configuration) agrees with no number.
    """

    def agrees(found: Any, paper: Any) -> bool:
        wanted = np.asarray(paper, dtype=np.float64)
        given = np.asarray(math.nan if found is None else found, dtype=np.float64)
        return given.shape == wanted.shape and np.allclose(given, wanted, rtol=0.0, atol=tolerance)

    return agrees


def departures(protocol: Protocol, facts: Mapping[str, Any]) -> list[Departure]:
    """Return all departures from a protocol, in the order of its rules.

    Args:
        protocol: a protocol of `dynamical_loss.paper.protocols`.
        facts: recorded facts, from `facts_of`.
    """
    found = (rule.departure(facts) for rule in protocol)
    return [departure for departure in found if departure is not None]


def facts_of(item: xr.Dataset, training: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a result records about a training and its data.

    Args:
        item: dataset with the global attributes of its file.
        training: settings of the training, if they are a part of the file's settings; None takes all settings
            of the file.

    Returns:
        The settings by name, together with the result of `recorded.of_data`.  `COPIES` is `OFFICIAL` if the
        checksum is that of an official archive, whatever else is recorded.  Otherwise it is what the file
        records about copies.

    Raises:
        UnknownOriginError: if the file records no settings.
    """
    settings = recorded.settings_of(item) if training is None else training
    # In settings, `dataset` is a name that a user chose, so it says nothing about the data.
    facts = {name: value for name, value in settings.items() if name != "dataset"}
    facts |= recorded.of_data(item)
    if recorded.DATASET_SETTINGS in facts:
        place = Path(item.encoding.get("source", "a dataset"))
        facts[recorded.DATASET_SETTINGS] = recorded.recorded(facts, recorded.DATASET_SETTINGS, place)
    if facts.get("dataset_source_sha256") in SHA256.values():
        facts[COPIES] = OFFICIAL
    elif facts.get(COPIES) not in recorded.COPIES:
        facts.pop(COPIES, None)
    return facts


def _rounded(value: Any) -> Any:
    """Return a value of the paper, rounded for a line of text."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(part) for part in value]
    return value
