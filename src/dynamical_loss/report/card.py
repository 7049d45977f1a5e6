"""Reproducibility card: pseudocode, data, splits, machine, software, settings, seeds, and how to cite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dynamical_loss.pages.page import Link, Page, Section, Table, beside
from dynamical_loss.report.times import Cost
from dynamical_loss.results import headers

VARIABLES: Sequence[tuple[str, str, Sequence[str], str]] = (
    ("Pseudocode", "pseudocode", (), "the training loop, which a test executes step by step"),
    ("Open source code", "code", ("git_commit", "code_digest"), "licence, commit and digest of the code"),
    ("Open data", "data", ("dataset_settings",), "origin and checksum of each dataset"),
    ("Dataset splits", "data", ("dataset_description",), "numbers of samples, and how they are drawn"),
    ("Hardware", "hardware", ("processor",), "processor and device"),
    ("Software versions", "software", ("package_versions",), "packages as locked and as found"),
    ("Experiment setup", "setup", ("settings", "seeds"), "settings and seeds of each study"),
)
"""Variables of reviews of reproducibility: the section that answers each, the attributes that a result needs
for that, and what the section gives."""

_OF_STUDIES = ("aggregate_phase", "aggregate_lazy", "gather_draws", "train_trajectory")
"""Stages whose results record the settings of whole studies and runs."""


def pseudocode() -> str:
    """Return the pseudocode of the training loop."""
    return beside(__name__, ".txt")


def render(
    results: Sequence[Mapping[str, Any]],
    found: Sequence[Cost],
    locked: Mapping[str, Sequence[str]],
    citation: str,
) -> Page:
    """Build the page.

    Args:
        results: attributes of each result.
        found: time and memory of each rule.
        locked: versions of each package in the lock files.
        citation: content of the citation file; may be empty.
    """
    seconds = sum(sum(cost.seconds) for cost in found)
    answered = Table(
        "Each question of a review of reproducibility, and where this page answers it.",
        ["Variable", "Answered", "Where"],
        [
            [words, _answered(results, needed), Link(answer, f"#{section}")]
            for words, section, needed, answer in VARIABLES
        ],
    )
    return Page(
        title="Reproducibility card",
        lead=[
            f"This page describes {len(results)} results, which took {seconds / 3600:.2f} hours of wall "
            "time. Everything on it is read from the results, the lock files and the citation file."
        ],
        links=[Link("Report", "index.html")],
        sections=[
            Section("Seven questions", tables=[answered], wide=True),
            Section("Pseudocode", blocks=[pseudocode()], wide=True, name="pseudocode"),
            Section(
                "Code", ["Licence: MIT."], tables=[_differing("Code", results, _CODE)], name="code", wide=True
            ),
            Section("Data and splits", tables=[_data(results)], name="data", wide=True),
            Section(
                "Hardware", tables=[_differing("Hardware", results, _HARDWARE)], name="hardware", wide=True
            ),
            Section("Software", tables=[_software(results, locked)], name="software"),
            Section("Seeds and settings", tables=[_setup(results)], name="setup", wide=True),
            *([Section("How to cite", blocks=[citation], wide=True)] if citation else []),
        ],
    )


_DATA = (
    ("Dataset", "dataset_description"),
    ("Split", "split"),
    ("Origin", "dataset_source"),
    ("SHA-256 of the origin", "dataset_source_sha256"),
)
_CODE = (("git commit", "git_commit"), ("work tree", "git_state"), ("digest of the code", "code_digest"))
_HARDWARE = (
    ("processor", "processor"),
    ("backend", "backend"),
    ("device", "device"),
    ("precision", "precision"),
)


def _answered(results: Sequence[Mapping[str, Any]], needed: Sequence[str]) -> str:
    """Return whether the results record some attributes; of data, only those results count that used any."""
    counted = [one for one in results if "dataset" in one] if "dataset" in "".join(needed) else results
    if not counted:
        return "no results yet"
    known = sum(all(name in one for name in needed) for one in counted)
    if known == len(counted):
        return "yes"
    return f"for {known} of {len(counted)} results; the others do not record it"


def _differing(words: str, results: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> Table:
    """Return each combination of some attributes with the number of results that have it."""
    counted: dict[tuple[str, ...], int] = {}
    for one in results:
        key = tuple(str(one.get(name, "not recorded")) for _, name in columns)
        counted[key] = counted.get(key, 0) + 1
    rows = [[str(count), *key] for key, count in sorted(counted.items(), key=lambda item: -item[1])]
    return Table(f"{words} of the results.", ["Results", *(label for label, _ in columns)], rows)


def _data(results: Sequence[Mapping[str, Any]]) -> Table:
    """Return all datasets that results name; equal settings are listed once."""
    known: dict[str, dict[str, str]] = {}
    for one in results:
        if settings := str(one.get("dataset_settings", "")):
            about = known.setdefault(settings, {})
            about.update({key: str(one[key]) for _, key in _DATA if key in one})
    rows = [
        [*(about.get(key, "not recorded") for _, key in _DATA), settings] for settings, about in known.items()
    ]
    return Table("Datasets with their splits.", [*(words for words, _ in _DATA), "Settings"], rows)


def _software(results: Sequence[Mapping[str, Any]], locked: Mapping[str, Sequence[str]]) -> Table:
    used: dict[str, set[str]] = {}
    for one in results:
        for item in str(one.get("package_versions", "")).split(", "):
            package, _, version = item.partition(" ")
            if version:
                used.setdefault(package, set()).add(version)
    rows = [
        [package, ", ".join(locked.get(package, ["–"])), ", ".join(sorted(used[package]))]
        for package in sorted(used)
    ]
    return Table("Packages that compute.", ["Package", "Locked", "Found in the results"], rows)


def _setup(results: Sequence[Mapping[str, Any]]) -> Table:
    """Return the settings of each study and run; equal settings are listed once, with all their seeds."""
    seen: dict[tuple[str, str], set[int]] = {}
    for one in results:
        stage = headers.stage(one)
        if stage in _OF_STUDIES:
            settings = json.loads(str(one.get("settings", "{}")))
            settings.pop("seed", None)
            key = (stage, json.dumps(settings, ensure_ascii=False, sort_keys=True))
            seen.setdefault(key, set()).update(json.loads(str(one.get("seeds", "[]"))))
    rows = [
        [stage, f"{len(seeds)}: {_ranges(sorted(seeds))}", settings]
        for (stage, settings), seeds in seen.items()
    ]
    return Table("Settings of all studies and runs.", ["Made by", "Seeds", "Settings"], rows)


def _ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers in ascending order as ranges.

    Examples:
        >>> _ranges([0, 1, 2, 5, 7, 8])
        '0–2, 5, 7–8'
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges)
