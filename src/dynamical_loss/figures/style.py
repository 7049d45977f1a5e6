"""Style that all figures share: sizes in print, colours, panel letters, and the way figures are saved.

The style is the same on every machine: a user's own settings of matplotlib have no effect.
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

_HEADER_CHARACTERS = 112  # number of characters that fit on a line of the page, in the header's font size

TEXT, SMALL = 8, 7
"""Font sizes, points: of titles and labels of axes, and of all other text, which is never smaller."""

FONT = "STIXGeneral"
"""A face like that of the journal's text; it comes with matplotlib. At 7 points it takes no more room than a
sans-serif face at 6."""

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
"""Backend of matplotlib: it needs no screen and comes with every installation of matplotlib."""


@contextmanager
def style() -> Iterator[None]:
    """Apply settings of matplotlib for print: text of 7 and 8 points, thin lines, fonts embedded as outlines.

    All other settings are matplotlib's own defaults. On leaving the context, all settings are restored except
    the backend, which stays `BACKEND`.

    Raises:
        UserError: if the user's file of settings cannot be read as text.
    """
    _import_matplotlib()
    mpl.use(BACKEND)
    defaults = _defaults()
    settings: dict[str, Any] = {
        **sns.axes_style("ticks"),
        "font.family": [FONT],
        "mathtext.fontset": "stix",
        "font.size": TEXT,
        "axes.titlesize": TEXT,
        "axes.labelsize": TEXT,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "legend.title_fontsize": SMALL,
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
    }
    with mpl.rc_context():
        _set({**defaults, **settings})
        yield


def _import_matplotlib() -> None:
    """Import matplotlib, unless it is imported already, without its environment variables.

    With an unknown backend in MPLBACKEND the import would fail, and a user's file of settings may ask for a
    locale that the machine does not have.

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
        # Modules that are imported from here on may copy settings, and must then copy the defaults.
        _set(_defaults())
        mpl.use(BACKEND)
        importlib.import_module("matplotlib.pyplot")
    except UnicodeDecodeError as error:
        raise UserError(
            f"a matplotlibrc or a style sheet of matplotlib is not valid UTF-8 text ({error.reason}); "
            "it lies in this folder or in matplotlib's configuration folder; correct or remove it"
        ) from None
    finally:
        locale.setlocale(locale.LC_ALL, numbers)
        for name in ("MPLBACKEND", "MATPLOTLIBRC", "LC_ALL"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def _defaults() -> dict[str, Any]:
    """Return matplotlib's own default of every setting; `rcdefaults` would leave some settings out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
        own: Any = mpl.rcParamsDefault  # typed as Any, because matplotlib's type names every setting
        return {**own, "backend": BACKEND}


def _set(settings: dict[str, Any]) -> None:
    """Set every setting of matplotlib.

    Raises:
        RuntimeError: if a setting was not given, or did not take its value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mpl.MatplotlibDeprecationWarning)
        present: Any = mpl.rcParams
        present.update(settings)
        left = sorted(present.keys() - settings.keys())
        left += [name for name, value in settings.items() if present[name] != value]
    if left:
        raise RuntimeError(f"matplotlib did not accept the setting '{left[0]}'")


def panel_letters(axes: Iterable[Axes], first: str = "a") -> None:
    """Write (a), (b), … above the upper left corner of each panel."""
    for offset, axis in enumerate(axes):
        letter = f"({chr(ord(first) + offset)})"
        axis.set_title(letter, loc="left", fontweight="bold", fontsize=TEXT, pad=3)


def in_lines(words: Iterable[str], most: int) -> str:
    """Join the parts of a title by commas, and break lines between parts.

    Args:
        words: parts of the title; empty ones are left out.
        most: largest number of characters in a line; only a single part may exceed it.
    """
    lines: list[str] = []
    for part in filter(None, words):
        if lines and len(lines[-1]) + len(part) + 2 <= most:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return ",\n".join(lines)


def header(figure: Figure, text: str) -> None:
    """Write lines above all panels of a figure as wide as the page.

    The first line is bold, and long lines are broken at semicolons. The text is drawn as a legend without
    entries, because matplotlib's layout reserves room for a legend next to other legends and panel letters,
    and for no other kind of text.
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
        title_fontproperties={"weight": "bold", "size": TEXT},
        loc="outside upper center",
        handlelength=0,
        handletextpad=0,
        borderpad=0,
        fontsize=TEXT,
    )
    for block in legend.get_texts():
        block.set_multialignment("center")


def save(figure: Figure, paths: Iterable[Path]) -> None:
    """Write the figure to each path, in the format that the suffix of the path names.

    A file is written completely or not at all. It contains no date, so the same figure gives the same bytes.
    """
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
