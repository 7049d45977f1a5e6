"""Claims about which flow follows gradient descent (arXiv 2302.01952, Fig. F1, F4)."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import xarray as xr

from dynamical_loss.claims.criteria import above, below
from dynamical_loss.claims.evidence import Claim, Evidence, Measurement, UntestedError, require
from dynamical_loss.flows.names import KINDS, Kind
from dynamical_loss.paper.departures import facts_of
from dynamical_loss.paper.protocols import FLOWS
from dynamical_loss.results import recorded

EXPLORED = 1
"""Seeds below this number had been examined when the rules were written; only the other seeds measure."""


def _is_on(dataset: str, item: xr.Dataset) -> bool:
    return bool(item.attrs.get("dataset") == dataset)


def _log_ratios(other: Kind, dataset: str, evidence: Evidence) -> Measurement:
    """Measure the logarithm of another flow's error over the principal flow's, after one step and by seed."""
    ratios: list[xr.DataArray] = []
    for item in evidence.files("flows"):
        if not _is_on(dataset, item):
            continue
        require(FLOWS[dataset], facts_of(item, recorded.settings_of(item)["trajectory"]))
        after = item.isel(step=1).sel(seed=slice(EXPLORED, None))
        errors = after["error"].copy(data=np.log(after["error"].values))
        # Where the principal flow is stuck the ratio is 0, because leaving such starts out would favour it.
        ratio = (errors.sel(flow=other) - errors.sel(flow="principal")).where(
            after["stuck"].sel(flow="principal") == 0, 0.0
        )
        ratios.append(ratio.mean("start").drop_vars("flow", errors="ignore"))
    if not ratios:
        raise UntestedError(f"no file has the flows of networks trained on the {dataset} data")
    joined = xr.align(*ratios, join="inner")
    return evidence.mean(np.mean([each.values for each in joined], axis=0))


_QUADRATIC_STEPS = 5
_DIVERGING = 2.0
# Tolerance of the integrator, whose error is the principal flow's distance from gradient descent.
_TOLERANCE = 1e-10


def _quadratic(evidence: Evidence, *, least: float) -> xr.Dataset:
    """Return the first steps of the paths on the quadratic whose hλ_max is above `least`.

    Raises:
        UntestedError: if the tolerance of the integrator was too large.
    """
    found = evidence.files("known")[0]
    tolerance = recorded.settings_of(found)["tolerance"]
    if tolerance > _TOLERANCE:
        raise UntestedError(
            f"the flows were integrated with tolerance {tolerance:g}; at most {_TOLERANCE:g} is allowed"
        )
    return found.isel(path=found["path_sharpness"].values > least, step=slice(1, _QUADRATIC_STEPS + 1))


def _exact(value: float, places: xr.DataArray) -> Measurement:
    """Return a calculated number as a measurement; without scatter its interval has no width."""
    return Measurement(value, (value, value), places.size, exact=True)


def _principal_distance(evidence: Evidence) -> Measurement:
    places = _quadratic(evidence, least=1.0)["path_error"].sel(flow="principal")
    return _exact(float(places.max()), places)


def _others_distance(evidence: Evidence) -> Measurement:
    places = _quadratic(evidence, least=1.0)["path_error"].sel(flow=list(_OTHERS.values()))
    return _exact(float(places.min()), places)


def _growth(flow: Kind, evidence: Evidence) -> Measurement:
    """Measure the mean logarithmic growth of the sharp coordinate in a step if gradient descent diverges."""
    path = _quadratic(evidence, least=_DIVERGING)["path_real"].sel(flow=flow).isel(coordinate=0)
    sizes = np.log(np.abs(path.values))
    return _exact(float(np.diff(sizes, axis=-1).mean()), path)


_DATA = {"spiral": "spiral", "cancer": "breast cancer"}
_OTHERS: dict[str, Kind] = {"gradient_flow": "gradient", "regularisation": "regularised"}

_ON_QUADRATIC = "on a quadratic with hλ_max = 1.8 and 2.1"
_CALCULATED = f"first {_QUADRATIC_STEPS} steps; calculated, without scatter; n counts places"

_KNOWN: tuple[Claim, ...] = (
    Claim(
        "principal_flow_follows_quadratic",
        "arXiv 2302.01952, abstract (Fig. F1)",
        f"{_ON_QUADRATIC} the principal flow passes through the iterates of gradient descent, both where "
        "these alternate and where they diverge",
        math.nan,
        f"largest distance of the two; {_CALCULATED}",
        below(1e-10),
        ("known",),
        _principal_distance,
        "distance",
    ),
    Claim(
        "other_flows_miss_quadratic",
        "arXiv 2302.01952, abstract (Fig. F1)",
        f"{_ON_QUADRATIC} neither the gradient flow nor implicit gradient regularisation passes through the "
        "iterates of gradient descent",
        math.nan,
        f"smallest distance of either from gradient descent; {_CALCULATED}",
        above(0.1),
        ("known",),
        _others_distance,
        "distance",
    ),
    Claim(
        "principal_flow_leaves_minimum",
        "arXiv 2302.01952, abstract (Fig. F1)",
        "the principal flow leaves the minimum of a quadratic with hλ_max = 2.1, as gradient descent does",
        math.log(1.1),
        f"mean logarithm of the growth of the sharp coordinate a step; {_CALCULATED}",
        above(0.0),
        ("known",),
        partial(_growth, "principal"),
        "natural logarithm of a ratio",
    ),
    Claim(
        "gradient_flow_rests_at_minimum",
        "arXiv 2302.01952, abstract (Fig. F1)",
        "the gradient flow comes to rest at the minimum of a quadratic with hλ_max = 2.1, which gradient "
        "descent leaves",
        math.nan,
        f"mean logarithm of the growth of the sharp coordinate a step; {_CALCULATED}",
        below(0.0),
        ("known",),
        partial(_growth, "gradient"),
        "natural logarithm of a ratio",
    ),
)

CLAIMS: tuple[Claim, ...] = _KNOWN + tuple(
    Claim(
        f"principal_flow_beats_{name}_{short}",
        "arXiv 2302.01952 (Fig. F4)",
        f"for networks on the {dataset} data the principal flow predicts a step of gradient descent better "
        f"than {KINDS[other]} does",
        math.nan,
        "ln of the other flow's distance from gradient descent over the principal flow's, after one step; 0 "
        "where the principal flow could not be integrated; mean over studies and starts, then over the n "
        "seeds that no draft had used",
        above(0.0),
        ("flows",),
        partial(_log_ratios, other, dataset),
        "natural logarithm of a ratio",
        about=partial(_is_on, dataset),
    )
    for short, dataset in _DATA.items()
    for name, other in _OTHERS.items()
)
"""The rules were registered before the runs (docs/flow.md)."""
