# ruff: noqa: N999  (the module's name contains the capital letter of the figure)
"""Fig. L8: variance over initial seeds against the size of the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures import lazy_panels, style
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    studies = {name: config.lazy[name] for name in config.figures.lazy_sizes}
    first = next(iter(studies.values()), None)
    for name, study in studies.items():
        assert first is not None
        if (study.widths, study.scales) != (first.widths, first.scales) or len(study.widths) != 1:
            raise ValueError(
                f"lazy.{name}.widths: figures.lazy_sizes compares sizes of the training set; give each study "
                "one width, and all of them the same width and scales"
            )
        if (study.seeds, study.data_seeds) != (first.seeds, first.data_seeds):
            raise ValueError(
                f"lazy.{name}.data_seeds: figures.lazy_sizes compares equal runs; give all its studies the "
                "same data_seeds and seeds"
            )
        if study.seeds < 2:
            raise ValueError(
                f"lazy.{name}.seeds: figures.lazy_sizes shows the variance over seeds; set at least 2"
            )


_STUDIES = Role("aggregate_lazy", lambda config: [layout.lazy(study) for study in config.figures.lazy_sizes])

DECLARATION = Declaration(
    part="lazy",
    inputs={"study": _STUDIES},
    settings={
        "lazy_sizes": Setting(
            Annotated[list[str], Field()],
            [],
            "Fig. L8: studies that differ in the size of their training sets; keys of `lazy`; an empty list: "
            "Fig. L8 is not made",
            names="lazy",
        )
    },
    check=_check,
    evidence={"lazy_sizes": _STUDIES},
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw h·Var F against the number of training samples P, for each scale, with dashed lines ~ √P.

    The figure corresponds to Fig. 14 of arXiv 1906.08034.

    Args:
        inputs: grids of gradient flows as the role ``study``, all of the same width, one grid for each P.
        options: not used; this figure has no options.

    Returns:
        A figure one column wide.
    """
    studies = sorted(inputs["study"], key=lambda item: int(item.attrs["train_samples"]))
    sizes = np.array([float(item.attrs["train_samples"]) for item in studies])
    width = int(studies[0]["width"].values[0])
    scales = np.sort(studies[0]["scale"].values)
    figure, axis = plt.subplots(figsize=(style.COLUMN, 2.8))
    for colour, scale in zip(style.CLASS_COLOURS, scales, strict=False):
        found = [lazy_panels.over_runs(item["output_variance"].sel(scale=scale)) for item in studies]
        mean, half = (width * np.array([float(each[part][0]) for each in found]) for part in (0, 1))
        lazy_panels.band(axis, sizes, mean, half, colour, f"$s={scale:g}$")
        axis.plot(sizes, mean[0] * np.sqrt(sizes / sizes[0]), "--", color=style.THEORY_COLOUR, linewidth=0.8)
    lazy_panels.log_axes(axis, "training samples $P$", r"$h\,\mathrm{Var}\,F$")
    axis.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axis.minorticks_off()
    axis.legend(title=f"$h={width}$")
    first = studies[0]
    count = f"{first.sizes['seed']} initial seeds × {first.sizes['data_seed']} splits"
    axis.set_title(f"{count}, {lazy_panels.converged(*studies)}", fontsize=style.SMALL)
    return figure
