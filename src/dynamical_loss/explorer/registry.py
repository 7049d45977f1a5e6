"""All pages of a configuration: their files, and how they refer to one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamical_loss.config.analysis import require_analysable
from dynamical_loss.config.runs import threshold_runs, trajectory_runs
from dynamical_loss.config.study import Config
from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.results import layout

KINDS = ("phase", "run", "threshold")
"""Kinds of pages; each is a module of this package with `ROLES`, `MADE_FROM` and `render`."""


@dataclass(frozen=True)
class Entry:
    """A page that a configuration has.

    Attributes:
        kind: kind of the page, one of `KINDS`.
        name: name of the study or the run; the page is ``<kind>/<name>.html``.
        inputs: files by role that the page needs, as paths relative to the folder of results.
        optional: files by role that the page shows too; published results may lack them.
        related: pages that this page refers to, by the option of `render` that names them and by the words of
            the reference.
        options: further options of `render`.
    """

    kind: str
    name: str
    inputs: Mapping[str, list[str]]
    optional: Mapping[str, list[str]] = field(default_factory=dict)
    related: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Path of the page without suffix, relative to the folder of all pages."""
        return f"{self.kind}/{self.name}"


def pages(config: Config) -> dict[str, Entry]:
    """Return all pages of a configuration, by their paths without suffix."""
    return {entry.path: entry for entry in (*_phases(config), *_thresholds(config), *_runs(config))}


def _phases(config: Config) -> Iterator[Entry]:
    studies = {name: _width(study) for name, study in config.phase.items()}
    for name, (width, rest) in studies.items():
        others = {
            f"{other} ({key})": f"phase/{key}"
            for key, (other, others_rest) in studies.items()
            if None not in (width, other) and other != width and others_rest == rest
        }
        related = {"widths": others} if others else {}
        yield Entry("phase", name, {"phase": [layout.phase(name)]}, related=related)


def _width(study: PhaseSettings) -> tuple[int | None, dict[str, Any]]:
    """Return the width of a study's network, None if it has none, and all other settings of the training."""
    training = study.training.model_dump()
    return training["model"].pop("width", None), training


def _thresholds(config: Config) -> Iterator[Entry]:
    runs = threshold_runs(config)
    for name in config.threshold:
        own = {run: f"run/{run}" for run, one in runs.items() if one.study == name}
        for reading in (None, *config.readings):
            yield Entry(
                "threshold",
                name if reading is None else f"{reading}-{name}",
                {"threshold": [layout.threshold(name, reading)]},
                related={"runs": own},
                options={"study": name},
            )


def _runs(config: Config) -> Iterator[Entry]:
    for name, run in (trajectory_runs(config) | threshold_runs(config)).items():
        optional = {"spectrum": [layout.spectrum(name)]}
        try:
            require_analysable(name, run.training, run.probes.hessian.losses)
        except ValueError:
            pass  # along such a run no instabilities can be found, so there is no file of them
        else:
            optional["instabilities"] = [layout.instabilities(name)]
        others = {str(seed): f"run/{other}" for seed, other in enumerate(run.alike) if other != name}
        related = {"seeds": others} if others else {}
        yield Entry("run", name, {"trajectory": [layout.trajectory(name)]}, optional, related)
