"""The plotting libraries, imported when they are first used.

Matplotlib and seaborn take longer to import than Snakemake takes to plan a run, and planning needs only the
declarations of the figures. Figures therefore import these names from here. Types, which only the type
checker reads, are imported under `TYPE_CHECKING` as usual.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib as mpl
    import matplotlib.colors as mcolors
    import matplotlib.lines as mlines
    import matplotlib.patches as mpatches
    import seaborn as sns
    from matplotlib import cm, patheffects, ticker
    from matplotlib import pyplot as plt
else:

    class _Deferred:
        """Placeholder of a module, which is imported when one of its attributes is first read."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    def deferred(name: str) -> Any:
        # The digest of a figure finds calls of this name and counts the deferred module as imported.
        return _Deferred(name)

    mpl = deferred("matplotlib")
    cm = deferred("matplotlib.cm")
    mcolors = deferred("matplotlib.colors")
    mlines = deferred("matplotlib.lines")
    mpatches = deferred("matplotlib.patches")
    patheffects = deferred("matplotlib.patheffects")
    plt = deferred("matplotlib.pyplot")
    ticker = deferred("matplotlib.ticker")
    sns = deferred("seaborn")

__all__ = ["cm", "mcolors", "mlines", "mpatches", "mpl", "patheffects", "plt", "sns", "ticker"]
