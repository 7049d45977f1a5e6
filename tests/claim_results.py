"""Made-up results on which claims are evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis import event_table
from dynamical_loss.analysis.edge import PREDICTORS
from dynamical_loss.analysis.events import SHARPNESS_RULE, Event
from dynamical_loss.claims.edge import STRETCH
from dynamical_loss.config.training import PhaseSettings, TrajectorySettings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.results import netcdf

Array = npt.NDArray[Any]

DEFINITIONS = ["sharpness", "sharpness_starts", "loss"]


SPIRAL = {"dataset": "spiral", "dataset_settings": SpiralSettings().model_dump_json()}


def with_settings(dataset: xr.Dataset, settings: Mapping[str, Any]) -> xr.Dataset:
    """Add the attributes that record the settings and the spiral dataset."""
    return dataset.assign_attrs(settings=json.dumps(settings), **SPIRAL)


def phase(
    accuracy: Callable[[int, float], float],
    *,
    width: int = 100,
    seeds: int = 10,
    periods: Sequence[int] = (50, 200, 2000),
    amplitudes: Sequence[float] = (1, 5, 20, 70),
    **changed: Any,
) -> xr.Dataset:
    """Make a phase diagram from a function of (period, amplitude), with a small noise between seeds.

    The function gives the training accuracy; the validation accuracy is lower by 0.05.
    """
    mean = np.array([[accuracy(period, amplitude) for amplitude in amplitudes] for period in periods])
    noise = np.linspace(-0.01, 0.01, seeds)
    values = mean[:, :, None] + noise
    dimensions = ("period", "amplitude", "seed")
    dataset = xr.Dataset(
        {"train_accuracy": (dimensions, values), "validation_accuracy": (dimensions, values - 0.05)},
        coords={"period": list(periods), "amplitude": np.array(amplitudes, float), "seed": range(seeds)},
    )
    settings = PhaseSettings(model=MLPSettings(width=width), **changed).model_dump()
    return with_settings(dataset, settings)


def narrow_as_in_the_paper(period: int, amplitude: float) -> float:
    """Return an accuracy of the narrow network for which the paper's claims hold."""
    if amplitude == 1:
        return 0.65
    return 0.98 if amplitude <= 20 and period <= 300 else 0.8


def origin(
    *, width: int = 100, rate: float = 1.0, seed: int = 0, amplitude: float = 70.0, **changed: Any
) -> dict[str, Any]:
    """Return the recorded settings of a trajectory."""
    settings = TrajectorySettings(amplitude=amplitude, **changed).at_learning_rate(rate, width)
    return {**settings.model_dump(), "seed": seed}


