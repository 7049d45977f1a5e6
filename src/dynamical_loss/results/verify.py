"""Search trees of results for files that are damaged, unreadable, foreign, stale or unfinished.

A result is stale if an input now has another checksum than when the result was made, or if the code of its
stage has changed since.  A result made from a stale result is not stale for that reason alone: if the re-run
gives equal numbers, nothing after it needs to be recomputed.

Published copies are only checked for damage.  They were made elsewhere, from files that are not kept, by the
commit that they name.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dynamical_loss.errors import ResultError, UnknownOriginError, UnreadableError, UserError
from dynamical_loss.results import netcdf, recorded, sidecars
from dynamical_loss.results.record import code_of

Kind = Literal["damaged", "unreadable", "foreign", "stale", "unfinished"]

# Names of temporary files of `files.atomic_path`, of entries in a cache of Snakemake, and of checkpoints.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.(nc|csv|json|pdf|png)")
_CACHED = re.compile(r"[0-9a-f]{64}(_\w+)?\.(nc|csv|json|pdf|png)")
_CHECKPOINT = re.compile(r"\..+\.checkpoint\.nc")
_SOURCE = re.compile(r"dynamical_loss\.stages\.\w+(, dynamical_loss(\.\w+)+)*")
_FIGURES = "dynamical_loss.figures."
_WITH_SIDECAR = (".csv", ".pdf", ".png")
_SUFFIXES = (".nc", ".json", *_WITH_SIDECAR)
_DOCUMENTS = ("README.md",)


@dataclass(frozen=True)
class Finding:
    """Problem with a file that its owner should know.

    Attributes:
        path: the file.
        kind: kind of problem; an ``unfinished`` file is a harmless remainder of a run that was stopped.
        problem: one line that names the file and the problem; a `ResultError` if the pipeline can make the
            file again, else an error that says what to do.
    """

    path: Path
    kind: Kind
    problem: UserError


@dataclass(frozen=True)
class Report:
    """Results that were examined, and problems that were found.

    Attributes:
        results: number of results that were compared with their checksums; all pictures of one figure count
            as one result.
        published: number of published copies among the results.
        findings: problems, in the order of folders and names.
        files: all files that a job has made, including pictures and links.
        made_from: inputs that these files name and that lie outside the examined folders.
    """

    results: int
    published: int
    findings: tuple[Finding, ...]
    files: tuple[Path, ...] = field(default=(), compare=False)
    made_from: frozenset[Path] = field(default=frozenset(), compare=False)

    @property
    def failed(self) -> bool:
        """Whether a problem was found that makes a file unreliable."""
        return any(finding.kind != "unfinished" for finding in self.findings)


def examine(folders: Iterable[Path]) -> Report:
    """Check every file below `folders`; only links into a cache of Snakemake are followed.

    Raises:
        UserError: if one of `folders` does not exist.
    """
    results = published = 0
    findings: list[Finding] = []
    files: list[Path] = []
    made_from: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}; name one that holds results")
        unreadable: list[OSError] = []
        for path in _files(folder, unreadable):
            if not path.name.startswith(".") and path.suffix in _SUFFIXES:
                files.append(path)
            if path.is_symlink() and not _is_cached(path):
                findings += _link(path, folder)
            elif path.name.startswith("."):
                findings += _leftover(path)
            elif path.suffix in (".nc", ".json"):
                results += 1
                try:
                    attributes = netcdf.read(path).attrs if path.suffix == ".nc" else sidecars.read(path)
                    published += recorded.PUBLISHED in attributes
                    findings += _stale(path, attributes)
                    made_from.update(_made_from(path, attributes))
                except UnknownOriginError as error:
                    findings.append(Finding(path, "foreign", error))
                except UnreadableError as error:
                    findings.append(Finding(path, "unreadable", error))
                except UserError as error:
                    findings.append(Finding(path, "damaged", error))
            elif path.suffix in _WITH_SIDECAR:
                findings += _without_sidecar(path)
            elif path.name not in _DOCUMENTS:
                message = f"{path} is not a kind of file that the pipeline makes; move it elsewhere"
                findings.append(Finding(path, "foreign", UserError(message)))
        for failure in unreadable:
            message = f"{failure.filename} cannot be read ({failure.strerror}); mend its permissions or disk"
            findings.append(Finding(Path(failure.filename), "unreadable", UserError(message)))
    return Report(results, published, tuple(findings), tuple(files), frozenset(made_from.difference(files)))


def _files(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    """Yield all files below a folder, and links to folders; add errors of listing to `unreadable`."""
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(set(folders).difference(links))
        yield from sorted(Path(parent, name) for name in (*names, *links))


def _is_cached(path: Path) -> bool:
    """Return whether a link leads to an entry of Snakemake's cache, which is then checked in its place."""
    return path.is_file() and _CACHED.fullmatch(path.resolve().name) is not None


