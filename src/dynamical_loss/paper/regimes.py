"""Identify studies of the dynamical loss from feature to lazy training (Fig. L6) by what they record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

_ROUNDING = 1e-3  # relative tolerance of √h·α, which a configuration may round

Arm = Literal["usual", "longer", "parametrised"]

PERIOD, AMPLITUDE, STEPS = 200, 20.0, 35_000
"""T, A and number of steps in the usual arm; the longer arm multiplies T and the number of steps by α."""


class Regime(NamedTuple):
    """Quantities in which the studies differ.

    Attributes:
        arm: ``usual``: α alone varies, and the learning rate is min(1, α); ``longer``: T is larger than
            `PERIOD`, with proportionally more steps; ``parametrised``: the network has the neural-tangent
            parametrisation.
        alpha: scale α of the output.
        width: number h of hidden units.
    """

    arm: Arm
    alpha: float
    width: int

    @property
    def scale(self) -> float:
        """√h·α, which decides the regime in the neural-tangent parametrisation."""
        return math.sqrt(self.width) * self.alpha


def regime_of(item: xr.Dataset) -> Regime:
    """Return the arm, α and width of a study.

    Raises:
        UserError: if the output is not scaled, if there is more than one T, or if the amplitudes are not
            A = 1 and one other A.
    """
    settings = recorded.settings_of(item)
    alpha = settings.get("output_scale")
    amplitudes = item["amplitude"].values
    if alpha is None or item.sizes["period"] != 1 or len(amplitudes) != 2 or 1.0 not in amplitudes:
        raise UserError(
            "a study of regimes needs an output_scale, one T, and A = 1 with one other A; name such a study"
        )
    model = settings["model"]
    parametrised = model.get("parametrisation", "standard") == "neural_tangent"
    longer = int(item["period"].values[0]) > PERIOD
    arm: Arm = "parametrised" if parametrised else "longer" if longer else "usual"
    return Regime(arm, float(alpha), int(model["width"]))


def departure(item: xr.Dataset, narrow: int) -> str | None:
    """Return in words how a study departs from the protocol of its arm; None if it does not depart.

    Args:
        item: study that `regime_of` accepts.
        narrow: width in the arms that have a single width.

    Raises:
        UserError: if `regime_of` does not accept the study.
    """
    which, settings = regime_of(item), recorded.settings_of(item)
    times = which.alpha if which.arm == "longer" else 1.0
    rate = which.scale if which.arm == "parametrised" else min(1.0, which.alpha)
    found = {
        "T": (float(item["period"].values[0]), times * PERIOD),
        "A": (float(item["amplitude"].max()), AMPLITUDE),
        "steps": (float(settings["steps"]), times * STEPS),
        "learning_rate": (float(settings["learning_rate"]), rate),
    }
    for name, (value, wanted) in found.items():
        if not math.isclose(value, wanted, rel_tol=_ROUNDING):
            return f"{name} is {value:g}; the arm '{which.arm}' has {wanted:g} at α = {which.alpha:g}"
    if which.arm != "parametrised" and which.width != narrow:
        return f"the width is {which.width}; the arm '{which.arm}' has {narrow}"
    return None


def pair(item: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a variable with the static loss, and the same variable with the dynamical loss, (seed,) each."""
    values = item[name].isel(period=0)
    return values.sel(amplitude=1.0), values.sel(amplitude=float(item["amplitude"].max()))


def gain(item: xr.Dataset) -> xr.DataArray:
    """Return the gain in final validation accuracy from the dynamical over the static loss, shape (seed,)."""
    static, dynamical = pair(item, "validation_accuracy")
    return dynamical - static
