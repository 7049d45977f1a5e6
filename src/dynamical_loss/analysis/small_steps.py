"""What a stretch of a run gained and lost by its instabilities (Fig. F11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dynamical_loss.analysis.records import Floats
from dynamical_loss.analysis.ritz import converged

if TYPE_CHECKING:
    import xarray as xr

    from dynamical_loss.results import netcdf

ALONG = ("again_class_loss", "again_sharpness", "again_static_sharpness", "again_residual")
"""What is kept of each run."""

LAST_STEPS = 200
"""At the end of the stretch, over which `at_the_end` takes the mean."""

_REFERENCE = "Fig. F11"


def add_runs(variables: netcdf.Variables, spectra: Sequence[xr.Dataset]) -> None:
    """Add `ALONG` of each run, with Γ along the stretch.

    Args:
        variables: of a file with the dimension ``seed``.
        spectra: one a seed, probed with `small_steps`.
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
    """Static losses along the stretch.

    Args:
        runs: gathered, with what `add_runs` adds.

    Returns:
        ``emphasised`` and ``others``, the mean static loss of the samples of the class with the largest Γ in
        the stretch and of those of the others, each (seed, descent, again_step).
    """
    weight = runs["again_class_weight"].mean("again_step").values
    chosen = int(weight.argmax())
    # Each class's part is of the mean over all samples.
    part, share = runs["again_class_loss"], runs["again_class_share"]
    emphasised = (part / share).isel(class_index=chosen, drop=True)
    part, share = (item.drop_isel(class_index=chosen).sum("class_index") for item in (part, share))
    others = part / share
    return emphasised.to_dataset(name="emphasised").assign(others=others)


def at_the_end(runs: xr.Dataset) -> xr.Dataset:
    """Means over the last `LAST_STEPS` steps of the stretch, at places of both parities.

    Args:
        runs: gathered, with what `add_runs` adds.

    Returns:
        ``emphasised`` and ``others``, the mean static loss of the samples of the class with the largest Γ in
        the stretch and of those of the others; ``static_sharpness``, a geometric mean; each (seed, descent).
    """
    steps = runs["again_step"].values
    late = steps > steps[-1] - LAST_STEPS
    losses = by_class(runs).isel(again_step=late).mean("again_step")
    runs = runs.isel(again_step=late)
    values = np.log(converged(runs["again_static_sharpness"], runs["again_residual"]))
    sharpness = runs["again_static_sharpness"].copy(data=values).mean("again_step")
    return losses.assign(static_sharpness=sharpness.copy(data=np.exp(sharpness.values)))


def differences(runs: xr.Dataset) -> dict[str, Floats]:
    """Own steps less small ones, (seed,): the losses, and ln λ_max of the static loss."""
    found = at_the_end(runs)
    own, small = (found.sel(descent=name) for name in ("own", "small"))
    return {
        "emphasised": (own["emphasised"] - small["emphasised"]).values.astype(float),
        "others": (own["others"] - small["others"]).values.astype(float),
        "sharpness": np.log((own["static_sharpness"] / small["static_sharpness"]).values.astype(float)),
    }