def _link(path: Path, folder: Path) -> Iterator[Finding]:
    """Yield a finding for a link that leads out of the folder; other targets are checked anyway."""
    target = path.resolve()
    if not (target.exists() and target.is_relative_to(folder.resolve())):
        message = f"{path} is a link to a file outside {folder}; verify {target} instead"
        yield Finding(path, "foreign", UserError(message))


def _leftover(path: Path) -> Iterator[Finding]:
    """Yield a finding for a hidden file that the pipeline left behind; other hidden files are ignored."""
    if _TEMPORARY.fullmatch(path.name):
        message = f"{path} was left by a killed job; remove it when no job runs: rm {shlex.quote(str(path))}"
        yield Finding(path, "unfinished", UserError(message))
    elif _CHECKPOINT.fullmatch(path.name):
        output = path.with_name(path.name.removeprefix(".").replace(".checkpoint", ""))
        rest = (
            f"is no longer needed, because {output.name} exists: rm {shlex.quote(str(path))}"
            if output.exists()
            else f"is an unfinished training; make {output} with snakemake to resume it, or remove it"
        )
        yield Finding(path, "unfinished", UserError(f"{path} {rest}"))


def _without_sidecar(path: Path) -> Iterator[Finding]:
    beside = sidecars.beside(path)
    try:
        named = beside.is_file() and path.name in sidecars.read(beside)[sidecars.FILES]
    except UserError:
        return  # the sidecar has a finding of its own
    if not named:
        message = (
            f"{path} is not named in a file {beside.name}; it was made by another program or an older version"
        )
        yield Finding(path, "foreign", ResultError(message, path))


def _stale(path: Path, attributes: Mapping[Any, Any]) -> Iterator[Finding]:
    """Yield the first reason why an undamaged file would come out differently if it were made now.

    Raises:
        UserError: if this package did not make the file, or one of its inputs cannot be read.
    """
    source = str(attributes.get("source", ""))
    if not _SOURCE.fullmatch(source):
        raise UnknownOriginError(f"{path} was not made by this package", path)
    if recorded.PUBLISHED in attributes:
        return
    reason = _other_code(source, attributes) or _other_inputs(path, attributes)
    if reason:
        yield Finding(path, "stale", ResultError(f"{path} {reason}", path))


def _other_code(source: str, attributes: Mapping[Any, Any]) -> str:
    modules = source.split(", ")
    # The module of the stage; for a figure, the figure's module, which follows the module of the stage.
    maker = next((module for module in modules if module.startswith(_FIGURES)), modules[0])
    try:
        same = code_of(attributes).digest == attributes.get("code_digest")
    except ValueError:
        return f"was made by {maker}, and that module or one that it used no longer exists"
    return "" if same else f"was made by other code than the present code of {maker}"


def _other_inputs(path: Path, attributes: Mapping[Any, Any]) -> str:
    for made_from, checksum in _made_from(path, attributes).items():
        try:
            present = (netcdf if made_from.suffix == ".nc" else sidecars).checksum(made_from)
        except ResultError:
            state = "damaged" if os.path.exists(made_from) else "gone"
            return f"was made from {made_from}, which is {state}"
        if present != checksum:
            return f"was made from {made_from}, whose content has changed"
    return ""


def _made_from(path: Path, attributes: Mapping[Any, Any]) -> dict[Path, str]:
    """Return the checksums of a result's inputs by path; inputs of a published copy are not kept."""
    if recorded.PUBLISHED in attributes:
        return {}
    return {
        Path(os.path.normpath(path.parent / name)): checksum
        for name, checksum in recorded.recorded(attributes, recorded.INPUTS, path).items()
    }
