"""Every job of a run in the report's RO-Crate: what it read and wrote, when, and what it took.

These are the tools, steps and actions of the profile Provenance Run Crate 0.5
(https://w3id.org/ro/wfrun/provenance/0.5).
"""

from __future__ import annotations

import datetime
import json
import os.path
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dynamical_loss.results import headers
from dynamical_loss.results.recorded import INPUTS

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

_USAGE = (
    ("wall_seconds", "wall time", "SEC"),
    ("peak_memory_mb", "peak memory", "4L"),
    ("energy_joules", "energy of the processors", "JOU"),
)
"""Attribute, name, and the unit's code of UN/CEFACT (4L: megabyte)."""


def span(attributes: Mapping[str, Any]) -> tuple[datetime.datetime, datetime.datetime] | None:
    """Return when the job of a result started and ended; None if the result does not record it."""
    if "created" not in attributes:
        return None
    end = datetime.datetime.fromisoformat(str(attributes["created"]))
    return end - datetime.timedelta(seconds=float(attributes.get("wall_seconds", 0))), end


def add(crate: ROCrate, workflow: Entity, run: Entity, results: Mapping[Path, Mapping[str, Any]]) -> None:
    """Add the job of each result to a crate.

    The results themselves are not in the crate; their paths and the checksums of their contents are.

    Args:
        crate: crate with the workflow and its run.
        workflow: the workflow; it gets a step for each rule.
        run: the action that is the run of the workflow.
        results: attributes of each result, by its path in the folder of results.
    """
    made = _Jobs(crate, results)
    for path in results:
        made.add(path)
    workflow["hasPart"] = list(made.tools.values())
    workflow["step"] = list(made.steps.values())
    engine = made.entity(
        "#snakemake", "SoftwareApplication", name="Snakemake", url="https://snakemake.github.io"
    )
    orchestration = made.entity("#orchestration", "OrganizeAction", name="Orchestration of all jobs")
    orchestration["instrument"] = engine
    orchestration["object"] = made.controls
    orchestration["result"] = run
    crate.root_dataset["mentions"] = [*crate.root_dataset["mentions"], *made.actions]


def _version(attributes: Mapping[str, Any]) -> str:
    return f"code {attributes.get('code_digest', 'unknown')}"


def _when(attributes: Mapping[str, Any]) -> dict[str, str]:
    words = ("startTime", "endTime")
    times = span(attributes) or ()
    return {word: time.isoformat(timespec="seconds") for word, time in zip(words, times, strict=False)}


class _Jobs:
    """The entities of all jobs; tools and steps are shared by the jobs of a rule."""

    def __init__(self, crate: ROCrate, results: Mapping[Path, Mapping[str, Any]]) -> None:
        self._crate, self._results = crate, results
        self._known: dict[str, Entity] = {}
        self.tools: dict[str, Entity] = {}
        self.steps: dict[str, Entity] = {}
        self.actions: list[Entity] = []
        self.controls: list[Entity] = []

    def entity(self, address: str, kind: str, **properties: Any) -> Entity:
        """Add an entity, or return it if it was added before."""
        from rocrate.model.contextentity import ContextEntity

        if address not in self._known:
            entity = ContextEntity(self._crate, address, {"@type": kind, **properties})
            self._known[address] = self._crate.add(entity)
        return self._known[address]

    def add(self, path: Path) -> None:
        """Add the job that made a result."""
        attributes, name = self._results[path], path.as_posix()
        rule = headers.stage(attributes) or "unknown"
        self.tools[rule] = self.entity(
            f"#rule/{rule}", "SoftwareApplication", name=rule, softwareVersion=_version(attributes)
        )
        self.steps[rule] = self.entity(f"#step/{rule}", "HowToStep", position=str(len({*self.steps, rule})))
        self.steps[rule]["workExample"] = self.tools[rule]
        action = self.entity(
            f"#job/{name}",
            "CreateAction",
            name=f"{rule}: {name}",
            **_when(attributes),
            description=f"The rule {rule} made {name} on the device {attributes.get('device', 'none')}.",
        )
        action["instrument"] = self.tools[rule]
        action["object"] = self._inputs(path, attributes)
        action["result"] = self._result(path)
        action["resourceUsage"] = [
            self.entity(
                f"#job/{name}/{key}",
                "PropertyValue",
                name=words,
                propertyID=f"https://w3id.org/ro/terms/workflow-run#{key}",
                unitCode=unit,
                value=str(attributes[key]),
            )
            for key, words, unit in _USAGE
            if key in attributes
        ]
        control = self.entity(f"#control/{name}", "ControlAction", name=f"Start of {rule} for {name}")
        control["instrument"], control["object"] = self.steps[rule], action
        self.actions.append(action)
        self.controls.append(control)

    def _result(self, path: Path) -> Entity:
        checksum = self._results[path].get("content_checksum")
        known = {} if checksum is None else {"identifier": f"sha256 of the content: {checksum}"}
        return self.entity(f"#result/{path.as_posix()}", "CreativeWork", name=path.as_posix(), **known)

    def _inputs(self, path: Path, attributes: Mapping[str, Any]) -> list[Entity]:
        """Return what a job read: results of the run, or else files known by their checksum alone."""
        found = []
        for name, checksum in json.loads(attributes.get(INPUTS, "{}")).items():
            # Names of inputs are relative to the folder of the result.
            other = Path(os.path.normpath(PurePosixPath(path.parent.as_posix()) / name))
            if other in self._results:
                found.append(self._result(other))
            else:
                words = {"name": PurePosixPath(name).name, "identifier": f"sha256 of the content: {checksum}"}
                found.append(self.entity(f"#input/{checksum}", "CreativeWork", **words))
        return found
