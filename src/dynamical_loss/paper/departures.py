"""Where a result departs from a protocol of the paper, judged from what the result records alone.

A protocol is a list of rules, each about one recorded fact.  A fact that the result does not record is
unknown, and what is unknown is never taken for the paper's.
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
"""What the images may be, as `facts_of` says: of an official archive, or copies of either kind."""

COPIES = "dataset_copies"

_ABSENT = object()


class Sort(StrEnum):
    """What a departure is about."""

    PROTOCOL = "protocol"
    """How networks are trained and looked at."""
    SIZE = "size"
    """Size of the network and length of the run."""
    DATA = "data"
    """What it is trained on, and how much of that."""
    SEEDS = "seeds"
    """How many runs there are."""


@dataclass(frozen=True)
class Departure:
    """One way in which a result is not the paper's.

    Attributes:
        keys: what it was told from; of an unknown fact, the one that is not recorded.
        sort: what it is about.
        known: whether the result records the fact.
        found: what the result has; None if it is unknown.
        paper: what the paper has; None where the paper leaves it open and it is only unknown.
        words: all of this in one line.
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
    """What the paper has for one fact.

    Attributes:
        keys: of the recorded facts that it is computed from; ``a.b`` is key b of group a.
        sort: what it is about.
        paper: the paper's value.
        agrees: whether a value that was found counts as the paper's.
        value: computes the fact from those of `keys`, in their order.
        words: of a departure, with ``{key}``, ``{found}`` and ``{paper}``.
        before: what a result has that was made before its key existed; by default it is unknown.
    """

    keys: tuple[str, ...]
    sort: Sort
    paper: Any
    agrees: Callable[[Any, Any], bool] = operator.eq
    value: Callable[..., Any] = _itself
    words: str = "{key} is {found}, in the paper {paper}"
    before: Any = _ABSENT

    def departure(self, facts: Mapping[str, Any]) -> Departure | None:
        """How these facts depart from the paper; None if they do not."""
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
"""All that the paper says of one kind of result, the most telling first."""


def exactly(sort: Sort, facts: Mapping[str, Any]) -> Protocol:
    """Rules that each fact has the paper's value and no other."""
    return tuple(Rule((key,), sort, paper) for key, paper in facts.items())


def recorded_at_all(sort: Sort, *keys: str) -> Protocol:
    """Rules that facts are known, of which the paper says nothing."""
    return tuple(Rule((key,), sort, None, lambda found, paper: True) for key in keys)


def close(tolerance: float) -> Callable[[Any, Any], bool]:
    """Agreement of numbers, or of lists of them, up to a tolerance; null is no number."""

    def agrees(found: Any, paper: Any) -> bool:
        wanted = np.asarray(paper, dtype=np.float64)
        given = np.asarray(math.nan if found is None else found, dtype=np.float64)
        return given.shape == wanted.shape and np.allclose(given, wanted, rtol=0.0, atol=tolerance)

    return agrees


def departures(protocol: Protocol, facts: Mapping[str, Any]) -> list[Departure]:
    """All departures from a protocol, in the order of its rules.

    Args:
        protocol: see `dynamical_loss.paper.protocols`.
        facts: from `facts_of`.
    """
    found = (rule.departure(facts) for rule in protocol)
    return [departure for departure in found if departure is not None]


def facts_of(item: xr.Dataset, training: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a result records of a training and its data.

    Args:
        item: a dataset with the global attributes of its file.
        training: settings of the training, where they are a part of the file's settings; all by default.

    Returns:
        the settings by name, beside what `recorded.of_data` gives. `COPIES` is `OFFICIAL` where the checksum
        is that of an official archive, whatever else is recorded, and else what the file says of copies.

    Raises:
        UnknownOriginError: if the file records no settings.
    """
    settings = recorded.settings_of(item) if training is None else training
    # In settings, `dataset` is a name that a user chose, which says nothing of the data.
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
    """A value of the paper for a line of text."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(part) for part in value]
    return value
