"""Gather the thresholds of all runs of Fig. 5a and fit their power law in the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dynamical_loss import cascade, store
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.errors import UserError

DEFINITIONS = {
    "sharpness": "mean λ_max at starts and finishes where it splits by 0.1/η (the paper's rule)",
    "sharpness_starts": "the same at starts alone",
    "loss": "median of the branch-averaged λ_max where the loss starts to alternate",
}
_SOURCES = {
    "sharpness": ("threshold_all", cascade.SHARPNESS_RULE),
    "sharpness_starts": ("threshold_starts", cascade.SHARPNESS_RULE),
    "loss": ("threshold_branch_mean_starts_median", cascade.LOSS_RULE),
}


def run(settings: BootstrapSettings, analyses: Sequence[Path], output: Path) -> None:
    """Write thresholds, their events and the fitted exponents.

    Raises:
        UserError: if an input cannot be read or is no analysis of a run, or two are of the same run.
    """
    inputs = store.Inputs()
    wanted = ["unstable_period", "event_start"]
    stored = [inputs.read(path, wanted, made_by="analyse_cascade") for path in analyses]
    origins = [store.settings_of(item)["trajectory"] for item in stored]
    widths = sorted({origin["model"]["width"] for origin in origins})
    rates = sorted({origin["learning_rate"] for origin in origins})
    seeds = sorted({origin["seed"] for origin in origins})
    record = store.Provenance(
        __name__, {**settings.model_dump(), "trajectories": origins}, seeds, "float64", inputs
    )
    shape = (len(rates), len(widths), len(seeds))
    values = {name: np.full(shape, np.nan) for name in DEFINITIONS}
    unstable = np.full((2, *shape), -1)
    tested = np.zeros(shape, dtype=bool)
    columns: dict[str, list[np.ndarray]] = {}
    for item, origin, path in zip(stored, origins, analyses, strict=True):
        index = (
            rates.index(origin["learning_rate"]),
            widths.index(origin["model"]["width"]),
            seeds.index(origin["seed"]),
        )
        if tested[index]:
            raise UserError(
                f"{path} has the width, learning rate and seed of another analysis given; leave one out"
            )
        tested[index] = True
        for name, (source, rule) in _SOURCES.items():
            values[name][index] = item[source].sel(rule=rule)
        unstable[(slice(None), *index)] = item["unstable_period"].sum("period_index")
        count = item.sizes["event"]
        for name in ("learning_rate", "seed"):
            columns.setdefault(name, []).append(np.full(count, origin[name]))
        columns.setdefault("width", []).append(np.full(count, origin["model"]["width"]))
        for variable, column in item.data_vars.items():
            if column.dims == ("event",):
                columns.setdefault(str(variable).removeprefix("event_"), []).append(column.values)
    generator = np.random.default_rng(settings.seed)
    fits = {
        (name, width): cascade.fit_power_law(
            np.repeat(rates, len(seeds)),
            values[name][:, column].ravel(),
            rng=generator,
            resamples=settings.resamples,
        )
        for name in DEFINITIONS
        for column, width in enumerate(widths)
    }
    variables = store.Variables()
    figure = "Fig. 5a"
    for name, coordinate, words in (
        ("learning_rate", rates, "learning rate η"),
        ("width", widths, "hidden units"),
        ("seed", seeds, "random seed"),
        ("definition", list(DEFINITIONS), "definition of the threshold"),
        ("rule", [cascade.SHARPNESS_RULE, cascade.LOSS_RULE], "how events are found"),
        ("bound", ["lower", "upper"], "end of the 95 % bootstrap interval over seeds"),
    ):
        variables.add(name, (name,), coordinate, words, reference=figure)
    grid = ("learning_rate", "width", "seed")
    variables.add(
        "threshold",
        grid,
        values["sharpness"],
        f"threshold of instability λ_th: {DEFINITIONS['sharpness']}",
        reference=figure,
    )
    variables.add(
        "threshold_by_definition",
        ("definition", *grid),
        np.stack(list(values.values())),
        "threshold of instability λ_th by each definition",
        reference=figure,
    )
    variables.add(
        "tested",
        grid,
        tested,
        "1 where a run of that learning rate, width and seed was made",
        reference=figure,
    )
    variables.add(
        "unstable_periods",
        ("rule", *grid),
        unstable,
        "periods of the oscillation with an instability, -1 where there is no run",
        reference=figure,
    )
    table = ("definition", "width")
    keys = [[fits[name, width] for width in widths] for name in DEFINITIONS]
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
    for name, parts in columns.items():
        variables.add(
            f"event_{name}",
            ("event",),
            np.concatenate(parts),
            f"{name.replace('_', ' ')} of each instability",
            reference=figure,
        )
    store.write(variables.dataset(), output, record)
