"""Looking at the parts of a figure."""

from matplotlib.text import Text
from matplotlib.transforms import Bbox


def drawn(figure):
    """Warnings appear while drawing, and tests turn them into errors."""
    figure.canvas.draw()
    return figure


def panel(figure, letter):
    return next(axis for axis in figure.axes if axis.get_title(loc="left") == f"({letter})")


def points(axis, *labels):
    """All points of lines by label, four lines a quantity that alternates, as {step: value}."""
    names = {*labels, *(f"_t mod 4 = {rest}" for rest in (2, 3))} if len(labels) > 1 else set(labels)
    return {
        int(x): float(y)
        for line in axis.lines
        if line.get_label() in names
        for x, y in zip(*line.get_data(), strict=True)
    }


def letters(figure):
    return "".join(axis.get_title(loc="left").strip("()") for axis in figure.axes)


def text_boxes(figure):
    """Where each line of text that is seen lies, in pixels; ticks outside an axis's limits are not."""
    renderer = figure.canvas.get_renderer()
    panels = [axes for parent in figure.axes for axes in (parent, *parent.child_axes)]
    hidden = set()
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


def _line_boxes(figure, item, renderer):
    """A box a line: one around all lines would hold what stands beside a short one."""
    box, lines = item.get_window_extent(renderer), item.get_text().split("\n")
    if len(lines) == 1 or item.get_rotation():
        return [(item.get_text(), box)]
    height, found = box.height / len(lines), []
    for rank, words in enumerate(lines):
        alone = figure.text(0, 0, words, fontproperties=item.get_fontproperties())
        width = alone.get_window_extent(renderer).width
        alone.remove()
        start = {"left": box.x0, "center": (box.x0 + box.x1 - width) / 2, "right": box.x1 - width}
        top = box.y1 - rank * height
        found.append(
            (words, Bbox([[start[item.get_ha()], top - height], [start[item.get_ha()] + width, top]]))
        )
    return found


def require_legible_texts(figure):
    """No text overlaps another one or leaves the page, but for rounding."""
    boxes = text_boxes(figure)
    page = figure.bbox
    for index, (words, box) in enumerate(boxes):
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, words
        assert box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, words
        for others, other in boxes[index + 1 :]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(width, height) < 1.5, (words, others)


def labelled_ticks(axis):
    """What the labels of an x or y axis say that lie within its limits and are seen."""
    low, high = sorted(axis.get_view_interval())
    reach = 1e-9 * (high - low)
    return [
        tick.label1.get_text()
        for tick in axis.get_major_ticks()
        if low - reach <= tick.get_loc() <= high + reach
        and tick.label1.get_visible()
        and tick.label1.get_text()
    ]
