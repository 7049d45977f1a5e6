"""Looking at the parts of a figure."""


def drawn(figure):
    """Warnings appear while drawing, and tests turn them into errors."""
    figure.canvas.draw()
    return figure


def panel(figure, letter):
    return next(axis for axis in figure.axes if axis.get_title(loc="left") == f"({letter})")


def letters(figure):
    return "".join(axis.get_title(loc="left").strip("()") for axis in figure.axes)
