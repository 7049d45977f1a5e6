"""Panels that the figures on feature and lazy training share (arXiv 1906.08034)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.crossed import half_widths
from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.errors import UserError
from dynamical_loss.figures import style
from dynamical_loss.figures.declaration import Declaration, Inputs, Role
from dynamical_loss.figures.deferred import sns
from dynamical_loss.notation import exact
from dynamical_loss.results import layout, recorded

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

SCALE = r"scale $s=\sqrt{h}\,\alpha$"
FEATURE, LAZY = "feature", "lazy"
_FEATURE_AT_MOST, _LAZY_AT_LEAST = 0.1, 100

GRID = Setting(
    str | None,
    None,
    "Fig. L1 to L5: study of feature and lazy training; a key of `lazy`; null: these figures are not made",
    names="lazy",
)
"""Setting `lazy` of the figures: the study that most figures on feature and lazy training show."""

STUDY = Role(
    "aggregate_lazy",
    lambda config: [] if config.figures.lazy is None else [layout.lazy(config.figures.lazy)],
)
"""Role of the file of the study that the setting `lazy` names."""


def declared(role: Role = STUDY, *, evidence: Mapping[str, Role] | None = None) -> Declaration:
    """Return the declaration of a figure that shows the study named by the setting `lazy`.

    Args:
        role: role of the study's file, if the file needs variables that not every grid has.
        evidence: files that claims may read, by role; see `Declaration`.
    """
    return Declaration(
        part="lazy",
        inputs={"study": role},
        settings={"lazy": GRID},
        check=check_regimes,
        evidence=evidence or {},
    )


def study(inputs: Inputs) -> xr.Dataset:
    """Return the single file of the role ``study``, with scales and widths ascending."""
    return inputs["study"][0].sortby("scale").sortby("width")


def exponents(grid: xr.Dataset) -> tuple[float, float]:
    """Return a = 2L/(L + 1) and b = 1/(L + 1), the exponents that theory predicts in the feature regime.

    L is the number of hidden layers. The kernel changes as s^(−a) and the weights as s^(−b).
    """
    depth = int(recorded.settings_of(grid)["depth"])
    return 2 * depth / (depth + 1), 1 / (depth + 1)


def title(grid: xr.Dataset) -> str:
    """Return the network, the data, the numbers of seeds and splits, and how many flows converged."""
    settings = recorded.settings_of(grid)
    layers = settings["depth"]
    units = {"softplus": "Softplus", "relu": "ReLU"}[settings["activation"]]
    return "; ".join(
        (
            f"{layers} hidden layers, {units}",
            str(grid.attrs.get("dataset_description", "")),
            f"{grid.sizes['seed']} initial seeds × {grid.sizes['data_seed']} splits",
            converged(grid),
        )
    )


def header(figure: Any, grid: xr.Dataset) -> None:
    """Write `title` above a figure."""
    style.header(figure, f"Feature and lazy training\n{title(grid)}")


def colours(count: int) -> list[Any]:
    """Return one colour for each width, from light (narrow) to dark (wide)."""
    return list(sns.color_palette("viridis_r", count + 1))[1:]


def over_runs(values: xr.DataArray) -> tuple[Floats, Floats]:
    """Return the mean over splits of the data and initial seeds, and half its 95 % interval.

    The interval covers the variation over both new splits and new seeds. If there is only one split or only
    one seed, or if a value belongs to all seeds together, the interval covers only the variation over the
    other of the two.

    Args:
        values: values over (data_seed), or over (data_seed, seed), and at most one further dimension.

    Returns:
        Mean and half of the interval, each over the further dimension.
    """
    if "seed" not in values.dims or values.sizes["seed"] == 1 or values.sizes["data_seed"] == 1:
        resampled = "data_seed" if values.sizes["data_seed"] > 1 or "seed" not in values.dims else "seed"
        others = [name for name in ("data_seed", "seed") if name in values.dims and name != resampled]
        return student_interval(values.mean(others).transpose(..., resampled).values)
    tables = values.transpose(..., "data_seed", "seed").values
    return tables.mean(axis=(-2, -1)), half_widths(tables)


def curves(axis: Axes, grid: xr.Dataset, name: str, factor: Any = None, against: str = "scale") -> None:
    """Draw a variable against the scale, with one line for each width and 95 % intervals.

    Args:
        axis: panel to draw in.
        grid: the study.
        name: name of the variable.
        factor: function of the width that returns the factor by which its values are multiplied; None for 1.
        against: quantity on the horizontal axis, ``scale`` or ``alpha``.
    """
    widths = grid["width"].values
    for colour, width in zip(colours(len(widths)), widths, strict=True):
        mean, half = over_runs(grid[name].sel(width=width))
        x = grid["scale"].values / (1.0 if against == "scale" else np.sqrt(width))
        times = 1.0 if factor is None else factor(width)
        band(axis, x, times * mean, times * half, colour, f"$h={width}$")


def band(axis: Axes, x: Floats, mean: Floats, half: Floats, colour: Any, label: str, **look: Any) -> None:
    """Draw a line with dots, and its 95 % interval as a band; an unknown interval has no band."""
    axis.plot(x, mean, marker="o", markersize=2.2, color=colour, label=label, **look)
    known = np.nan_to_num(half)
    axis.fill_between(x, mean - known, mean + known, color=colour, alpha=0.18, linewidth=0)


def power_line(axis: Axes, span: Sequence[float], at: tuple[float, float], exponent: float) -> None:
    """Draw a power law through a point, and label it with its exponent.

    The line is straight, because both axes are logarithmic.

    Args:
        axis: panel to draw in.
        span: first and last x of the line.
        at: point (x, y) on the line.
        exponent: exponent of the power law.
    """
    x = np.array(span, dtype=np.float64)
    y = at[1] * (x / at[0]) ** exponent
    axis.plot(x, y, color=style.THEORY_COLOUR, linewidth=0.8, linestyle="--", zorder=1)
    middle = float(np.sqrt(x[0] * x[-1]))
    axis.annotate(
        f"$s^{{{exponent:.2g}}}$" if exponent not in (1.0, -1.0) else f"$s^{{{exponent:.0f}}}$",
        (middle, at[1] * (middle / at[0]) ** exponent),
        (3, 3),
        textcoords="offset points",
        color=style.THEORY_COLOUR,
    )


def power_lines(axis: Axes, grid: xr.Dataset, name: str, feature: float, factor: float = 1.0) -> None:
    """Draw the power laws that theory predicts for a variable in the two regimes.

    The exponent in the lazy regime is −1. Each line passes through a point at twice the value of the widest
    network in the middle of the regime, so that it lies a little above the data.

    Args:
        axis: panel to draw in.
        grid: the study.
        name: name of the variable.
        feature: exponent in the feature regime.
        factor: factor by which the panel multiplies the values of the widest network.
    """
    scales = grid["scale"].values
    mean, _ = over_runs(grid[name].isel(width=-1))
    for inside, exponent in ((scales <= 1.0, feature), (scales >= 100.0, -1.0)):
        if inside.sum() > 1:
            x, y = scales[inside], 2.0 * factor * mean[inside]
            middle = len(x) // 2
            power_line(axis, (x[0], x[-1]), (float(x[middle]), float(y[middle])), exponent)


def kernel_changes(axis: Axes, grid: xr.Dataset) -> None:
    """Draw the relative change of the kernel against the scale, with the power laws that theory predicts."""
    kernel, _ = exponents(grid)
    curves(axis, grid, "kernel_change")
    power_lines(axis, grid, "kernel_change", -kernel)
    axis.axhline(1.0, color=style.THEORY_COLOUR, linewidth=0.6, linestyle=":")
    log_axes(axis, SCALE, r"$\|\Delta\Theta\|\,/\,\|\Theta(0)\|$")


def half_times(axis: Axes, grid: xr.Dataset) -> None:
    """Draw the time in which the loss halves, divided by the scale, against the scale.

    Theory predicts the slope −1 in the lazy regime.
    """
    curves(axis, grid.assign(half_ratio=grid["half_time"] / grid["scale"]), "half_ratio")
    log_axes(axis, SCALE, r"$t_{1/2}\,/\,s$")


def errors(axis: Axes, grid: xr.Dataset) -> None:
    """Draw the test error against the scale."""
    curves(axis, grid, "test_error")
    log_axes(axis, SCALE, "test error", logarithmic_y=False)


def log_axes(axis: Axes, x: str, y: str, *, logarithmic_y: bool = True) -> None:
    """Name the axes and make them logarithmic, with labels only at decades.

    Args:
        axis: panel.
        x: name of the horizontal axis.
        y: name of the vertical axis.
        logarithmic_y: whether the vertical axis is logarithmic too.
    """
    axis.set_xscale("log")
    if logarithmic_y:
        axis.set_yscale("log")
    axis.tick_params(which="minor", labelleft=False, labelbottom=False)
    axis.set_xlabel(x)
    axis.set_ylabel(y)


def nearest(grid: xr.Dataset, scale: float) -> float:
    """Return the scale of the study that is closest to a given scale on a logarithmic axis."""
    scales = grid["scale"].values
    return float(scales[np.argmin(np.abs(np.log(scales / scale)))])


def check_regimes(config: Configuration) -> None:
    """Refuse a study that does not cover both the feature and the lazy regime.

    Raises:
        ValueError: if the study is refused; one line names the key to change.
    """
    study = config.figures.lazy
    if study is None:
        return
    scales = config.lazy[study].scales
    if min(scales) > _FEATURE_AT_MOST or max(scales) < _LAZY_AT_LEAST:
        raise ValueError(
            f"lazy.{study}.scales: figures.lazy compares feature and lazy training; include scales of at "
            f"most {_FEATURE_AT_MOST} and scales of at least {_LAZY_AT_LEAST}"
        )


def converged(*grids: xr.Dataset) -> str:
    """Return how many flows of some studies converged, in words."""
    runs = np.concatenate([grid["converged"].values.ravel() for grid in grids])
    lost = int((runs != 1).sum())
    return f"{lost} of {runs.size} flows did not converge" if lost else f"all {runs.size} flows converged"


def ends(grid: xr.Dataset) -> tuple[float, float]:
    """Return the scales of a study that are closest to 0.01 (feature regime) and to 1000 (lazy regime).

    Raises:
        UserError: if both are the same scale.
    """
    feature, lazy = nearest(grid, 0.01), nearest(grid, 1000.0)
    if feature >= lazy:
        raise UserError(
            f"a study with only the scale {exact(lazy)} does not cover two regimes; add scales to it"
        )
    return feature, lazy
