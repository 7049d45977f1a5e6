"""The paper's claims against what was measured: one registry, one row a claim.

Each claim says what is measured, over what it is averaged and by which criterion it counts as
reproduced.  The criteria and their numbers were fixed before any result was looked at (rows added
later say so), and the words of a rule are written from the same numbers that decide, so that the two
cannot drift apart.  A claim that does not reproduce is a result; a claim that the grid, the seeds or
the protocol at hand cannot speak on is *not tested at this scale*, and its rule says why.

Nothing here reads a file: datasets by role in, rows out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss import cascade, store
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.intervals import bootstrap_deviations, bootstrap_interval

Floats = npt.NDArray[np.float64]
Inputs = Mapping[str, Sequence[xr.Dataset]]
"""Role → datasets; the roles are those of ``workflow/rules/shown.smk``, and any may be absent."""

NARROW, WIDE = 100, 1000
"""Hidden units of the paper's two networks."""

PHASE_STEPS = 35_000
CASCADE_PERIOD, CASCADE_AMPLITUDE, CASCADE_STEPS = 5_000, 70.0, 70_000
"""The paper's protocols of Fig. 3 and Fig. 4, steps at η = 1."""

MINIMUM_RUNS = 3
"""Fewer seeds, runs or events than this give no interval."""

NARROW_REGION = ((5.0, 20.0), 300)
WIDE_REGION = ((5.0, 25.0), 700)
"""Where the dynamical loss helps: (smallest A, largest A), longest T in steps (Fig. 3)."""

TOO_LARGE = 60.0
"""Smallest A that may stand for "too large": twice the paper's optimum, A ~ 30."""

PRIMARY = "sharpness"
"""The paper's definition of the threshold, among those of ``threshold.nc``."""


# --------------------------------------------------------------------------------------------------
# Measurements and intervals
# --------------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_TESTED = "not tested at this scale"


@dataclass(frozen=True)
class Measurement:
    """A number with its uncertainty.

    Attributes:
        value: in the units of the claim; NaN if it could not be had.
        interval: (lower, upper), 95 %; NaNs if there are too few runs for one.
        n: seeds, runs or events behind it.
    """

    value: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    n: int = 0


class UntestedError(Exception):
    """The data at hand cannot speak on a claim; the message says why.

    Attributes:
        measurement: what is known all the same.
    """

    def __init__(self, reason: str, measurement: Measurement | None = None) -> None:
        super().__init__(reason)
        self.measurement = measurement or Measurement()


