"""Studies of the dynamical loss from feature to lazy training (Fig. L6), told apart by what they record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

_ROUNDING = 1e-3  # of √h·α, which a configuration may round

Arm = Literal["usual", "longer", "parametrised"]

PERIOD, AMPLITUDE, STEPS = 200, 20.0, 35_000
"""T, A and length of the runs in the usual arm; in the longer one steps and T are α times as many."""


class Regime(NamedTuple):
    """What one study varies.

    Attributes:
        arm: ``usual``: α alone, and the learning rate min(1, α); ``longer``: T above `PERIOD`, and with it
            the steps; ``parametrised``: the neural-tangent parametrisation.
        alpha: α.
        width: h.
    """

    arm: Arm
    alpha: float
    width: int

    @property
    def scale(self) -> float:
        """√h·α, which decides the regime in the neural-tangent parametrisation."""
        return math.sqrt(self.width) * self.alpha


def regime_of(item: xr.Dataset) -> Regime:
    """What a study varies.

    Raises:
        UserError: if its output is not scaled, or it has more than one T.
    """
    settings = recorded.settings_of(item)
    alpha = settings.get("output_scale")
    amplitudes = item["amplitude"].values
    if alpha is None or item.sizes["period"] != 1 or len(amplitudes) != 2 or 1.0 not in amplitudes:
        raise UserError(
            "a study of regimes has an output_scale, one T, and A = 1 beside another; name others"
        )
    model = settings["model"]
    parametrised = model.get("parametrisation", "standard") == "neural_tangent"
    longer = int(item["period"].values[0]) > PERIOD
    arm: Arm = "parametrised" if parametrised else "longer" if longer else "usual"
    return Regime(arm, float(alpha), int(model["width"]))


def departure(item: xr.Dataset, narrow: int) -> str | None:
    """How a study departs from the protocol of its arm, in words; None if it does not.

    Args:
        item: a study that `regime_of` takes.
        narrow: the width of the arms that have one width.
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
            return f"{name} is {value:g}, in the arm '{which.arm}' {wanted:g} at α = {which.alpha:g}"
    if which.arm != "parametrised" and which.width != narrow:
        return f"the width is {which.width}, in the arm '{which.arm}' {narrow}"
    return None


def pair(item: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray]:
    """A variable of a study's runs with the static loss and with the dynamical one, (seed,) each."""
    values = item[name].isel(period=0)
    return values.sel(amplitude=1.0), values.sel(amplitude=float(item["amplitude"].max()))


def gain(item: xr.Dataset) -> xr.DataArray:
    """Final validation accuracy with the dynamical loss less that with the static one, by seed, (seed,)."""
    static, dynamical = pair(item, "validation_accuracy")
    return dynamical - static
