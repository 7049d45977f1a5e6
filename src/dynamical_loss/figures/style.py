"""The look that all figures share: sizes in print, colours, panel letters, and how they are saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dynamical_loss.figures.deferred import mlines, mpl, sns
from dynamical_loss.results.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.35
"""Width of one column of the paper, inches."""

PAGE = 6.9
"""Width of the whole page, inches."""

_HEADER_CHARACTERS = 112  # that fit on the page at the header's size

CLASS_COLOURS = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#ca9161",
    "#fbafe4",
    "#949494",
    "#ece133",
    "#56b4e9",
)
"""Seaborn's palette "colorblind"."""

TRAIN_COLOUR, VALIDATION_COLOUR = CLASS_COLOURS[0], CLASS_COLOURS[1]
START_COLOUR, FINISH_COLOUR = "#2a9d4a", "#c8323c"
THEORY_COLOUR, MEASURED_COLOUR = "#555555", "#7b2d8b"


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings for print: 7 pt text, thin lines, fonts embedded as outlines."""
    settings = {
        **sns.axes_style("ticks"),
        "font.size": 7,
        "axes.titlesize": 7,
        "axes.labelsize": 7,
        "xtick.labelsize": 6,
        "ytick.labelsize": 6,
        "legend.fontsize": 6,
        "legend.frameon": False,
        "axes.linewidth": 0.6,
        "lines.linewidth": 0.8,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.minor.size": 1.5,
        "ytick.minor.size": 1.5,
        "pdf.fonttype": 42,
        "savefig.dpi": 300,
        "figure.constrained_layout.use": True,
        "font.sans-serif": ["DejaVu Sans"],
    }
    with mpl.rc_context(settings):
        yield


def panel_letters(axes: Iterable[Axes], first: str = "a") -> None:
    """Write (a), (b), … above the upper left corner of each panel."""
    for offset, axis in enumerate(axes):
        letter = f"({chr(ord(first) + offset)})"
        axis.set_title(letter, loc="left", fontweight="bold", fontsize=7, pad=3)


def header(figure: Figure, text: str) -> None:
    """Write lines above all panels of a page's width, the first in bold and long ones broken at semicolons.

    A legend without entries, because it is the one kind of text that the layout makes room for beside
    other legends and panel letters.
    """
    lines: list[str] = []
    for whole in text.split("\n"):
        lines.append("")
        for piece in whole.split("; "):
            if lines[-1] and len(lines[-1]) + len(piece) > _HEADER_CHARACTERS:
                lines[-1] += ";"
                lines.append("")
            lines[-1] += f"; {piece}" if lines[-1] else piece
    first, *others = lines
    legend = figure.legend(
        [mlines.Line2D([], [], linestyle="none")] if others else [],
        ["\n".join(others)] if others else [],
        title=first,
        title_fontproperties={"weight": "bold", "size": 7},
        loc="outside upper center",
        handlelength=0,
        handletextpad=0,
        borderpad=0,
        fontsize=7,
    )
    for block in legend.get_texts():
        block.set_multialignment("center")


def plain_number(value: float, _: object = None) -> str:
    """A tick label without powers of ten: 12 345 with a thin space, 0.05 and −3 as they are."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")
    return f"{value:g}".replace("-", "−")


def save(figure: Figure, paths: Iterable[Path]) -> None:
    """Write the figure whole or not at all, in the formats of the paths' suffixes.

    Dates are left out of the files, so that the same figure gives the same bytes.
    """
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
