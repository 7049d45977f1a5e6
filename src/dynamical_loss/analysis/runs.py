"""All runs of a trajectory study at their snapshots, without parameters (Fig. S8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from dynamical_loss.analysis import edge, residual, small_steps
from dynamical_loss.analysis.ritz import RESIDUAL, SHARPNESS
from dynamical_loss.results import netcdf

ALONG = ("weighted_loss", "loss", "train_accuracy", "validation_accuracy")
"""Variables of a trajectory that are kept at the snapshots."""

_REFERENCE = "arXiv 2410.10690, Fig. S8"


def gather(trajectories: Sequence[xr.Dataset], spectra: Sequence[xr.Dataset]) -> xr.Dataset:
    """Gather losses, accuracies and λ_max over (seed, snapshot_step).

    Args:
        trajectories: one trajectory for each seed 0 … n-1, all with the same snapshots.
        spectra: spectra of the same runs, in the same order.

    Returns:
        `ALONG`, `ritz.SHARPNESS` and `ritz.RESIDUAL`, each of shape (seed, snapshot_step), as float32;
        ``diverged``, (seed,); ``oscillation_end``, ().  If the runs were probed with `alignment`, `residual`
        or `small_steps`, also the variables of `edge.add_measures`, `residual.add_measures` or
        `small_steps.add_runs`.

    Raises:
        ValueError: if two runs have different snapshots.
    """
    steps = trajectories[0]["snapshot_step"].values
    for item in (*trajectories, *spectra):
        if not np.array_equal(item["snapshot_step"].values, steps):
            raise ValueError("snapshots at other steps")
    runs = ("seed", "snapshot_step")
    variables = netcdf.Variables()
    variables.add("seed", ("seed",), range(len(trajectories)), "initial random seed", reference=_REFERENCE)
    variables.add(
        "snapshot_step",
        ("snapshot_step",),
        steps,
        "minimisation steps done at the snapshot",
        reference=_REFERENCE,
    )
    for name in ALONG:
        # Every snapshot is also a step at which the losses are recorded.
        values = [item[name].sel(step=steps).values for item in trajectories]
        words = trajectories[0][name].attrs["long_name"]
        variables.add(name, runs, np.asarray(values, np.float32), words, reference=_REFERENCE)
    for name, source in ((SHARPNESS, "hessian_eigenvalue"), (RESIDUAL, "hessian_residual")):
        values = [item[source].isel(mode=0).values for item in spectra]
        words = spectra[0][source].attrs["long_name"]
        words = words.replace("eigenvalues", "eigenvalue").replace("of those", "of that")
        variables.add(name, runs, np.asarray(values, np.float32), words, reference=_REFERENCE)
    variables.add(
        "diverged",
        ("seed",),
        [int(item["diverged"]) for item in trajectories],
        "1 if the loss stopped being finite",
        reference=_REFERENCE,
    )
    variables.add(
        "oscillation_end",
        (),
        int(trajectories[0]["oscillation_end"]),
        "first step of the static end, Γ = 1",
        reference=_REFERENCE,
    )
    if all("step_change" in item for item in spectra):
        edge.add_measures(variables, spectra)
    if all("residual_change" in item for item in spectra):
        residual.add_measures(variables, spectra)
    if all("again_class_loss" in item for item in spectra):
        small_steps.add_runs(variables, spectra)
    return variables.dataset()
