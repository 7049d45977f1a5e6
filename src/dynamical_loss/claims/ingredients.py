"""Claims about the gain that remains without one part of the dynamical loss (beyond the paper, Fig. S6)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.analysis.intervals import widening
from dynamical_loss.claims.cells import static_accuracy, with_common_seeds
from dynamical_loss.claims.criteria import above
from dynamical_loss.claims.evidence import MINIMUM_RUNS, Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.protocols import LOSS_PARTS, NARROW, phase_of_spiral
from dynamical_loss.paper.variants import VARIANTS, variant_of
from dynamical_loss.results import recorded

Floats = npt.NDArray[np.float64]


def dynamical_accuracy(item: xr.Dataset, variable: str) -> Floats:
    """Return the accuracy in the only cell with A > 1, shape (seed,).

    Raises:
        UntestedError: if there is not exactly one such cell.
    """
    cells = item[variable].where(item["amplitude"] > 1.0, drop=True)
    if cells.sizes["period"] * cells.sizes["amplitude"] != 1:
        raise UntestedError("the study has more than one cell with A > 1")
    return np.asarray(cells.values.ravel(), dtype=np.float64)


def remaining(variant: Floats, whole: Floats, static: Floats, *, resamples: int, seed: int) -> Measurement:
    """Measure the share of the gain that remains, with its 95 % bootstrap interval over seeds.

    All three losses are resampled together, with the same seeds.

    Args:
        variant: accuracy with the variant of the loss, shape (seed,).
        whole: accuracy with the whole dynamical loss, for the same seeds.
        static: accuracy with the static loss, for the same seeds.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.

    Raises:
        UntestedError: if the whole loss gains nothing, so that there is no gain to take a share of.
    """
    gains = np.stack([variant - static, whole - static])
    means = gains.mean(axis=1)
    n = gains.shape[1]
    if n < MINIMUM_RUNS:
        return Measurement(n=n)
    chosen = np.random.default_rng([seed, 3]).integers(n, size=(resamples, n))
    drawn = gains[:, chosen].mean(axis=2)
    if means[1] <= 0 or np.quantile(drawn[1], 0.025) <= 0:
        raise UntestedError("the whole dynamical loss gains nothing in this cell", Measurement(n=n))
    share = float(means[0] / means[1])
    ends = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    lower, upper = (share + widening(n, n - 1) * (float(end) - share) for end in ends)
    return Measurement(share, (lower, upper), n)


def _share(name: str, variable: str, evidence: Evidence) -> Measurement:
    studies: dict[str | None, xr.Dataset] = {}
    for item in evidence.files("ingredients"):
        which = variant_of(recorded.settings_of(item)["loss"])
        if which in studies:
            raise UntestedError(f"there are two studies of the variant '{which}'")
        studies[which] = item
    missing = [which for which in ("whole", name) if which not in studies]
    if missing:
        raise UntestedError(f"there is no study of the variant '{missing[0]}'")
    both = with_common_seeds({which: studies[which] for which in ("whole", name)})
    whole, variant = both["whole"], both[name]
    require(phase_of_spiral(NARROW), facts_of(whole))
    require(phase_of_spiral(NARROW), facts_of(variant), but=tuple(LOSS_PARTS))
    cells = [(tuple(item["period"].values), float(item["amplitude"].max())) for item in (whole, variant)]
    if cells[0] != cells[1]:
        raise UntestedError("the variant was trained at another T or A than the whole loss")
    return remaining(
        dynamical_accuracy(variant, variable),
        dynamical_accuracy(whole, variable),
        static_accuracy(whole[variable]),
        resamples=evidence.settings.resamples,
        seed=evidence.settings.seed,
    )


CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        f"without_{name}_{short}",
        "beyond the paper (Fig. S6)",
        f"most of the dynamical loss's gain in {words} accuracy remains without {what}",
        math.nan,
        f"gain in final {words} accuracy over the static loss, as a share of that of the whole loss "
        "at the same T and A, means over n seeds resampled together",
        above(0.5),
        ("ingredients",),
        partial(_share, name, f"{short}_accuracy"),
        "share of the gain",
    )
    for name, (what, _) in VARIANTS.items()
    for short, words in (("train", "training"), ("validation", "validation"))
)
"""One claim for each part of the loss and each kind of accuracy; the rule was registered before the runs."""
