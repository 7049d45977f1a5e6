"""Panels that the figures of feature and lazy training share (arXiv 1906.08034)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dynamical_loss.analysis.crossed import components
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
    "Fig. L1 to L5: a key of `lazy`; null: no such figures",
    names="lazy",
)
"""The key of the study that most figures show."""

STUDY = Role(
    "aggregate_lazy",
    lambda config: [] if config.figures.lazy is None else [layout.lazy(config.figures.lazy)],
)
"""That study."""


def declared(role: Role = STUDY, *, evidence: Mapping[str, Role] | None = None) -> Declaration:
    """The declaration of a figure of that study.

    Args:
        role: of its file, where it must have more than every grid has.
        evidence: see `Declaration`.
    """
    return Declaration(
        part="lazy",
        inputs={"study": role},
        settings={"lazy": GRID},
        check=check_regimes,
        evidence=evidence or {},
    )


def study(inputs: Inputs) -> xr.Dataset:
    """The one file of role ``study``, scales ascending."""
    return inputs["study"][0].sortby("scale").sortby("width")


def exponents(grid: xr.Dataset) -> tuple[float, float]:
    """A = 2L/(L + 1) and b = 1/(L + 1) of L hidden layers, which theory gives the feature regime."""
    depth = int(recorded.settings_of(grid)["depth"])
    return 2 * depth / (depth + 1), 1 / (depth + 1)


def title(grid: xr.Dataset) -> str:
    """What was trained, on what, how often, and how many flows did not come to their end."""
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
    """Of so many widths, light to dark."""
    return list(sns.color_palette("viridis_r", count + 1))[1:]


def over_runs(values: xr.DataArray) -> tuple[Floats, Floats]:
    """Mean over splits and seeds, and half its 95 % interval for new ones of both.

    With one of either, and of what belongs to all seeds together, the other alone is resampled.

    Args:
        values: over (…, data_seed) and maybe (seed), and one dimension more at most.

    Returns:
        both over the other dimension.
    """
    if "seed" not in values.dims or values.sizes["seed"] == 1 or values.sizes["data_seed"] == 1:
        resampled = "data_seed" if values.sizes["data_seed"] > 1 or "seed" not in values.dims else "seed"
        others = [name for name in ("data_seed", "seed") if name in values.dims and name != resampled]
        return student_interval(values.mean(others).transpose(..., resampled).values)
    tables = values.transpose(..., "data_seed", "seed").values
    flat = tables.reshape(-1, *tables.shape[-2:])
    found = [_crossed(table) for table in flat]
    mean, half = (np.reshape([each[part] for each in found], tables.shape[:-2]) for part in (0, 1))
    return mean, half


def _crossed(table: Floats) -> tuple[float, float]:
    """Mean of a table (data_seed, seed), and half its interval; NaN where a run has no value."""
    if not np.isfinite(table).all():
        return np.nan, np.nan
    mean = components(table).mean
    return mean.value, mean.interval[1] - mean.value


def curves(axis: Axes, grid: xr.Dataset, name: str, factor: Any = None, against: str = "scale") -> None:
    """A variable against the scale, one line a width, with 95 % intervals.

    Args:
        axis: to draw on.
        grid: the study.
        name: of the variable.
        factor: of a width, what its values are multiplied with; None for 1.
        against: ``scale`` or ``alpha``.
    """
    widths = grid["width"].values
    for colour, width in zip(colours(len(widths)), widths, strict=True):
        mean, half = over_runs(grid[name].sel(width=width))
        x = grid["scale"].values / (1.0 if against == "scale" else np.sqrt(width))
        times = 1.0 if factor is None else factor(width)
        band(axis, x, times * mean, times * half, colour, f"$h={width}$")


def band(axis: Axes, x: Floats, mean: Floats, half: Floats, colour: Any, label: str, **look: Any) -> None:
    """A line with dots, and its 95 % interval as a band that does not stretch the axis."""
    axis.plot(x, mean, marker="o", markersize=2.2, color=colour, label=label, **look)
    known = np.nan_to_num(half)
    axis.fill_between(x, mean - known, mean + known, color=colour, alpha=0.18, linewidth=0)


def power_line(axis: Axes, span: Sequence[float], at: tuple[float, float], exponent: float) -> None:
    """A straight line of a power law through a point, on logarithmic axes, with its exponent.

    Args:
        axis: to draw on.
        span: of x.
        at: the point.
        exponent: of the power law.
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
    """The power laws of theory beside a variable: in the feature regime, and −1 in the lazy one.

    They are drawn a little above the widest network's values, in whose middle they are anchored.
    """
    scales = grid["scale"].values
    mean, _ = over_runs(grid[name].isel(width=-1))
    for inside, exponent in ((scales <= 1.0, feature), (scales >= 100.0, -1.0)):
        if inside.sum() > 1:
            x, y = scales[inside], 2.0 * factor * mean[inside]
            middle = len(x) // 2
            power_line(axis, (x[0], x[-1]), (float(x[middle]), float(y[middle])), exponent)


