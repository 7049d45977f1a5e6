"""Build the report: a folder of pages about a study, which opens offline."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dynamical_loss.errors import UserError
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.pages import page
from dynamical_loss.pages.page import Link, Page, Section
from dynamical_loss.remedies import remedy
from dynamical_loss.report import captions, card, claims, crate, front, times
from dynamical_loss.report import figures as figures_page
from dynamical_loss.results import digest, headers, sidecars


@dataclasses.dataclass(frozen=True)
class Sources:
    """What a report is made from.

    Attributes:
        scale: what is shown, in words.
        figures: PNG files of figures, each with its PDF and its sidecar beside it.
        results: folder of results; all results in it are counted.
        claims: tables of claims (CSV); there may be none.
        summary: PDF of the summary; there may be none.
        pages: pages of the explorer, with the list of all pages, ``index.html``; there may be none.
        configuration: all settings in force.
        locks: lock files of the packages.
        citation: citation file.
        workflow: file of the workflow.
        missing: commands that make what is missing, by what it is.
    """

    scale: str
    figures: Sequence[Path]
    results: Path
    claims: Sequence[Path]
    summary: Sequence[Path]
    pages: Sequence[Path]
    configuration: Mapping[str, Any]
    locks: Sequence[Path]
    citation: Path
    workflow: Path
    missing: Mapping[str, str]


def run(sources: Sources, output: Path) -> None:
    """Write the report into a folder; the folder appears only when it is complete.

    Raises:
        UserError: if a table of claims is damaged, or `output` is a file or holds other files than a report.
    """
    output = output.resolve()
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file; name a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / crate.METADATA).is_file():
        raise UserError(f"--output {output} holds other files than a report; name a new or empty folder")
    unfinished = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _fill(sources, unfinished)
    shutil.rmtree(output, ignore_errors=True)
    unfinished.replace(output)


def _fill(sources: Sources, folder: Path) -> None:
    found, unusable = _attributes(sources.results)
    rows = [row for path in sources.claims for row in _claims(path)]
    costs = times.costs(found.values())
    described = [captions.caption(picture) for picture in sources.figures]
    intact = {one.name for one in described if one.is_intact}
    _copy_figures([path for path in sources.figures if path.stem in intact], folder / "figures")
    missing = {**sources.missing, **unusable}
    commands = {name: command for name, command in sources.missing.items() if name in FIGURES}
    pages: dict[str, tuple[str, Page]] = {
        "figures": ("Figures", figures_page.render(described, commands)),
        "card": ("Reproducibility card", card.render(
            list(found.values()), costs, _locked(sources.locks), _text(sources.citation)
        )),
        "times": ("Run times and memory", times.render(costs)),
        "configuration": ("Configuration", _configuration(sources.configuration)),
    }  # fmt: skip
    if rows:
        addresses = {one.name: f"figures.html#{one.name}" for one in described}
        pages = {"claims": ("Claims", claims.render(rows, addresses, _addresses(sources.pages))), **pages}
    listed = {title: f"{name}.html" for name, (title, _) in pages.items()}
    if sources.pages:
        _copy_pages(sources.pages, folder / "explorer")
        listed["Explorer: phase diagrams, runs and thresholds"] = "explorer/index.html"
    for words, paths in (("Table of claims", sources.claims), ("Summary as a PDF", sources.summary)):
        for path in paths:
            shutil.copyfile(path, folder / path.name)
            listed[f"{words} ({path.name})"] = path.name
    listed["Record for machines (RO-Crate)"] = crate.METADATA
    pages["index"] = ("Report", front.render(sources.scale, rows, listed, missing))
    for name, (_, made) in pages.items():
        (folder / f"{name}.html").write_text(page.html(made), encoding="utf-8")
    (folder / "captions").mkdir()
    for one in described:
        (folder / "captions" / f"{one.name}.rst").write_text(one.restructured, encoding="utf-8")
    if rows:
        (folder / "captions" / "front.rst").write_text(front.restructured(rows), encoding="utf-8")
    results = {path.relative_to(sources.results): attributes for path, attributes in found.items()}
    _describe(sources, folder, results, described, complete=not missing)


def _describe(
    sources: Sources,
    folder: Path,
    results: Mapping[Path, Mapping[str, Any]],
    described: Sequence[captions.Caption],
    *,
    complete: bool,
) -> None:
    """Write the RO-Crate of the folder, with the workflow and the settings that it names."""
    shutil.copyfile(sources.workflow, folder / "Snakefile")
    settings = Path("configuration.yaml")
    (folder / settings).write_text(_yaml(sources.configuration), encoding="utf-8")
    title = f"Dynamical loss functions: {sources.scale}"
    summary = "Figures, claims and runs of a pipeline that reproduces dynamical loss functions (ICML 2021)."
    crate.write(folder, title, summary, results, described, settings, Path("Snakefile"), complete=complete)


def _attributes(folder: Path) -> tuple[dict[Path, dict[str, Any]], dict[str, str]]:
    """Return the attributes of all results in a folder, and the remedies of those that cannot be used."""
    found, unusable = {}, {}
    for path in _results(folder):
        try:
            found[path] = headers.of_result(path)
        except captions.UNUSABLE as error:
            unusable[str(error)] = remedy(path)
    return found, unusable


def _results(folder: Path) -> Iterator[Path]:
    """Yield all finished results, one file of each job; unfinished ones have names that begin with a dot."""
    files = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    yield from (path for path in files if path.suffix == ".nc")
    tables = (path for path in files if path.suffix == ".csv" and sidecars.beside(path).is_file())
    # The table of protocols and its NetCDF file come from one job.
    yield from (path for path in tables if not path.with_suffix(".nc").is_file())


def _claims(path: Path) -> list[claims.Row]:
    sidecars.read(sidecars.beside(path))  # compares the table with its checksum
    return claims.read(path)


def _common(pages: Sequence[Path]) -> Path:
    """Return the folder of the list of all pages, below which the pages lie."""
    return next(path.parent for path in pages if path.name == "index.html")


def _addresses(pages: Sequence[Path]) -> dict[str, str]:
    """Return the address of each page of the explorer in the report, by kind and name."""
    paths = [path.relative_to(_common(pages)) for path in pages]
    return {path.with_suffix("").as_posix(): f"explorer/{path.as_posix()}" for path in paths}


def _copy_pages(pages: Sequence[Path], folder: Path) -> None:
    for path in pages:
        target = folder / path.relative_to(_common(pages))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _copy_figures(pictures: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for picture in pictures:
        for path in (picture, picture.with_suffix(".pdf")):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)


def _locked(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Return the different versions of each package in the lock files."""
    versions: dict[str, list[str]] = {}
    for path in paths:
        for package, version in digest.pins(path).items():
            if version not in versions.setdefault(package, []):
                versions[package].append(version)
    return versions


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _configuration(settings: Mapping[str, Any]) -> Page:
    text = _yaml(settings)
    return Page(
        title="Configuration",
        lead=["All settings in force, with the overlays merged."],
        sections=[Section(blocks=[text], wide=True)],
        links=[Link("Report", "index.html")],
    )


def _yaml(settings: Mapping[str, Any]) -> str:
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
