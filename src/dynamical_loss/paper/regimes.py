"""Studies of the dynamical loss from feature to lazy training (Fig. L6), told apart by what they record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from dynamical_loss.errors import UserError
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

Arm = Literal["usual", "longer", "parametrised"]

PERIOD, AMPLITUDE = 200, 20.0
"""T and A of the dynamical loss in the usual arm; steps and T of the longer one grow together."""


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
    if alpha is None or item.sizes["period"] != 1 or 1.0 not in item["amplitude"].values:
        raise UserError(
            "a study of regimes has an output_scale, one T, and A = 1 beside another; name others"
        )
    model = settings["model"]
    parametrised = model.get("parametrisation", "standard") == "neural_tangent"
    longer = int(item["period"].values[0]) > PERIOD
    arm: Arm = "parametrised" if parametrised else "longer" if longer else "usual"
    return Regime(arm, float(alpha), int(model["width"]))


def pair(item: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray]:
    """A variable of a study's runs with the static loss and with the dynamical one, (seed,) each."""
    values = item[name].isel(period=0)
    return values.sel(amplitude=1.0), values.sel(amplitude=float(item["amplitude"].max()))


def gain(item: xr.Dataset) -> xr.DataArray:
    """Final validation accuracy with the dynamical loss less that with the static one, by seed, (seed,)."""
    static, dynamical = pair(item, "validation_accuracy")
    return dynamical - static