def kernel_changes(axis: Axes, grid: xr.Dataset) -> None:
    """Relative change of the kernel against the scale, with the power laws of theory."""
    kernel, _ = exponents(grid)
    curves(axis, grid, "kernel_change")
    power_lines(axis, grid, "kernel_change", -kernel)
    axis.axhline(1.0, color=style.THEORY_COLOUR, linewidth=0.6, linestyle=":")
    log_axes(axis, SCALE, r"$\|\Delta\Theta\|\,/\,\|\Theta(0)\|$")


def half_times(axis: Axes, grid: xr.Dataset) -> None:
    """Time in which the loss halves over the scale, against the scale; −1 is the lazy regime's slope."""
    curves(axis, grid.assign(half_ratio=grid["half_time"] / grid["scale"]), "half_ratio")
    log_axes(axis, SCALE, r"$t_{1/2}\,/\,s$")


def errors(axis: Axes, grid: xr.Dataset) -> None:
    """Test error against the scale."""
    curves(axis, grid, "test_error")
    log_axes(axis, SCALE, "test error", logarithmic_y=False)


def log_axes(axis: Axes, x: str, y: str, *, logarithmic_y: bool = True) -> None:
    """Name the axes, the first one logarithmic, with labels at decades alone."""
    axis.set_xscale("log")
    if logarithmic_y:
        axis.set_yscale("log")
    axis.tick_params(which="minor", labelleft=False, labelbottom=False)
    axis.set_xlabel(x)
    axis.set_ylabel(y)


def nearest(grid: xr.Dataset, scale: float) -> float:
    """The study's scale next to one, on a logarithmic axis."""
    scales = grid["scale"].values
    return float(scales[np.argmin(np.abs(np.log(scales / scale)))])


def check_regimes(config: Configuration) -> None:
    """Refuse a study that has not both regimes, by `ends`.

    Raises:
        ValueError: one line that names the key.
    """
    study = config.figures.lazy
    if study is None:
        return
    scales = config.lazy[study].scales
    if min(scales) > _FEATURE_AT_MOST or max(scales) < _LAZY_AT_LEAST:
        raise ValueError(
            f"lazy.{study}.scales: figures.lazy compares feature and lazy training; take some of at most "
            f"{_FEATURE_AT_MOST} and of at least {_LAZY_AT_LEAST}"
        )


def converged(*grids: xr.Dataset) -> str:
    """How many flows of some studies came to their end, in words."""
    runs = np.concatenate([grid["converged"].values.ravel() for grid in grids])
    lost = int((runs != 1).sum())
    return f"{lost} of {runs.size} flows did not converge" if lost else f"all {runs.size} flows converged"


def ends(grid: xr.Dataset) -> tuple[float, float]:
    """Scales deep in the feature and in the lazy regime, 0.01 and 1000 or those next to them.

    Raises:
        UserError: if both are one.
    """
    feature, lazy = nearest(grid, 0.01), nearest(grid, 1000.0)
    if feature >= lazy:
        raise UserError(f"a study with the scale {exact(lazy)} alone has no two regimes; give it more")
    return feature, lazy
