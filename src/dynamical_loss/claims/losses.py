"""Claims about other base losses and waveforms (Fig. S7).

They come from the abstract of the follow-up study, arXiv 2410.10690.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from dynamical_loss.claims.cells import best_cell, with_common_seeds
from dynamical_loss.claims.criteria import above
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.losses import KINDS, PAPER_WAVEFORM, kind_of, waveform_of, width_of
from dynamical_loss.paper.protocols import NARROW, spiral_study

Floats = npt.NDArray[np.float64]

FEWEST_WIDTHS = 3
"""Smallest number of widths that counts as several sizes."""

_VARIED = ("loss.kind", "loss.waveform", "loss.weighting")


def _studies(evidence: Evidence, kind: tuple[str, str], waveform: str) -> dict[int, xr.Dataset]:
    """Return the studies of one dynamical loss by width.

    Raises:
        UntestedError: if a study departs from the paper in anything but the loss, or if there are two of the
            same width.
    """
    found: dict[int, xr.Dataset] = {}
    for item in evidence.files("losses"):
        if (kind_of(item), waveform_of(item)) == (kind, waveform):
            width = width_of(item)
            require(spiral_study(width), facts_of(item), but=_VARIED)
            if width in found:
                raise UntestedError(f"two studies of the same loss and waveform have width {width}")
            found[width] = item
    return found


def gain(item: xr.Dataset) -> Floats:
    """Return the gain in validation accuracy on the odd seeds, in the cell that is best on the even seeds.

    The shape is (odd seed,).
    """
    found, static = best_cell(item["validation_accuracy"])
    return found - static


def _over_widths(kind: tuple[str, str], evidence: Evidence) -> Measurement:
    studies = _studies(evidence, kind, PAPER_WAVEFORM)
    if len(studies) < FEWEST_WIDTHS:
        raise UntestedError(f"there are studies of {len(studies)} widths; {FEWEST_WIDTHS} are needed")
    gains = [gain(item) for item in with_common_seeds(studies).values()]
    return evidence.mean(np.mean(gains, axis=0))


def _of_waveform(kind: tuple[str, str], waveform: str, evidence: Evidence) -> Measurement:
    studies = _studies(evidence, kind, waveform)
    if NARROW not in studies:
        raise UntestedError(f"there is no study of width {NARROW}")
    return evidence.mean(gain(studies[NARROW]))


_FOLLOW_UP = "follow-up, abstract (Fig. S7)"
_BEST = "final validation accuracy minus that at A = 1 in the cell that is best on the even seeds"

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"several_sizes_{'_'.join(kind)}",
            _FOLLOW_UP,
            f"a dynamical loss ({words}) raises the validation accuracy of networks of several sizes",
            math.nan,
            f"{_BEST}, mean over the widths (at least {FEWEST_WIDTHS}), then over the n odd seeds",
            above(0.0),
            ("losses",),
            partial(_over_widths, kind),
            "difference of accuracies",
        )
        for kind, words in KINDS.items()
    ),
    *(
        Claim(
            f"waveform_{waveform}_{'_'.join(kind)}",
            "beyond the paper (Fig. S7)",
            f"a dynamical loss with a {waveform} wave in place of the triangle wave ({words}) raises the "
            f"validation accuracy at width {NARROW}",
            math.nan,
            f"{_BEST}, mean over the n odd ones",
            above(0.0),
            ("losses",),
            partial(_of_waveform, kind, waveform),
            "difference of accuracies",
        )
        for kind, words in KINDS.items()
        for waveform in ("sine", "square")
    ),
)
"""The rules were registered before the runs (docs/choices.md)."""
