"""Look through trees of results for what is damaged, unreadable, foreign, stale or unfinished.

A result is stale when one of its inputs states another checksum than the one it was made from, or when the
code of its stage has changed since.  What was made from a stale result is not stale for that alone: where
the result comes out with equal numbers again, nothing after it need be made anew.

Published copies can only be damaged: they were made elsewhere, from files that are not kept, by the commit
that they name.
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

# Names that `files.atomic_path` gives, and training to its checkpoints.
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
    """Something about a file that its owner should know.

    Attributes:
        path: the file.
        kind: an unfinished file is left over from a run that was stopped, and harmless.
        problem: one line that names the file and what was noticed; a `ResultError` where the pipeline can
            make the file anew, and else with what to do about it.
    """

    path: Path
    kind: Kind
    problem: UserError


@dataclass(frozen=True)
class Report:
    """What was looked at and found.

    Attributes:
        results: how many results were compared with their checksums; pictures of one figure are one.
        published: how many of them are published copies.
        findings: in the order of folders and names.
        files: all files that a job has made, pictures and links included.
        made_from: what they name as their inputs, if it lies elsewhere.
    """

    results: int
    published: int
    findings: tuple[Finding, ...]
    files: tuple[Path, ...] = field(default=(), compare=False)
    made_from: frozenset[Path] = field(default=frozenset(), compare=False)

    @property
    def failed(self) -> bool:
        """Whether there is anything that cannot be relied on."""
        return any(finding.kind != "unfinished" for finding in self.findings)


def examine(folders: Iterable[Path]) -> Report:
    """Check every file below `folders`; links are not followed, but for those into a cache of Snakemake.

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
                message = f"{path} is no kind of file that the pipeline makes; move it elsewhere"
                findings.append(Finding(path, "foreign", UserError(message)))
        for failure in unreadable:
            message = (
                f"{failure.filename} cannot be looked into ({failure.strerror}); mend its permissions or disk"
            )
            findings.append(Finding(Path(failure.filename), "unreadable", UserError(message)))
    return Report(results, published, tuple(findings), tuple(files), frozenset(made_from.difference(files)))


def _files(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    """All files below a folder, and links to folders; why some could not be listed."""
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(set(folders).difference(links))
        yield from sorted(Path(parent, name) for name in (*names, *links))


def _is_cached(path: Path) -> bool:
    """Whether a link leads to an entry of Snakemake's cache, which is then checked in its place."""
    return path.is_file() and _CACHED.fullmatch(path.resolve().name) is not None


def _link(path: Path, folder: Path) -> Iterator[Finding]:
    """A link within the folder leads to what is checked anyway."""
    target = path.resolve()
    if not (target.exists() and target.is_relative_to(folder.resolve())):
        message = f"{path} is a link out of {folder}; verify {target} by its own name"
        yield Finding(path, "foreign", UserError(message))


def _leftover(path: Path) -> Iterator[Finding]:
    """Hidden files are never read as results; of those that are not the pipeline's nothing is said."""
    if _TEMPORARY.fullmatch(path.name):
        message = f"{path} was left by a job that was killed; once nothing runs: rm {shlex.quote(str(path))}"
        yield Finding(path, "unfinished", UserError(message))
    elif _CHECKPOINT.fullmatch(path.name):
        output = path.with_name(path.name.removeprefix(".").replace(".checkpoint", ""))
        rest = (
            f"is of no use any more, as {output.name} is there: rm {shlex.quote(str(path))}"
            if output.exists()
            else f"is half a training; make {output} with snakemake to go on from it, or remove it"
        )
        yield Finding(path, "unfinished", UserError(f"{path} {rest}"))


def _without_sidecar(path: Path) -> Iterator[Finding]:
    beside = sidecars.beside(path)
    try:
        named = beside.is_file() and path.name in sidecars.read(beside)[sidecars.FILES]
    except UserError:
        return  # told of the sidecar itself
    if not named:
        message = (
            f"{path} is not named by a {beside.name}; it was made by another program or an older version"
        )
        yield Finding(path, "foreign", ResultError(message, path))


def _stale(path: Path, attributes: Mapping[Any, Any]) -> Iterator[Finding]:
    """The first reason why a whole file would come out otherwise today.

    Raises:
        UserError: if its provenance is not that of this package, or what it was made from cannot be read.
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
    # The stage; of a figure, its own module, which follows the one that renders it.
    maker = next((module for module in modules if module.startswith(_FIGURES)), modules[0])
    try:
        same = code_of(attributes).digest == attributes.get("code_digest")
    except ValueError:
        return f"was made by {maker}, or by a module that it used, which is gone"
    return "" if same else f"was made by other code than {maker} runs now"


def _other_inputs(path: Path, attributes: Mapping[Any, Any]) -> str:
    for made_from, checksum in _made_from(path, attributes).items():
        try:
            present = netcdf.checksum(made_from)
        except ResultError:
            state = "damaged" if os.path.exists(made_from) else "gone"
            return f"was made from {made_from}, which is {state}"
        if present != checksum:
            return f"was made from {made_from}, whose content has changed"
    return ""


def _made_from(path: Path, attributes: Mapping[Any, Any]) -> dict[Path, str]:
    """Checksums of what a result was made from, by path; of a published copy nothing is kept."""
    if recorded.PUBLISHED in attributes:
        return {}
    return {
        Path(os.path.normpath(path.parent / name)): checksum
        for name, checksum in recorded.recorded(attributes, recorded.INPUTS, path).items()
    }
