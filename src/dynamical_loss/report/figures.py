"""All figures of a study with their captions, by part of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamical_loss.figures.declaration import Part
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.pages.page import Link, Page, Picture, Section, Table
from dynamical_loss.report.captions import Caption

PARTS: Mapping[Part, str] = {
    "spiral": "The spiral (sections II and III of the paper)",
    "images": "Images (section II of the paper, its supplement and the talk)",
    "protocols": "What the numbers depend on",
    "flow": "Flows that follow gradient descent (arXiv 2302.01952)",
    "lazy": "Feature and lazy training (arXiv 1906.08034)",
}
"""Headings of the parts of the study; the categories of Snakemake's report have the same words."""


def label(figure: str) -> str:
    """Return the label of a figure.

    Examples:
        >>> label("figS1_hessian_modes")
        'Fig. S1'
    """
    return f"Fig. {figure.partition('_')[0].removeprefix('fig')}"


def render(captions: Sequence[Caption], missing: Mapping[str, str]) -> Page:
    """Build the page.

    Args:
        captions: caption of each figure that exists; its PDF and PNG lie in the folder ``figures``.
        missing: command that makes each figure that does not exist, by name.
    """
    sections = []
    for part, heading in PARTS.items():
        pictures = [
            Picture(
                caption.name,
                f"figures/{caption.name}.png",
                caption.alternative,
                [(label(caption.name), caption.title), *caption.facts, *_problem(caption)],
                [Link("PDF", f"figures/{caption.name}.pdf")],
            )
            for caption in captions
            if FIGURES[caption.name].part == part and caption.is_intact
        ]
        damaged = [
            f"{label(caption.name)}. {caption.problem}"
            for caption in captions
            if FIGURES[caption.name].part == part and not caption.is_intact
        ]
        if pictures or damaged:
            sections.append(Section(heading, damaged, pictures=pictures, wide=True))
    if missing:
        commands = [(label(name), line) for name, line in missing.items()]
        table = Table("Each command makes a figure that is missing.", ["Figure", "Command"], commands)
        sections.append(Section("Missing figures", tables=[table], wide=True))
    return Page(
        title="Figures",
        lead=["The words below a figure come from the files that the figure was made from."],
        sections=sections,
        links=[Link("Report", "index.html")],
    )


def _problem(caption: Caption) -> list[tuple[str, str]]:
    return [("problem", caption.problem)] if caption.problem else []
