"""One HTML file that needs no network: text, tables, controls and linked Bokeh plots."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dynamical_loss.errors import UserError

if TYPE_CHECKING:
    from bokeh.model import Model

LARGEST = 15 * 2**20
"""Largest size of a page, bytes."""


@dataclass(frozen=True)
class Key:
    """An entry of the legend above a plot.

    Attributes:
        words: what the line shows.
        colour: colour of the line, e.g. ``#2b83d3``.
        dash: ``solid``, ``dashed`` or ``dotted``.
    """

    words: str
    colour: str
    dash: str = "solid"


@dataclass(frozen=True)
class Plot:
    """A Bokeh plot of a page.

    Attributes:
        name: identifier of the plot in the page, letters and dashes.
        model: the plot.
        description: what the plot shows, for readers who cannot see it; computed from the data.
        legend: lines to explain above the plot. Bokeh's own legend would be drawn anew at each move.
    """

    name: str
    model: Model
    description: str
    legend: Sequence[Key] = ()


@dataclass(frozen=True)
class Choice:
    """A list from which the reader chooses one item.

    Attributes:
        name: identifier of the list in the page.
        label: words beside the list.
        items: pairs of value and text.
        chosen: value that is chosen at first.
        opens: whether the values are addresses of other pages, which open when they are chosen.
    """

    name: str
    label: str
    items: Sequence[tuple[str, str]]
    chosen: str = ""
    opens: bool = False


@dataclass(frozen=True)
class Button:
    """A button.

    Attributes:
        name: identifier of the button in the page.
        text: words on the button.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Link:
    """A link to another page or file.

    Attributes:
        text: words of the link.
        target: address relative to the page.
    """

    text: str
    target: str


Cell = str | Link | Sequence[str | Link]
"""Cell of a table: text, a link, or several of them."""


@dataclass(frozen=True)
class Table:
    """A table with header cells.

    Attributes:
        caption: what the table shows.
        columns: headers of the columns.
        rows: cells of each row.  The first cell is the header of the row.
        identifiers: identifier of each row, so that an address can point to the row; may be empty.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    identifiers: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture that lies in a file beside the page.

    Attributes:
        name: identifier of the picture in the page.
        source: address of the file relative to the page.
        alternative: what the picture shows, for readers who cannot see it.
        facts: pairs of words and values below the picture.
        links: links below the picture.
    """

    name: str
    source: str
    alternative: str
    facts: Sequence[tuple[str, str]] = ()
    links: Sequence[Link] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: heading; empty: no heading.
        text: paragraphs.
        plots: plots, one below the other.
        pictures: pictures with their facts.
        tables: tables.
        links: list of links.
        blocks: text that keeps its lines, such as code.
        details: identifiers of elements whose text the page's script fills in.
        wide: whether the section has the whole width of the page.
        name: identifier of the section, so that an address can point to it; may be empty.
    """

    title: str = ""
    text: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    links: Sequence[Link] = ()
    blocks: Sequence[str] = ()
    details: Sequence[str] = ()
    wide: bool = False
    name: str = ""


@dataclass(frozen=True)
class Page:
    """A page before it is written.

    Attributes:
        title: heading of the page.
        lead: first paragraphs.
        sections: parts of the page.
        controls: choices and buttons above the plots.
        links: links of the navigation.
        script: name of the page's own script: a module whose folder holds a file of the same name with the
            suffix ``.js``; empty: none.
        arguments: what the script's function in ``window.explorer``, which has the name of the module, is
            called with: plots, data sources, texts and numbers.
        facts: how the data were made, as pairs of words and value.
    """

    title: str
    lead: Sequence[str]
    sections: Sequence[Section]
    controls: Sequence[Choice | Button] = ()
    links: Sequence[Link] = ()
    script: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    facts: Sequence[tuple[str, str]] = ()


def html(page: Page) -> str:
    """Return a page as the text of an HTML file.

    All text is escaped, so a name with ``<script>`` in it appears as text.

    Raises:
        UserError: if the page is larger than `LARGEST`.
    """
    # Jinja and Bokeh take a second to import, and the rules of the workflow are read without them.
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(beside(__name__, ".html"))
    plots = [plot for section in page.sections for plot in section.plots]
    library, start, places = _embedded(page, plots) if plots else ("", "", {})
    own = [__name__, *([page.script] if page.script else [])] if page.controls else []
    text = template.render(
        page=page,
        places=places,
        style=Markup(beside(__name__, ".css")),
        library=Markup(library),
        own=Markup("\n".join(beside(module, ".js") for module in own)),
        start=Markup(start),
        parts_of=lambda cell: [cell] if isinstance(cell, str | Link) else cell,
        is_link=lambda part: isinstance(part, Link),
        is_choice=lambda control: isinstance(control, Choice),
    )
    size = len(text.encode())
    if size > LARGEST:
        raise UserError(
            f"the page '{page.title}' would have {size / 2**20:.0f} MiB, and a page has at most "
            f"{LARGEST // 2**20}; take a study with fewer steps or fewer cells"
        )
    return text


def beside(module: str, suffix: str) -> str:
    """Return the text of the file that has a module's name and another suffix."""
    package, _, name = module.rpartition(".")
    return importlib.resources.files(package).joinpath(name + suffix).read_text(encoding="utf-8")


def _embedded(page: Page, plots: Sequence[Plot]) -> tuple[str, str, dict[str, Any]]:
    """Return the elements with BokehJS and with the plots, and the place of each plot by its name."""
    from bokeh.document import Document
    from bokeh.embed import components
    from bokeh.events import DocumentReady
    from bokeh.models import CustomJS
    from bokeh.resources import Resources

    document = Document(title=page.title)
    for plot in plots:
        document.add_root(plot.model)
    if page.script:
        names = ", ".join(page.arguments)
        function = page.script.rpartition(".")[2]
        started = CustomJS(args=dict(page.arguments), code=f"window.explorer.{function}({{{names}}})")
        document.js_on_event(DocumentReady, started)
    start, places = components({plot.name: plot.model for plot in plots}, wrap_plot_info=False)
    # The controls are elements of HTML, so BokehJS is needed without its own widgets.
    return Resources(mode="inline", components=["bokeh"]).render_js(), start, places