def mean_of(
    values: npt.ArrayLike,
    settings: BootstrapSettings,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Measurement:
    """Mean with its 95 % bootstrap interval.

    Args:
        values: one independent value a seed, run or event; shape (n,). NaN is left out.
        settings: seed and number of resamples.
        bounds: what the mean cannot exceed, e.g. 0 and 1 for an accuracy; the interval is clipped.

    Returns:
        The mean; without an interval if n is below `MINIMUM_RUNS`.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[np.isfinite(known)]
    if known.size == 0:
        return Measurement()
    mean = float(known.mean())
    if known.size < MINIMUM_RUNS:
        return Measurement(mean, n=known.size)
    ends = np.clip(bootstrap_interval(known, resamples=settings.resamples, seed=[settings.seed, 0]), *bounds)
    return Measurement(mean, (float(ends[0]), float(ends[1])), known.size)


# --------------------------------------------------------------------------------------------------
# Criteria
# --------------------------------------------------------------------------------------------------


class Criterion(Protocol):
    """How an interval decides, and the same in words."""

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """Verdict on an interval, and the reason if it is `Verdict.NOT_TESTED`."""
        ...

    def words(self) -> str:
        """The criterion as the end of the sentence "reproduced if …"."""
        ...


def _if(holds: bool) -> tuple[Verdict, str]:
    return (Verdict.REPRODUCED if holds else Verdict.NOT_REPRODUCED), ""


@dataclass(frozen=True)
class Above:
    """The whole interval lies above `limit`."""

    limit: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        return _if(lower > self.limit)

    def words(self) -> str:
        """See `Criterion`."""
        return f"the 95 % interval lies above {self.limit:g}"


@dataclass(frozen=True)
class Below:
    """The whole interval lies below `limit`."""

    limit: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        return _if(upper < self.limit)

    def words(self) -> str:
        """See `Criterion`."""
        return f"the 95 % interval lies below {self.limit:g}"


@dataclass(frozen=True)
class Near:
    """The interval meets the band [low, high], and is no wider than `widest`.

    The paper gives most numbers with a "~": the band is what rounds to them.  An interval that misses
    the band decides however wide it is; a wide one that meets it tells nothing.
    """

    low: float
    high: float
    widest: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        if upper < self.low or lower > self.high:
            return Verdict.NOT_REPRODUCED, ""
        if upper - lower > self.widest:
            return Verdict.NOT_TESTED, f"the interval is {upper - lower:.2g} wide"
        return Verdict.REPRODUCED, ""

    def words(self) -> str:
        """See `Criterion`."""
        band = f"contains {self.low:g}" if self.low == self.high else f"meets {self.low:g} to {self.high:g}"
        return f"the 95 % interval {band} (not tested if it does and is wider than {self.widest:g})"


@dataclass(frozen=True)
class Equivalent:
    """The interval lies inside [low, high], a band about `null` too narrow to matter."""

    low: float
    high: float
    null: float

    def decide(self, lower: float, upper: float) -> tuple[Verdict, str]:
        """See `Criterion`."""
        if self.low <= lower and upper <= self.high:
            return Verdict.REPRODUCED, ""
        if upper < self.null or lower > self.null:
            return Verdict.NOT_REPRODUCED, ""
        return Verdict.NOT_TESTED, "the interval contains both equality and differences that matter"

    def words(self) -> str:
        """See `Criterion`."""
        return (
            f"the 95 % interval lies inside {self.low:g} to {self.high:g} "
            f"(not reproduced if it is not and excludes {self.null:g}, else not tested)"
        )


# --------------------------------------------------------------------------------------------------
# Evidence
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """What a claim may look at.

    Attributes:
        inputs: datasets by role.
        settings: of the bootstrap.
        definition: of the threshold, for the claims that are made once a definition.
    """

    inputs: Inputs
    settings: BootstrapSettings
    definition: str = PRIMARY

    def files(self, role: str) -> Sequence[xr.Dataset]:
        """All datasets of a role; `UntestedError` if there are none."""
        if not self.inputs.get(role):
            raise UntestedError(f"no file of role {role}")
        return self.inputs[role]

    def mean(self, values: npt.ArrayLike, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Measurement:
        """`mean_of` with these settings."""
        return mean_of(values, self.settings, bounds)


def _require(settings: Mapping[str, Any], **expected: Any) -> None:
    """`UntestedError` unless the settings (``a__b`` is key b of group a) are the paper's."""
    for path, paper in expected.items():
        found: Any = settings
        for key in path.split("__"):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None and found != paper:
            raise UntestedError(f"{path.replace('__', '.')} is {found}, in the paper {paper}")


def _require_network(settings: Mapping[str, Any], width: int) -> None:
    _require(
        settings,
        model__kind="mlp",
        model__depth=1,
        model__width=width,
        loss__kind="cross_entropy",
        loss__waveform="triangle",
        optimiser__kind="sgd",
        optimiser__arguments={},
    )


def _require_steps(settings: Mapping[str, Any], steps: int) -> None:
    """Training time is η × steps; a per cent is left for the rounding of steps scaled by 1/η."""
    found = settings["steps"] * settings["learning_rate"]
    if found < 0.99 * steps:
        raise UntestedError(f"runs of η × steps = {found:g}, in the paper {steps}")


# Phase diagrams (Fig. 3) ---------------------------------------------------------------------------


def _phase(evidence: Evidence, role: str) -> xr.Dataset:
    dataset = evidence.files(role)[0]
    settings = store.settings_of(dataset)
    _require_network(settings, NARROW if role == "phase_narrow" else WIDE)
    _require(settings, learning_rate=1.0)
    _require_steps(settings, PHASE_STEPS)
    return dataset


def _static_accuracy(dataset: xr.Dataset, variable: str) -> Floats:
    """Final accuracy at A = 1, shape (seed,)."""
    static = dataset[variable].where(dataset["amplitude"] == 1.0, drop=True)
    if static.size == 0:
        raise UntestedError("no A = 1 in the grid")
    # The static loss has no period: every one of them holds the same runs.
    return np.asarray(static.isel(amplitude=0, period=0).values, dtype=np.float64)


def _mean_accuracy(
    dataset: xr.Dataset, variable: str, amplitudes: tuple[float, float], longest_period: float
) -> Floats:
    """Final accuracy averaged over the cells of the grid in a region, shape (seed,).

    All cells count alike: picking the best of them would make noise look like an improvement.
    """
    low, high = amplitudes
    inside = (dataset["amplitude"] >= low) & (dataset["amplitude"] <= high)
    cells = dataset[variable].where(inside, drop=True)
    cells = cells.where(dataset["period"] <= longest_period, drop=True)
    if cells.size == 0:
        raise UntestedError(f"no cell with {low:g} <= A <= {high:g}, T <= {longest_period:g} in the grid")
    mean = cells.mean(("period", "amplitude"), skipna=False)
    return np.asarray(mean.values, dtype=np.float64)


_ACCURACY = (0.0, 1.0)
_REGIONS = {"phase_narrow": NARROW_REGION, "phase_wide": WIDE_REGION}


def _static(role: str, variable: str, evidence: Evidence) -> Measurement:
    return evidence.mean(_static_accuracy(_phase(evidence, role), variable), _ACCURACY)


def _static_narrow(variable: str, evidence: Evidence) -> Measurement:
    """The narrow network at A = 1, from whichever study of the same network has the most seeds."""
    main = _phase(evidence, "phase_narrow")
    network = store.settings_of(main)["model"]
    others = [
        dataset
        for dataset in evidence.inputs.get("initialisation", ())
        if store.settings_of(dataset)["model"] == network
        and store.settings_of(dataset)["steps"] == store.settings_of(main)["steps"]
    ]
    largest = max([main, *others], key=lambda dataset: dataset.sizes["seed"])
    return evidence.mean(_static_accuracy(largest, variable), _ACCURACY)


def _best_cell(dataset: xr.Dataset, variable: str) -> tuple[Floats, Floats]:
    """The cell with A > 1 that is best on the even seeds, on the odd ones: (accuracy, that at A = 1).

    Seeds that choose do not measure, so the best of many noisy cells gains nothing from its luck.
    """
    cells = dataset[variable].where(dataset["amplitude"] > 1.0, drop=True)
    if cells.size == 0 or cells.sizes["seed"] < 2:
        raise UntestedError("no cell with A > 1, or a single seed")
    choosing = cells.isel(seed=slice(0, None, 2)).mean("seed")
    best = choosing.argmax(("period", "amplitude"))
    odd = slice(1, None, 2)
    found = np.asarray(cells.isel(best).values[odd], dtype=np.float64)
    return found, _static_accuracy(dataset, variable)[odd]


def _best(variable: str, evidence: Evidence) -> Measurement:
    return evidence.mean(_best_cell(_phase(evidence, "phase_narrow"), variable)[0], _ACCURACY)


def _best_improvement(variable: str, evidence: Evidence) -> Measurement:
    found, static = _best_cell(_phase(evidence, "phase_wide"), variable)
    return evidence.mean(found - static)


def _region(role: str, variable: str, evidence: Evidence) -> Measurement:
    return evidence.mean(_mean_accuracy(_phase(evidence, role), variable, *_REGIONS[role]), _ACCURACY)


def _improvement(role: str, variable: str, evidence: Evidence) -> Measurement:
    dataset = _phase(evidence, role)
    dynamical = _mean_accuracy(dataset, variable, *_REGIONS[role])
    return evidence.mean(dynamical - _static_accuracy(dataset, variable))


def _harm(variable: str, evidence: Evidence) -> Measurement:
    dataset = _phase(evidence, "phase_narrow")
    largest = float(dataset["amplitude"].max())
    if largest < TOO_LARGE:
        raise UntestedError(f"the largest A in the grid is {largest:g}")
    amplitudes, longest = NARROW_REGION
    at_largest = _mean_accuracy(dataset, variable, (largest, largest), longest)
    return evidence.mean(at_largest - _mean_accuracy(dataset, variable, amplitudes, longest))


# Instabilities (Fig. 4) ----------------------------------------------------------------------------


def _regular(spectrum: xr.Dataset, variable: str) -> tuple[npt.NDArray[np.int64], Floats]:
    """Steps of the regular snapshots and the largest eigenvalue at them, both (snapshot,).

    Without the dense windows, which would make a result depend on where one looks closely, and without
    the snapshot at the very end of a run, which may be an even number of steps after the one before.
    """
    steps = spectrum["snapshot_step"].values
    regular = steps % store.settings_of(spectrum)["trajectory"]["snapshots"]["every"] == 0
    return steps[regular], spectrum[variable].values[regular, 0]


def _events(table: xr.Dataset) -> list[cascade.Event]:
    """Events by the paper's rule from a stored table, in order of time."""
    chosen = table.isel(event=np.flatnonzero(table["event_rule"].values == cascade.SHARPNESS_RULE))
    fields = ("start", "finish", "finished", "period_index")
    rows = zip(*(chosen[f"event_{name}"].values.tolist() for name in fields), strict=True)
    events = [
        cascade.Event(cascade.SHARPNESS_RULE, start, finish, bool(finished), index)
        for start, finish, finished, index in rows
    ]
    return sorted(events, key=lambda event: event.start)


def _is_cascade_run(origin: Mapping[str, Any]) -> bool:
    """Whether a run follows the protocol of Fig. 4: width 100, η = 1, T = 5000, A = 70."""
    try:
        _require_network(origin, NARROW)
        _require(origin, learning_rate=1.0, period=CASCADE_PERIOD, amplitude=CASCADE_AMPLITUDE)
        _require_steps(origin, CASCADE_STEPS)
    except UntestedError:
        return False
    return True


def _run_key(origin: Mapping[str, Any]) -> str:
    """What tells two runs apart, whatever was recorded of them."""
    return repr(sorted((k, v) for k, v in origin.items() if k not in ("snapshots", "record_every")))


def _unstable_periods(evidence: Evidence) -> list[npt.NDArray[np.bool_]]:
    """For each run of Fig. 4's protocol, which oscillating periods were unstable.

    The same run may stand in a cascade file and in ``threshold.nc``; it counts once.
    """
    found: dict[str, npt.NDArray[np.bool_]] = {}

    def add(origin: Mapping[str, Any], table: xr.Dataset) -> None:
        if not _is_cascade_run(origin):
            return
        period = origin["period"]
        # The last period is static (the paper's protocol), so it does not count.
        oscillating = origin["steps"] // period - 1
        found[_run_key(origin)] = cascade.unstable_periods(_events(table), oscillating, period=period)

    for item in evidence.inputs.get("threshold", ()):
        for origin in store.settings_of(item)["trajectories"]:
            own = (
                (item["event_learning_rate"] == origin["learning_rate"])
                & (item["event_width"] == origin["model"]["width"])
                & (item["event_seed"] == origin["seed"])
            )
            add(origin, item.isel(event=np.flatnonzero(own.values)))
    for item in evidence.inputs.get("cascade", ()):
        add(store.settings_of(item)["trajectory"], item)
    if not found:
        raise UntestedError(
            f"no run of width {NARROW} at η = 1, T = {CASCADE_PERIOD}, A = {CASCADE_AMPLITUDE:g} "
            f"over {CASCADE_STEPS} steps"
        )
    return list(found.values())


def _unstable_count(evidence: Evidence) -> Measurement:
    return evidence.mean([unstable.sum() for unstable in _unstable_periods(evidence)])


def _last_unstable(evidence: Evidence) -> Measurement:
    periods = _unstable_periods(evidence)
    last = [int(np.flatnonzero(unstable)[-1]) + 1 if unstable.any() else 0 for unstable in periods]
    return evidence.mean(last)


def _ntk(part: str, evidence: Evidence) -> Measurement:
    """Relative change of the NTK's λ_max about each event, geometric mean over events or runs."""
    spectra = {
        _run_key(store.settings_of(item)["trajectory"]): item
        for item in evidence.files("spectrum")
        if "ntk_eigenvalue" in item
    }
    runs: list[Floats] = []
    for item in evidence.files("cascade"):
        origin = store.settings_of(item)["trajectory"]
        probes = spectra.get(_run_key(origin))
        if probes is None or not _is_cascade_run(origin):
            continue
        change = cascade.ntk_change(
            *_regular(probes, "ntk_eigenvalue"), _events(item), period=origin["period"]
        )
        known = getattr(change, part)
        runs.append(np.log1p(known[np.isfinite(known)]))
    if not runs:
        raise UntestedError("no run of Fig. 4's protocol with its NTK probed")
    independent = len(runs) >= MINIMUM_RUNS
    values = np.array([run.mean() for run in runs if run.size]) if independent else np.concatenate(runs)
    logarithm = evidence.mean(values)
    lower, upper = logarithm.interval
    return Measurement(math.expm1(logarithm.value), (math.expm1(lower), math.expm1(upper)), logarithm.n)


# Thresholds (Fig. 5) -------------------------------------------------------------------------------


def _threshold_file(evidence: Evidence) -> xr.Dataset:
    item = evidence.files("threshold")[0]
    for origin in store.settings_of(item)["trajectories"]:
        _require_network(origin, origin["model"]["width"])
        _require(origin, amplitude=CASCADE_AMPLITUDE)
        period = origin["learning_rate"] * origin["period"]
        if abs(period / CASCADE_PERIOD - 1.0) > 0.01:
            raise UntestedError(f"η × T is {period:g}, in the paper {CASCADE_PERIOD}")
        _require_steps(origin, CASCADE_STEPS)
    return item


def _thresholds(item: xr.Dataset, definition: str, width: int) -> xr.DataArray:
    """λ_th over (learning_rate, seed)."""
    if width not in item["width"].values:
        raise UntestedError(f"no runs of width {width}")
    return item["threshold_by_definition"].sel(definition=definition, width=width)


def _fitted(name: str, evidence: Evidence) -> Measurement:
    """`name` ("exponent" or "prefactor") of λ_th = c η^p at the narrow width, as fitted."""
    item = _threshold_file(evidence)
    values = _thresholds(item, evidence.definition, NARROW)
    fit = item.sel(definition=evidence.definition, width=NARROW)
    lower, upper = fit[f"{name}_interval"].values.tolist()
    measured = Measurement(float(fit[name]), (lower, upper), int(fit["fit_n"]))
    rates = int((values.notnull().sum("seed") >= MINIMUM_RUNS).sum())
    if rates < 3:
        raise UntestedError(
            f"{rates} learning rates with {MINIMUM_RUNS} runs or more, 3 are needed", measured
        )
    return measured


def _width_ratio(evidence: Evidence) -> Measurement:
    """λ_th(wide) / λ_th(narrow): geometric mean over the learning rates that both widths have."""
    item = _threshold_file(evidence)
    narrow, wide = (
        np.log(_thresholds(item, evidence.definition, width).transpose("learning_rate", "seed").values)
        for width in (NARROW, WIDE)
    )
    both = np.isfinite(narrow).any(axis=1) & np.isfinite(wide).any(axis=1)
    if not both.any():
        raise UntestedError("no learning rate at which both widths have a threshold")
    # Taking out the narrow mean of each learning rate lets runs of different ones be pooled.
    level = np.nanmean(narrow[both], axis=1, keepdims=True)
    pooled = [(values[both] - level).ravel() for values in (narrow, wide)]
    narrow, wide = (values[np.isfinite(values)] for values in pooled)
    difference = float(wide.mean() - narrow.mean())
    n = min(narrow.size, wide.size)
    if n < MINIMUM_RUNS:
        return Measurement(math.exp(difference), n=n)
    seed, resamples = evidence.settings.seed, evidence.settings.resamples
    spread = bootstrap_deviations(wide, resamples=resamples, seed=[seed, 1]) - bootstrap_deviations(
        narrow, resamples=resamples, seed=[seed, 2]
    )
    lower, upper = np.exp(difference + np.quantile(spread, [0.025, 0.975])).tolist()
    return Measurement(math.exp(difference), (lower, upper), n)


def _share_above(role: str, attribute: str, evidence: Evidence) -> Measurement:
    """Share of the second half of static runs that λ_max spends above the measured threshold."""
    width = NARROW if role == "static_narrow" else WIDE
    values = _thresholds(_threshold_file(evidence), PRIMARY, width)
    shares = []
    for item in evidence.files(role):
        origin = store.settings_of(item)["trajectory"]
        _require_network(origin, width)
        _require(origin, amplitude=1.0)
        _require_steps(origin, PHASE_STEPS)
        rate = origin["learning_rate"]
        limit = math.nan
        if rate in values["learning_rate"].values:
            limit = float(values.sel(learning_rate=rate).mean("seed"))
        if not math.isfinite(limit):
            raise UntestedError(f"no threshold was measured at η = {rate:g} and width {width}")
        found = cascade.fraction_above(*_regular(item, "hessian_eigenvalue"), limit)
        shares.append(getattr(found, attribute))
    return evidence.mean(shares, (0.0, 1.0))


# --------------------------------------------------------------------------------------------------
# The registry
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: short name; with ``{definition}``, one row is made for each definition of the threshold.
        source: where the paper makes it.
        statement: the claim.
        paper_value: the paper's (or the theory's) number; NaN if it gives none.
        measured: what is measured, in words, with the unit that n counts.
        criterion: when it counts as reproduced.
        roles: files it is computed from.
        measure: does so; may raise `UntestedError`.
    """

    id: str
    source: str
    statement: str
    paper_value: float
    measured: str
    criterion: Criterion
    roles: tuple[str, ...]
    measure: Callable[[Evidence], Measurement]

    @property
    def per_definition(self) -> bool:
        """Whether it is made once a definition of the threshold."""
        return "{definition}" in self.id

    @property
    def rule(self) -> str:
        """The rule behind the verdict, in words."""
        return (
            f"{self.measured}; reproduced if {self.criterion.words()}; not tested with n < {MINIMUM_RUNS} "
            "or off the paper's protocol"
        )


_NARROW_WORDS = "5 <= A <= 20, T <= 300"
_WIDE_WORDS = "5 <= A <= 25, T <= 700"
_SEEDS = "n seeds"
_HALF = "mean over n runs of the share of snapshots in the second half of the run"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "static_narrow_fails",
        "Fig. 3a",
        "the narrow network (width 100) does not learn the spiral with the static loss (A = 1)",
        0.65,
        f"mean final training accuracy at A = 1 over {_SEEDS}",
        Below(0.8),
        ("phase_narrow", "initialisation"),
        partial(_static_narrow, "train_accuracy"),
    ),
    Claim(
        "static_narrow_train_value",
        "Fig. 3a",
        "its training accuracy at A = 1 is ~0.65",
        0.65,
        f"mean final training accuracy at A = 1 over {_SEEDS}",
        Near(0.6, 0.7, 0.2),
        ("phase_narrow", "initialisation"),
        partial(_static_narrow, "train_accuracy"),
    ),
    Claim(
        "static_narrow_validation_value",
        "Fig. 3b",
        "its validation accuracy at A = 1 is ~0.65",
        0.65,
        f"mean final validation accuracy at A = 1 over {_SEEDS}",
        Near(0.6, 0.7, 0.2),
        ("phase_narrow", "initialisation"),
        partial(_static_narrow, "validation_accuracy"),
    ),
    Claim(
        "narrow_region_train",
        "Fig. 3a",
        f"with the dynamical loss in the region {_NARROW_WORDS} the narrow network reaches training "
        "accuracy ~1",
        1.0,
        f"final training accuracy, mean over the grid's cells with {_NARROW_WORDS}, then over {_SEEDS}",
        Above(0.95),
        ("phase_narrow",),
        partial(_region, "phase_narrow", "train_accuracy"),
    ),
    Claim(
        "narrow_region_validation",
        "Fig. 3b",
        "in the same region its validation accuracy is ~0.9",
        0.9,
        f"final validation accuracy, mean over the grid's cells with {_NARROW_WORDS}, then over {_SEEDS}",
        Above(0.85),
        ("phase_narrow",),
        partial(_region, "phase_narrow", "validation_accuracy"),
    ),
    Claim(
        "narrow_region_improves",
        "Fig. 3b",
        "in the same region it generalises better than with the static loss (~0.9 against ~0.65)",
        0.25,
        "final validation accuracy minus that of the same seed at A = 1, mean over the grid's cells with "
        f"{_NARROW_WORDS}, then over {_SEEDS}",
        Above(0.0),
        ("phase_narrow",),
        partial(_improvement, "phase_narrow", "validation_accuracy"),
    ),
    *(
        Claim(
            f"narrow_best_{short}",
            source,
            f"somewhere in the (T, A) plane the narrow network reaches {words} "
            "(row added after a first look at results)",
            paper,
            "final accuracy in the cell that is best on the even seeds, mean over the n odd ones",
            Above(limit),
            ("phase_narrow",),
            partial(_best, variable),
        )
        for short, source, words, paper, limit, variable in (
            ("train", "Fig. 3a", "training accuracy ~1", 1.0, 0.95, "train_accuracy"),
            ("validation", "Fig. 3b", "validation accuracy ~0.9", 0.9, 0.85, "validation_accuracy"),
        )
    ),
    Claim(
        "static_wide_train",
        "Fig. 3c",
        "the wide network (width 1000) learns the spiral with the static loss: training accuracy ~1",
        1.0,
        f"mean final training accuracy at A = 1 over {_SEEDS}",
        Above(0.95),
        ("phase_wide",),
        partial(_static, "phase_wide", "train_accuracy"),
    ),
    Claim(
        "wide_region_improves",
        "Fig. 3d",
        f"the wide network generalises better with the dynamical loss in the region {_WIDE_WORDS}",
        math.nan,
        "final validation accuracy minus that of the same seed at A = 1, mean over the grid's cells with "
        f"{_WIDE_WORDS}, then over {_SEEDS}",
        Above(0.0),
        ("phase_wide",),
        partial(_improvement, "phase_wide", "validation_accuracy"),
    ),
    Claim(
        "wide_best_improves",
        "Fig. 3d",
        "somewhere in the (T, A) plane the wide network generalises better than with the static loss "
        "(row added after a first look at results)",
        math.nan,
        "final validation accuracy minus that at A = 1 in the cell that is best on the even seeds, "
        "mean over the n odd ones",
        Above(0.0),
        ("phase_wide",),
        partial(_best_improvement, "validation_accuracy"),
    ),
    *(
        Claim(
            f"too_large_amplitude_{short}",
            "Fig. 3a,b",
            f"too large an amplitude hurts: {words} accuracy of the narrow network",
            math.nan,
            f"final {words} accuracy at the grid's largest A (at least {TOO_LARGE:g}, T <= 300) minus that "
            f"of the same seed over the cells with {_NARROW_WORDS}, mean over {_SEEDS}",
            Below(0.0),
            ("phase_narrow",),
            partial(_harm, f"{short}_accuracy"),
        )
        for short, words in (("train", "training"), ("validation", "validation"))
    ),
    Claim(
        "unstable_periods",
        "Fig. 4, Sec. III.3",
        "about ten periods of the oscillation have instabilities",
        10.0,
        "number of oscillating periods with an instability by the paper's rule (width 100, η = 1, T = 5000, "
        "A = 70), mean over n runs",
        Near(8.0, 12.0, 8.0),
        ("threshold", "cascade"),
        _unstable_count,
    ),
    Claim(
        "instabilities_end",
        "Fig. 4, Sec. III.3",
        "after about ten periods there are no instabilities any more",
        10.0,
        "number of the last unstable period (counted from 1; 13 oscillate) by the paper's rule, same runs, "
        "mean over n runs",
        Near(8.0, 12.0, 8.0),
        ("threshold", "cascade"),
        _last_unstable,
    ),
    Claim(
        "threshold_width_{definition}",
        "Fig. 5a",
        "the threshold of instability is the same for both widths (definition: {definition})",
        1.0,
        "λ_th at width 1000 over λ_th at width 100, geometric mean over the learning rates that both have; "
        "n runs of the width with fewer",
        Equivalent(0.8, 1.25, 1.0),
        ("threshold",),
        _width_ratio,
    ),
    Claim(
        "threshold_exponent_{definition}",
        "Fig. 5a",
        "the threshold falls with the learning rate as η^-0.9 (definition: {definition})",
        -0.9,
        "exponent of λ_th = c η^p fitted over n runs of width 100 (at least 3 learning rates with 3 runs)",
        Near(-0.95, -0.85, 0.2),
        ("threshold",),
        partial(_fitted, "exponent"),
    ),
    Claim(
        "theory_exponent_{definition}",
        "Sec. III.4, stability of gradient descent",
        "theory: the threshold falls as 1/η (definition: {definition})",
        -1.0,
        "exponent of λ_th = c η^p fitted over n runs of width 100 (at least 3 learning rates with 3 runs)",
        Near(-1.0, -1.0, 0.2),
        ("threshold",),
        partial(_fitted, "exponent"),
    ),
    Claim(
        "theory_prefactor_{definition}",
        "Sec. III.4, stability of gradient descent",
        "theory: the threshold is 2/η (definition: {definition})",
        2.0,
        "prefactor of λ_th = c η^p fitted over n runs of width 100 (at least 3 learning rates with 3 runs)",
        Near(2.0, 2.0, 0.4),
        ("threshold",),
        partial(_fitted, "prefactor"),
    ),
    *(
        Claim(
            f"static_{short}_{side}{suffix}",
            f"Fig. 5{panel}",
            f"with the static loss the {short} network (width {width}) stays {side} the threshold{words}",
            paper,
            f"{_HALF} with {reading} above the threshold measured at the same η and width",
            criterion,
            ("threshold", f"static_{short}"),
            partial(_share_above, f"static_{short}", attribute),
        )
        for short, width, side, panel, paper, criterion, after in (
            ("narrow", NARROW, "above", "b", 1.0, Above(0.9), ""),
            ("wide", WIDE, "below", "c", 0.0, Below(0.1), " after a transient"),
        )
        for suffix, attribute, reading, words in (
            ("", "fraction", "λ_max", after),
            (
                "_branch_mean",
                "fraction_of_branch_mean",
                "λ_max, averaged over its two branches,",
                f"{after} on the average of its two branches",
            ),
        )
    ),
    *(
        Claim(
            f"ntk_{short}",
            "Fig. 4f, Sec. III.4",
            f"the largest eigenvalue of the NTK {words}",
            math.nan,
            f"its relative change {span}, geometric mean over n runs, or with fewer than {MINIMUM_RUNS} runs "
            "over their n events (which are not quite independent)",
            criterion,
            ("cascade", "spectrum"),
            partial(_ntk, part),
        )
        for short, words, span, criterion, part in (
            (
                "grows_before",
                "grows until an instability",
                "from the beginning of the period to the start of the instability",
                Above(0.0),
                "before",
            ),
            ("drops_during", "drops in an instability", "from its start to its finish", Below(0.0), "during"),
        )
    ),
)
"""Every claim, in the order of the paper's figures."""


