"""Fixtures that the tests of figures share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def look() -> Iterator[None]:
    """Draw figures in the style that all figures share, look at the sizes of their text, and close them."""
    from matplotlib import pyplot as plt
    from matplotlib.text import Text

    from dynamical_loss.figures import style

    with style.style():
        yield
        texts = [text for number in plt.get_fignums() for text in plt.figure(number).findobj(Text)]
    plt.close("all")
    shown = [(text.get_text(), float(text.get_fontsize())) for text in texts if text.get_visible()]
    unfit = [(words, size) for words, size in shown if words and not 7 <= size <= 9]
    assert not unfit, "a journal asks for text of 7 to 9 points"
