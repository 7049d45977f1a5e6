"""Fig. 2: the spiral dataset, with one arm for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    if config.datasets[config.figures.dataset].kind != "spiral":
        raise ValueError("figures.dataset: Fig. 2 shows a spiral; name a dataset with kind: spiral")


DECLARATION = Declaration(
    part="spiral",
    inputs={"dataset": Role("prepare_dataset", lambda config: [layout.dataset(config.figures.dataset)])},
    settings={
        "dataset": Setting(
            str, "spiral", "Fig. 2: the spiral dataset that is shown; a key of `datasets`", names="datasets"
        )
    },
    check=_check,
)

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw the training points (a) and the validation points (b) in the plane, by class.

    Classes differ in colour and in marker, so that the figure is readable in greyscale too.

    Args:
        inputs: one file of the role ``dataset`` with ``{train,validation}_input`` (sample, 2), dimensionless,
            and ``{train,validation}_label`` (sample,).
        options: not used; this figure has no options.

    Returns:
        A figure one column wide.
    """
    dataset = inputs["dataset"][0]
    figure, axes = plt.subplots(1, 2, figsize=(style.COLUMN, 2.1), sharex=True, sharey=True)
    for axis, part, words in zip(axes, ("train", "validation"), ("training", "validation"), strict=True):
        points, labels = dataset[f"{part}_input"].values, dataset[f"{part}_label"].values
        for label in np.unique(labels).tolist():
            own = points[labels == label]
            axis.plot(
                own[:, 0],
                own[:, 1],
                linestyle="none",
                marker=_MARKERS[label % len(_MARKERS)],
                markersize=2.3,
                markeredgewidth=0.2,
                markeredgecolor="white",
                color=style.CLASS_COLOURS[label % len(style.CLASS_COLOURS)],
                label=f"class {label + 1}",
            )
        axis.set_aspect("equal")
        axis.set_title(f"{words}, $n={len(labels)}$")
        axis.set_xlabel("$x_1$", labelpad=1)
        axis.set_xticks([-1, 0, 1])
        axis.set_yticks([-1, 0, 1])
        axis.margins(0.06)
    axes[0].set_ylabel("$x_2$", labelpad=0)
    style.panel_letters(axes)
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(np.unique(dataset["train_label"])), 5),
        markerscale=1.6,
        handletextpad=0.1,
        columnspacing=1.2,
    )
    return figure
