"""Access to the parts of a figure, and a check that its texts are legible."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

PRINT = 300  # resolution of the figures' files in dots per inch


def drawn(figure: Figure) -> Figure:
    """Draw a figure and return it; tests turn warnings that appear while drawing into errors."""
    figure.canvas.draw()
    return figure


def panel(figure: Figure, letter: str) -> Axes:
    """Return the panel with a letter."""
    return next(axis for axis in figure.axes if axis.get_title(loc="left") == f"({letter})")


def points(axis: Axes, *labels: str) -> dict[int, float]:
    """Return all points of lines with these labels, as {step: value}.

    A quantity that alternates between steps is drawn as four lines, of which two have their own labels.
    """
    names = {*labels, *(f"_t mod 4 = {rest}" for rest in (2, 3))} if len(labels) > 1 else set(labels)
    return {
        int(x): float(y)
        for line in axis.lines
        if line.get_label() in names
        for x, y in zip(*map(np.asarray, line.get_data()), strict=True)
    }


def letters(figure: Figure) -> str:
    """Return the letters of all panels."""
    return "".join(axis.get_title(loc="left").strip("()") for axis in figure.axes)


def text_boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return each line of visible text with its box in pixels, without ticks outside an axis's limits."""
    canvas = cast(FigureCanvasAgg, figure.canvas)
    renderer: RendererAgg = canvas.get_renderer()  # type: ignore[no-untyped-call]  # matplotlib has no type
    panels = [axes for parent in figure.axes for axes in (parent, *parent.child_axes)]
    hidden: set[Text] = set()
    for axis in (axis for axes in panels for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    texts = [
        item
        for item in figure.findobj(Text)
        if item not in hidden and item.get_visible() and item.get_text().strip()
    ]
    return [box for item in texts for box in _line_boxes(figure, item, renderer)]


def _line_boxes(figure: Figure, item: Text, renderer: RendererAgg) -> list[tuple[str, Bbox]]:
    """Return one box per line, because a box around all lines would include the space next to short lines."""
    box, lines = item.get_window_extent(renderer), item.get_text().split("\n")
    if len(lines) == 1 or item.get_rotation():
        return [(item.get_text(), box)]
    height = box.height / len(lines)
    found: list[tuple[str, Bbox]] = []
    for rank, words in enumerate(lines):
        alone = figure.text(0, 0, words, fontproperties=item.get_fontproperties())
        width = alone.get_window_extent(renderer).width
        alone.remove()
        start = {"left": box.x0, "center": (box.x0 + box.x1 - width) / 2, "right": box.x1 - width}
        top = box.y1 - rank * height
        left = start[item.get_horizontalalignment()]
        found.append((words, Bbox([[left, top - height], [left + width, top]])))
    return found


def require_legible_texts(figure: Figure) -> None:
    """Verify that no text overlaps another text or leaves the printed page, up to rounding.

    The letters of a screen are narrower than those in print, so the figure is drawn at the resolution of
    print first.
    """
    figure.set_dpi(PRINT)
    boxes = text_boxes(drawn(figure))
    page = figure.bbox
    point = PRINT / 72
    for index, (words, box) in enumerate(boxes):
        assert box.x0 >= page.x0 - 0.7 * point and box.x1 <= page.x1 + 0.7 * point, words
        assert box.y0 >= page.y0 - 0.7 * point and box.y1 <= page.y1 + 0.7 * point, words
        for others, other in boxes[index + 1 :]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(width, height) < 1.1 * point, (words, others)


def require_free_legend(axis: Axes) -> None:
    """Verify that the legend of a drawn panel covers no line, nor a place between two points of a line."""
    legend = axis.get_legend()
    assert legend is not None, "there is no legend"
    box = legend.get_window_extent()
    for line in axis.lines:
        place = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float))
        ends = np.arange(len(place))
        along = np.linspace(0, max(len(place) - 1, 0), 20 * len(place))
        x, y = (np.interp(along, ends, place[:, one]) for one in (0, 1))
        covered = (x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)
        assert not covered.any(), f"the legend covers {line.get_label()}"


def labelled_ticks(axis: Axis) -> list[str]:
    """Return the visible tick labels of an x or y axis that lie within its limits."""
    low, high = sorted(axis.get_view_interval())
    reach = 1e-9 * (high - low)
    return [
        tick.label1.get_text()
        for tick in axis.get_major_ticks()
        if low - reach <= tick.get_loc() <= high + reach
        and tick.label1.get_visible()
        and tick.label1.get_text()
    ]