@dataclass(frozen=True)
class Row:
    """One row of ``claims.csv``; fields in the order of its columns.  NaN is written as empty."""

    id: str
    source: str
    statement: str
    paper_value: float
    measured_value: float
    interval_lower: float
    interval_upper: float
    n: int
    verdict: Verdict
    rule: str
    file: str


def _judge(claim: Claim, evidence: Evidence) -> tuple[Measurement, Verdict, str]:
    try:
        found = claim.measure(evidence)
    except UntestedError as untested:
        return untested.measurement, Verdict.NOT_TESTED, str(untested)
    if found.n < MINIMUM_RUNS:
        return found, Verdict.NOT_TESTED, f"n = {found.n}"
    if not all(map(math.isfinite, (found.value, *found.interval))):
        return found, Verdict.NOT_TESTED, "no interval"
    verdict, reason = claim.criterion.decide(*found.interval)
    return found, verdict, reason


def evaluate(
    inputs: Inputs, settings: BootstrapSettings, files: Mapping[str, Sequence[str]] | None = None
) -> list[Row]:
    """Hold every claim against the results.

    Args:
        inputs: datasets by role; a claim whose roles are absent is not tested.
        settings: of the bootstrap behind the intervals.
        files: their names by role, for the last column.

    Returns:
        One row a claim, in the registry's order; those about the threshold of instability once for
        each definition that ``threshold.nc`` has, the paper's first.
    """
    definitions = [PRIMARY]
    for item in inputs.get("threshold", ()):
        definitions += [name for name in item["definition"].values.tolist() if name not in definitions]
    rows = []
    evidence = Evidence(inputs, settings)
    for claim in CLAIMS:
        for definition in definitions if claim.per_definition else [PRIMARY]:
            found, verdict, reason = _judge(claim, replace(evidence, definition=definition))
            names = dict.fromkeys(name for role in claim.roles for name in (files or {}).get(role, ()))
            rows.append(
                Row(
                    id=claim.id.format(definition=definition),
                    source=claim.source,
                    statement=claim.statement.format(definition=definition),
                    paper_value=claim.paper_value,
                    measured_value=found.value,
                    interval_lower=found.interval[0],
                    interval_upper=found.interval[1],
                    n=found.n,
                    verdict=verdict,
                    rule=f"{claim.rule} [not tested here: {reason}]" if reason else claim.rule,
                    file="; ".join(names),
                )
            )
    return rows
