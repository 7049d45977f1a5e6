"""Which flow follows gradient descent on networks (arXiv 2302.01952, Fig. F4)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import xarray as xr

from dynamical_loss.claims.criteria import above
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.flows.names import KINDS, Kind
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.protocols import FLOWS
from dynamical_loss.results import recorded

EXPLORED = 1
"""Seeds below this had been looked at when the rules were written; the others measure."""


def _log_ratios(other: Kind, dataset: str, evidence: Evidence) -> Measurement:
    """Logarithm of the other flow's error after one step over the principal flow's, by seed."""
    ratios: list[xr.DataArray] = []
    for item in evidence.files("flows"):
        if item.attrs.get("dataset") != dataset:
            continue
        require(FLOWS[dataset], facts_of(item, recorded.settings_of(item)["trajectory"]))
        after = item.isel(step=1).sel(seed=slice(EXPLORED, None))
        errors = after["error"].copy(data=np.log(after["error"].values))
        # A flow that is stuck is not ahead: leaving it out would favour it.
        ratio = (errors.sel(flow=other) - errors.sel(flow="principal")).where(
            after["stuck"].sel(flow="principal") == 0, 0.0
        )
        ratios.append(ratio.mean("start").drop_vars("flow", errors="ignore"))
    if not ratios:
        raise UntestedError(f"no flows along networks on the {dataset}")
    joined = xr.align(*ratios, join="inner")
    return evidence.mean(np.mean([each.values for each in joined], axis=0))


_DATA = {"spiral": "spiral", "cancer": "breast cancer"}
_OTHERS: dict[str, Kind] = {"gradient_flow": "gradient", "regularisation": "regularised"}

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        f"principal_flow_beats_{name}_{short}",
        "arXiv 2302.01952 (Fig. F4)",
        f"on the {dataset} the principal flow predicts a step of gradient descent better than "
        f"{KINDS[other]} does",
        math.nan,
        "ln of the other flow's distance from gradient descent over the principal flow's, after one step; 0 "
        "where the principal flow could not be integrated; mean over studies and starts, then over the n "
        "seeds that had not been looked at",
        above(0.0),
        ("flows",),
        partial(_log_ratios, other, dataset),
        "natural logarithm of a ratio",
    )
    for short, dataset in _DATA.items()
    for name, other in _OTHERS.items()
)
"""The rules were registered before the runs (docs/flow.md)."""
