"""The report's folder as an RO-Crate: a machine-readable record of the workflow, its run, and its files.

The crate follows the profiles Workflow Run Crate 0.5 and Provenance Run Crate 0.5
(https://w3id.org/ro/wfrun/workflow/0.5, https://w3id.org/ro/wfrun/provenance/0.5).
"""

from __future__ import annotations

import datetime
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.report import jobs
from dynamical_loss.report.captions import Caption
from dynamical_loss.results import checksums

_PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
_WORKFLOW = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]  # with steps it is a HowTo
_LICENCE = "https://spdx.org/licenses/MIT"
METADATA = "ro-crate-metadata.json"
"""Name of the file with the record."""


def write(
    folder: Path,
    title: str,
    description: str,
    results: Mapping[Path, Mapping[str, Any]],
    captions: Sequence[Caption],
    configuration: Path,
    workflow: Path,
    *,
    complete: bool,
) -> None:
    """Write the record of a folder; all files in the folder become parts of the crate.

    Args:
        folder: folder of the report, with all its files.
        title: name of the crate.
        description: what the crate shows, in a sentence.
        results: attributes of each result of the run, by its path in the folder of results.
        captions: captions of the figures in ``figures``.
        configuration: file in the folder with the settings in force.
        workflow: file in the folder with the workflow.
        complete: whether nothing is missing.
    """
    # The library takes half a second to import.
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")  # the version that the profile builds on
    crate.metadata.extra_terms |= {
        "sha256": "http://schema.org/sha256",
        "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    }
    crate.name, crate.description = title, description
    started, ended = _times(results.values())
    crate.datePublished = ended
    licence = crate.add(ContextEntity(crate, _LICENCE, {"@type": "CreativeWork", "name": "MIT License"}))
    crate.license = licence
    for profile in _PROFILES:
        name, version = profile.rsplit("/", 2)[1:]
        known = {"@type": "CreativeWork", "name": f"{name} run crate", "version": version}
        crate.root_dataset.append_to("conformsTo", crate.add(ContextEntity(crate, profile, known)))
    main = crate.add_workflow(
        folder / workflow,
        workflow.as_posix(),
        main=True,
        lang="snakemake",
        properties={"@type": _WORKFLOW, "license": _LICENCE},
    )
    main["name"] = "Dynamical loss functions: dataset, training, probes, analysis, figures and claims"
    described = {f"figures/{one.name}": one.alternative for one in captions}
    made = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative != workflow and path.name != METADATA and path.suffix != ".rst":
            made[relative] = crate.add_file(
                path, relative.as_posix(), properties=_properties(path, relative, described)
            )
    run = {
        "@type": "CreateAction",
        "name": f"Run of the workflow: {title}",
        "startTime": started,
        "endTime": ended,
        "actionStatus": f"http://schema.org/{'Completed' if complete else 'Active'}ActionStatus",
        "description": f"{len(results)} results were recorded.",
    }
    action = crate.add(ContextEntity(crate, "#run", run))
    action["instrument"] = main
    action["object"] = [made.pop(configuration)]
    action["result"] = list(made.values())
    crate.root_dataset["mentions"] = [action]
    jobs.add(crate, main, action, results)
    text = json.dumps(crate.metadata.generate(), indent=2, ensure_ascii=False)
    (folder / METADATA).write_text(text + "\n", encoding="utf-8")


def _properties(path: Path, relative: Path, described: Mapping[str, str]) -> dict[str, Any]:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    about = described.get(relative.with_suffix("").as_posix())
    return {
        "name": relative.as_posix(),
        "encodingFormat": kind,
        "contentSize": str(path.stat().st_size),
        "sha256": checksums.of_file(path),
        **({"description": about} if about else {}),
    }


def _times(results: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Return when the first job started and the last result was written, in ISO 8601."""
    spans = list(filter(None, map(jobs.span, results)))
    if not spans:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return now, now
    starts, ends = zip(*spans, strict=True)
    return min(starts).isoformat(timespec="seconds"), max(ends).isoformat(timespec="seconds")
