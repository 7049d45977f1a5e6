"""Thresholds of all runs of Fig. 5a, gathered by learning rate, width and seed, with their power laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped

from dynamical_loss.analysis import event_table
from dynamical_loss.analysis.events import LOSS_RULE, SHARPNESS_RULE
from dynamical_loss.analysis.threshold import PowerLaw, fit_power_law
from dynamical_loss.results import netcdf

DEFINITIONS = {
    "sharpness": "mean λ_max at starts and finishes where it splits by 0.1/η (the paper's rule)",
    "sharpness_starts": "the same at starts alone",
    "loss": "median of the branch-averaged λ_max where the loss starts to alternate",
}
_SOURCES = {
    "sharpness": ("threshold_all", SHARPNESS_RULE),
    "sharpness_starts": ("threshold_starts", SHARPNESS_RULE),
    "loss": ("threshold_branch_mean_starts_median", LOSS_RULE),
}


@dataclass(frozen=True)
class ThresholdStudy:
    """Thresholds over (learning_rate, width, seed).

    Attributes:
        learning_rates: learning rates η, ascending.
        widths: numbers of hidden units, ascending.
        seeds: initial seeds, ascending.
        threshold: λ_th for each definition, by its name, each (learning_rate, width, seed); NaN if a run has
            no instability or there is no run.
        tested: whether there is a run, (learning_rate, width, seed).
        unstable_periods: number of periods with an instability, (rule, learning_rate, width, seed); −1 if
            there is no run.
        fits: power law for each (definition, width).
        events: columns of the events of all runs, by the name of their variable, each (event,).
    """

    learning_rates: list[float]
    widths: list[int]
    seeds: list[int]
    threshold: dict[str, Float[npt.NDArray[np.float64], "learning_rate width seed"]]
    tested: Bool[npt.NDArray[np.bool_], "learning_rate width seed"]
    unstable_periods: Int[npt.NDArray[np.int64], "rule learning_rate width seed"]
    fits: dict[tuple[str, int], PowerLaw]
    events: dict[str, Shaped[npt.NDArray[Any], " event"]]


def gather(
    analyses: Sequence[xr.Dataset], origins: Sequence[Mapping[str, Any]], *, resamples: int, seed: int
) -> ThresholdStudy:
    """Gather the analyses of single runs into one grid, and fit a power law to each width and definition.

    Args:
        analyses: analyses of single runs, as written by `find-instabilities`.
        origins: training settings of each run, with its seed.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: if two analyses have the same width, learning rate and seed; the argument of the error is
            the index of the second analysis.
    """
    rates = sorted({origin["learning_rate"] for origin in origins})
    widths = sorted({origin["model"]["width"] for origin in origins})
    seeds = sorted({origin["seed"] for origin in origins})
    shape = (len(rates), len(widths), len(seeds))
    values = {name: np.full(shape, np.nan) for name in DEFINITIONS}
    unstable = np.full((2, *shape), -1)
    tested = np.zeros(shape, dtype=bool)
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    for number, (item, origin) in enumerate(zip(analyses, origins, strict=True)):
        run = {
            "learning_rate": origin["learning_rate"],
            "seed": origin["seed"],
            "width": origin["model"]["width"],
        }
        index = (
            rates.index(run["learning_rate"]),
            widths.index(run["width"]),
            seeds.index(run["seed"]),
        )
        if tested[index]:
            raise ValueError(number)
        tested[index] = True
        for name, (source, rule) in _SOURCES.items():
            values[name][index] = item[source].sel(rule=rule)
        unstable[(slice(None), *index)] = item["unstable_period"].sum("period_index")
        for name, column in event_table.of_run(item, **run).items():
            columns.setdefault(name, []).append(column)
    generator = np.random.default_rng(seed)
    fits = {
        (name, width): fit_power_law(
            np.repeat(rates, len(seeds)),
            values[name][:, column].ravel(),
            rng=generator,
            resamples=resamples,
        )
        for name in DEFINITIONS
        for column, width in enumerate(widths)
    }
    events = {name: np.concatenate(parts) for name, parts in columns.items()}
    return ThresholdStudy(rates, widths, seeds, values, tested, unstable, fits, events)


def dataset(study: ThresholdStudy) -> xr.Dataset:
    """Return the study as the variables of its file."""
    variables = netcdf.Variables()
    figure = "Fig. 5a"
    for name, coordinate, words in (
        ("learning_rate", study.learning_rates, "learning rate η"),
        ("width", study.widths, "hidden units"),
        ("seed", study.seeds, "random seed"),
        ("definition", list(DEFINITIONS), "definition of the threshold"),
        ("rule", [SHARPNESS_RULE, LOSS_RULE], "how events are found"),
        ("bound", ["lower", "upper"], "end of the 95 % bootstrap interval over seeds"),
    ):
        variables.add(name, (name,), coordinate, words, reference=figure)
    grid = ("learning_rate", "width", "seed")
    variables.add(
        "threshold",
        grid,
        study.threshold["sharpness"],
        f"threshold of instability λ_th: {DEFINITIONS['sharpness']}",
        reference=figure,
    )
    variables.add(
        "threshold_by_definition",
        ("definition", *grid),
        np.stack(list(study.threshold.values())),
        "threshold of instability λ_th by each definition",
        reference=figure,
    )
    variables.add(
        "tested",
        grid,
        study.tested,
        "1 where a run of that learning rate, width and seed was made",
        reference=figure,
    )
    variables.add(
        "unstable_periods",
        ("rule", *grid),
        study.unstable_periods,
        "periods of the oscillation with an instability, -1 where there is no run",
        reference=figure,
    )
    table = ("definition", "width")
    keys = [[study.fits[name, width] for width in study.widths] for name in DEFINITIONS]
    for name, words in (
        ("exponent", "exponent p of λ_th = c η^p"),
        ("prefactor", "prefactor c of λ_th = c η^p"),
        ("n", "runs in the fit"),
    ):
        variables.add(
            "fit_n" if name == "n" else name,
            table,
            [[getattr(fit, name) for fit in row] for row in keys],
            words,
            reference=figure,
        )
        if name != "n":
            variables.add(
                f"{name}_interval",
                (*table, "bound"),
                [[getattr(fit, f"{name}_interval") for fit in row] for row in keys],
                f"95 % interval of the {words}",
                reference=figure,
            )
    event_table.add(variables, study.events, reference=figure)
    return variables.dataset()