def event_columns(
    starts: npt.ArrayLike, *, period: int = 5000, length: int = 200
) -> dict[str, tuple[str, Array]]:
    """Return the variables of instabilities with the given first steps."""
    events = [
        Event(SHARPNESS_RULE, start, start + length, True, start // period)
        for start in np.asarray(starts).tolist()
    ]
    return {name: ("event", values) for name, values in event_table.columns(events).items()}


def starts_in(periods: Iterable[int]) -> Array:
    """Return the first step of an instability late in each of these periods (counted from 0)."""
    return np.asarray(periods, dtype=int) * 5000 + 4500


def cascade_file(periods: Iterable[int], *, seed: int = 0, **changed: Any) -> xr.Dataset:
    """Make the instabilities of a run of Fig. 4's protocol, one in each of these periods."""
    return with_settings(
        xr.Dataset(event_columns(starts_in(periods))), {"trajectory": origin(seed=seed, **changed)}
    )


def threshold_file(
    law: Callable[[float, int], float] = lambda rate, width: 2.0 / rate,
    *,
    rates: Sequence[float] = (0.5, 1.0, 2.0),
    widths: Sequence[int] = (100, 1000),
    seeds: int = 3,
    unstable: Sequence[int] = (10, 10, 9),
    exponent: float = -1.0,
    half: float = 0.05,
    prefactor: float = 2.0,
) -> xr.Dataset:
    """Make thresholds λ_th by a law of (η, width), with a scatter of one per cent between seeds.

    Args:
        law: function of (η, width) that returns λ_th.
        rates: learning rates η.
        widths: widths of the network.
        seeds: number of seeds.
        unstable: number of instabilities of each run at η = 1 and width 100.
        exponent: exponent of the fitted power law; it is stored, and not fitted to the thresholds.
        half: half of the width of the intervals of exponent and prefactor.
        prefactor: prefactor of the fitted power law; it is stored, and not fitted to the thresholds.
    """
    scatter = 1 + 0.01 * np.linspace(-1, 1, seeds) if seeds > 1 else np.ones(1)
    values = np.array([[law(rate, width) * scatter for width in widths] for rate in rates])
    trajectories = [
        origin(width=width, rate=rate, seed=seed)
        for width in widths
        for rate in rates
        for seed in range(seeds)
    ]
    starts = [starts_in(range(count)) for count in unstable[:seeds]]
    owner = np.repeat(np.arange(len(starts)), [len(item) for item in starts])
    table = ("definition", "width")
    ends = np.array([-half, half])
    shape = (len(DEFINITIONS), len(widths))
    dataset = xr.Dataset(
        {
            "threshold_by_definition": (
                ("definition", "learning_rate", "width", "seed"),
                np.stack([values, values, values / 2]),
            ),
            "exponent": (table, np.full(shape, exponent)),
            "exponent_interval": ((*table, "bound"), exponent + np.tile(ends, (*shape, 1))),
            "prefactor": (table, np.full(shape, prefactor)),
            "prefactor_interval": ((*table, "bound"), prefactor + np.tile(ends, (*shape, 1))),
            "fit_n": (table, np.full(shape, len(rates) * seeds)),
            **event_columns(np.concatenate(starts)),
            "event_learning_rate": ("event", np.ones(owner.size)),
            "event_width": ("event", np.full(owner.size, 100)),
            "event_seed": ("event", owner),
        },
        coords={
            "learning_rate": list(rates),
            "width": list(widths),
            "seed": range(seeds),
            "definition": DEFINITIONS,
            "bound": ["lower", "upper"],
        },
    )
    return with_settings(dataset, {"trajectories": trajectories})


def spectrum_file(
    sharpness: Callable[[Array], Array], *, ntk: Callable[[Array], Array] | None = None, **changed: Any
) -> xr.Dataset:
    """Make a spectrum from functions of the steps (snapshot_step,) that return the largest eigenvalues."""
    # Like the pipeline's snapshots, these have a denser window and include the last step.
    steps = np.unique([*range(0, 69_951, 25), *range(8000, 8100), 70_000 - 16])
    variables = {"hessian_eigenvalue": (("snapshot_step", "mode"), sharpness(steps)[:, None])}
    if ntk is not None:
        variables["ntk_eigenvalue"] = (("snapshot_step", "mode"), ntk(steps)[:, None])
    dataset = xr.Dataset(variables, coords={"snapshot_step": steps})
    return with_settings(dataset, {"trajectory": origin(**changed)})


def changed(
    item: xr.Dataset, *, loss: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), **settings: Any
) -> xr.Dataset:
    """Return the result with other recorded settings; keys of `loss` are replaced one by one."""
    known = json.loads(item.attrs["settings"])
    known["loss"] = known["loss"] | dict(loss)
    return item.assign_attrs(settings=json.dumps(known | settings))


def stored(item: xr.Dataset, path: Path, stage: str) -> Path:
    """Write a made-up result as a file of a stage, and return its path."""
    item.assign_attrs(source=f"dynamical_loss.stages.{stage}").to_netcdf(path, engine="netcdf4")
    netcdf.seal(path)
    return path


