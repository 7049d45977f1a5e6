"""What tests of figures share."""

import pytest


@pytest.fixture
def look():
    """The look that all figures are drawn with; what was drawn is closed afterwards."""
    from matplotlib import pyplot as plt

    from dynamical_loss.figures import style

    with style.style():
        yield
    plt.close("all")
