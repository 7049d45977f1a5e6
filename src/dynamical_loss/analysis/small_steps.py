"""Effect of its instabilities on a stretch of a run (Fig. F11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from dynamical_loss.analysis.records import Floats
from dynamical_loss.analysis.ritz import converged

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.results import netcdf

ALONG = ("again_class_loss", "again_sharpness", "again_static_sharpness", "again_residual")
"""Variables that are kept of each run."""

LAST_STEPS = 200
"""Number of steps at the end of the stretch over which `at_the_end` averages."""

_REFERENCE = "Fig. F11"


def add_runs(variables: netcdf.Variables, spectra: Sequence[xr.Dataset]) -> None:
    """Add `ALONG` of each run, and Γ along the stretch.

    Args:
        variables: variables of a file with the dimension ``seed``.
        spectra: spectra of one run for each seed, probed with `small_steps`.
    """
    first = spectra[0]
    for name in ("descent", "again_step", "again_class_weight", "again_class_share"):
        words = first[name].attrs["long_name"]
        variables.add(name, _dimensions(first[name]), first[name].values, words, reference=_REFERENCE)
    for name in ALONG:
        values = np.asarray([item[name].values for item in spectra], np.float32)
        words = first[name].attrs["long_name"]
        variables.add(name, ("seed", *_dimensions(first[name])), values, words, reference=_REFERENCE)


def _dimensions(variable: xr.DataArray) -> tuple[str, ...]:
    return tuple(map(str, variable.dims))


def by_class(runs: xr.Dataset) -> xr.Dataset:
    """Compute static losses along the stretch.

    Args:
        runs: gathered runs, with the variables of `add_runs`.

    Returns:
        ``emphasised``, the mean static loss of the samples of the class with the largest Γ in the stretch,
        and ``others``, the mean static loss of the samples of all other classes, each (seed, descent,
        again_step).
    """
    weight = runs["again_class_weight"].mean("again_step").values
    chosen = int(weight.argmax())
    # The part of a class is its contribution to the mean over all samples; divided by its share of the
    # samples it is the mean over the samples of the class.
    part, share = runs["again_class_loss"], runs["again_class_share"]
    emphasised = (part / share).isel(class_index=chosen, drop=True)
    part, share = (item.drop_isel(class_index=chosen).sum("class_index") for item in (part, share))
    others = part / share
    return emphasised.to_dataset(name="emphasised").assign(others=others)


def at_the_end(runs: xr.Dataset) -> xr.Dataset:
    """Average over the last `LAST_STEPS` steps of the stretch, with even and odd steps.

    Args:
        runs: gathered runs, with the variables of `add_runs`.

    Returns:
        ``emphasised`` and ``others``, the means of the losses that `by_class` returns, and
        ``static_sharpness``, the geometric mean of λ_max of the static loss, each (seed, descent).
    """
    steps = runs["again_step"].values
    late = steps > steps[-1] - LAST_STEPS
    losses = by_class(runs).isel(again_step=late).mean("again_step")
    runs = runs.isel(again_step=late)
    values = np.log(converged(runs["again_static_sharpness"], runs["again_residual"]))
    sharpness = runs["again_static_sharpness"].copy(data=values).mean("again_step")
    return losses.assign(static_sharpness=sharpness.copy(data=np.exp(sharpness.values)))


def differences(runs: xr.Dataset) -> dict[str, Float[Floats, " seed"]]:
    """Subtract the results of the small steps from those of the run's own steps.

    Args:
        runs: gathered runs, with the variables of `add_runs`.

    Returns:
        differences, (seed,), of the losses ``emphasised`` and ``others``, and of ln λ_max of the static loss
        (``sharpness``).
    """
    found = at_the_end(runs)
    own, small = (found.sel(descent=name) for name in ("own", "small"))
    return {
        "emphasised": (own["emphasised"] - small["emphasised"]).values.astype(float),
        "others": (own["others"] - small["others"]).values.astype(float),
        "sharpness": np.log((own["static_sharpness"] / small["static_sharpness"]).values.astype(float)),
    }