def gathered_runs(
    *,
    loss: float,
    sharpness: float,
    width: int,
    rate: float = 1.0,
    amplitude: float = 70.0,
    steps: int = 35_000,
    seeds: int = 10,
) -> xr.Dataset:
    """Make runs with constant loss and λ_max, and a small noise between seeds that cancels in the mean."""
    places = np.append(np.arange(0, steps, 101), steps)
    scatter = 1 + 0.01 * np.linspace(-1, 1, seeds)[:, None] * np.ones(len(places))
    dimensions = ("seed", "snapshot_step")
    dataset = xr.Dataset(
        {
            "loss": (dimensions, loss * scatter),
            "sharpness": (dimensions, sharpness * scatter),
            "sharpness_residual": (dimensions, 1e-6 * scatter),
            "oscillation_end": ((), steps - 5000),
        },
        coords={"seed": range(seeds), "snapshot_step": places},
    )
    settings = TrajectorySettings(
        model=MLPSettings(width=width), amplitude=amplitude, learning_rate=rate, steps=steps
    )
    return with_settings(dataset, {"trajectory": settings.model_dump()})


def edge_runs(
    *,
    amplitude: float,
    agreement: Sequence[float],
    share: float,
    overlap: float,
    emphasised: float = np.nan,
    again: tuple[float, float, float] | None = None,
    seeds: int = 13,
) -> xr.Dataset:
    """Make measures of runs that are probed from step to step; their noise between seeds cancels in the mean.

    Args:
        amplitude: amplitude A.
        agreement: agreement of each predictor with the rises of λ_max.
        share: share of the gradient along the top eigenvector.
        overlap: overlap of top eigenvectors.
        emphasised: share of the emphasised class.
        again: changes for `_done_again`; None: the stretch is not done again.
        seeds: number of runs.
    """
    scatter = np.linspace(-1e-3, 1e-3, seeds - 3)
    scatter = np.concatenate([np.zeros(3), scatter])
    dataset = xr.Dataset(
        {
            "rise_agreement": (("seed", "predictor"), scatter[:, None] + np.array(agreement, float)),
            "top_gradient_share": ("seed", share + scatter),
            "top_overlap": ("seed", overlap - scatter),
            "emphasised_share": ("seed", emphasised + scatter),
            "emphasised_per_weight": ("seed", emphasised - 1.5 + scatter),
        },
        coords={"seed": range(seeds), "predictor": list(PREDICTORS)},
    )
    probes = {}
    if again is not None:
        probes["small_steps"] = {"every": 11, "order": 30, **STRETCH}
        dataset = dataset.merge(_done_again(again, scatter))
    settings = TrajectorySettings(amplitude=amplitude, steps=15_000)
    return with_settings(dataset, {"trajectory": settings.model_dump(), "probes": probes})


def _done_again(changes: tuple[float, float, float], scatter: Array) -> xr.Dataset:
    """Make a stretch that was done in the run's own steps and again in small steps.

    Args:
        changes: differences between own and small steps near the end of the stretch: of the loss of the
            emphasised class, of the losses of the other classes, and of ln λ_max.
        scatter: noise of each run, (seed,).
    """
    emphasised, others, sharpness = changes
    steps = np.arange(8900, 10_001, 11)
    late = (steps > 9_800) * 1.0
    loss = np.ones((len(scatter), 2, len(steps), 3))
    loss[:, 0, :, 1] += (emphasised + scatter[:, None]) * late
    loss[:, 0, :, ::2] += ((others + scatter[:, None]) * late)[..., None]
    curvature = np.full((len(scatter), 2, len(steps)), 10.0)
    curvature[:, 0] *= np.exp((sharpness + scatter[:, None]) * late)
    along = ("seed", "descent", "again_step")
    return xr.Dataset(
        {
            "again_class_loss": ((*along, "class_index"), loss / 3),
            "again_static_sharpness": (along, curvature),
            "again_residual": (along, 1e-6 * curvature),
            "again_class_share": ("class_index", np.full(3, 1 / 3)),
            "again_class_weight": (("again_step", "class_index"), np.tile([0.2, 2.6, 0.2], (len(steps), 1))),
        },
        coords={"descent": ["own", "small"], "again_step": steps},
    )
