"""The look that all figures share: sizes in print, colours, panel letters, and how they are saved.

The look is the same wherever a figure is drawn: nothing that a user has set for matplotlib counts.
"""

from __future__ import annotations

import importlib
import locale
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamical_loss.errors import UserError
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


BACKEND = "agg"
"""What draws: it needs no screen and is there wherever matplotlib is."""


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings for print: 7 pt text, thin lines, fonts embedded as outlines.

    All other settings are matplotlib's own defaults. Afterwards settings are what they were before; the
    backend stays `BACKEND`.

    Raises:
        UserError: if the user's file of settings cannot be read as text.
    """
    _import_matplotlib()
    mpl.use(BACKEND)
    defaults = _defaults()
    settings: dict[str, Any] = {
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
    with mpl.rc_context():
        _set({**defaults, **settings})
        yield


def _import_matplotlib() -> None:
    """Import matplotlib, if that has not been done, as if the environment asked it for nothing.

    An unknown backend in MPLBACKEND would fail the import, and a user's file of settings may ask for a locale
    that this machine does not have.

    Raises:
        UserError: if the user's file of settings cannot be read as text.
    """
    if "matplotlib.pyplot" in sys.modules:
        return
    before, numbers = dict(os.environ), locale.setlocale(locale.LC_ALL)
    for name in ("MPLBACKEND", "MATPLOTLIBRC"):
        os.environ.pop(name, None)
    os.environ["LC_ALL"] = "C"
    try:
        importlib.import_module("matplotlib")
        # Modules that are imported from here on see the defaults, should they keep what they see.
        _set(_defaults())
        mpl.use(BACKEND)
        importlib.import_module("matplotlib.pyplot")
    except UnicodeDecodeError as error:
        raise UserError(
            f"a matplotlibrc or a style sheet of matplotlib's is no text in UTF-8 ({error.reason}); "
            "it lies in this folder or in matplotlib's configuration folder; mend or remove it"
        ) from None
    finally:
        locale.setlocale(locale.LC_ALL, numbers)
        for name in ("MPLBACKEND", "MATPLOTLIBRC", "LC_ALL"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _defaults() -> dict[str, Any]:
    """Matplotlib's own value of every setting; `rcdefaults` would leave out some."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
        own: Any = mpl.rcParamsDefault  # the types of matplotlib name every setting
        return {**own, "backend": BACKEND}


def _set(settings: dict[str, Any]) -> None:
    """Give every setting of matplotlib its value.

    Raises:
        RuntimeError: if one is left as it was found.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
        present: Any = mpl.rcParams
        present.update(settings)
        left = sorted(present.keys() - settings.keys())
        left += [name for name, value in settings.items() if present[name] != value]
    if left:
        raise RuntimeError(f"matplotlib did not take the setting '{left[0]}'")


def panel_letters(axes: Iterable[Axes], first: str = "a") -> None:
    """Write (a), (b), … above the upper left corner of each panel."""
    for offset, axis in enumerate(axes):
        letter = f"({chr(ord(first) + offset)})"
        axis.set_title(letter, loc="left", fontweight="bold", fontsize=7, pad=3)


def in_lines(words: Iterable[str], most: int) -> str:
    """Parts of a title with commas between, in lines of so many characters unless one part is longer."""
    lines: list[str] = []
    for part in filter(None, words):
        if lines and len(lines[-1]) + len(part) + 2 <= most:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return ",\n".join(lines)


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


def save(figure: Figure, paths: Iterable[Path]) -> None:
    """Write the figure whole or not at all, in the formats of the paths' suffixes.

    Dates are left out of the files, so that the same figure gives the same bytes.
    """
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
