"""Identify the learning rate with which a phase diagram was trained (Fig. F7, F8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from dynamical_loss.analysis.cells import runs_of_cell
from dynamical_loss.errors import UserError
from dynamical_loss.notation import exact
from dynamical_loss.results import recorded

if TYPE_CHECKING:
    import xarray as xr

Cell = tuple[int | None, float]
"""T and A; T is None for the static loss, which has no period."""

STATIC: Cell = (None, 1.0)
SHORT: Cell = (200, 10.0)
LONG: Cell = (5000, 70.0)
"""Cells (T, A) of the study: the static loss, a cell that is known to help, and the cell of Fig. 4."""

CELLS = {STATIC: "static loss", SHORT: "T = 200, A = 10", LONG: "T = 5000, A = 70"}

_OWN, _NEXT, _STATIC_NEXT = "own_run", "next_seed", "static_next_seed"


class LearningRate(NamedTuple):
    """How the learning rate of each step is computed.

    Attributes:
        rate: η.
        decays: whether the learning rate falls linearly from 2η to 0.
        power: power p of the drift-adjusted learning rate; None for a learning rate that is given in advance.
        cap: largest factor by which the drift-adjusted learning rate multiplies η.
        steps_of: run whose curvature the learning rate follows.
        constant: constant c of the drift-adjusted learning rate; the paper has 2.
    """

    rate: float
    decays: bool = False
    power: float | None = None
    cap: float | None = None
    steps_of: str = _OWN
    constant: float = 2.0

    @property
    def is_constant(self) -> bool:
        """Whether all steps have the same learning rate."""
        return self.power is None and not self.decays

    @property
    def follows(self) -> bool:
        """Whether this is the paper's rule, which follows the curvature of the run itself."""
        return self.power is not None and self.steps_of == _OWN and (self.rate, self.constant) == (1.0, 2.0)

    def words(self) -> str:
        """Return the learning rate in words, as the label of a row."""
        if self.power is None:
            return f"η = {exact(2 * self.rate)} → 0" if self.decays else f"η = {exact(self.rate)}"
        rule = f"DAL, p = {exact(self.power)}, cap {exact(self.cap or 0.0)}"
        rule += "" if self.constant == 2.0 else f", c = {exact(self.constant)}"
        rule += "" if self.rate == 1.0 else f", times {exact(self.rate)}"
        others = {_OWN: "", _NEXT: ", another seed's steps", _STATIC_NEXT: ", a static run's steps"}
        return rule + others[self.steps_of]


DECAY = [[0.0, 2.0], [1.0, 0.0]]
"""Schedule of a learning rate that decays; the study has no other schedule."""


def learning_rate_of(item: xr.Dataset) -> LearningRate | None:
    """Return the learning rate of a phase diagram; None if the study has no such learning rate."""
    settings = recorded.settings_of(item)
    schedule = [list(point) for point in settings["learning_rate_schedule"]]
    rule = settings.get("learning_rate_rule", {"kind": "constant"})
    rate = float(settings["learning_rate"])
    if rule["kind"] == "constant":
        return LearningRate(rate, bool(schedule)) if schedule in ([], DECAY) else None
    if schedule:
        return None
    power, cap, constant = (float(rule[key]) for key in ("power", "cap", "constant"))
    return LearningRate(rate, False, power, cap, rule["steps_of"], constant)


_LONG_STEPS = 70_000  # number of steps in Fig. 4; runs in the other cells have the steps of Fig. 3


def runs_of(items: Iterable[xr.Dataset], cell: Cell) -> dict[LearningRate, xr.DataArray]:
    """Return the final validation accuracies in one cell by learning rate, each of shape (seed,).

    Args:
        items: phase diagrams.
        cell: T and A; at `LONG` only runs as long as those of Fig. 4 count, elsewhere only shorter runs.

    Raises:
        UserError: if two diagrams have the same learning rate in this cell.
    """
    found: dict[LearningRate, xr.DataArray] = {}
    for item in items:
        rate = learning_rate_of(item)
        values = runs_of_cell(item, "validation_accuracy", *cell)
        is_long = int(recorded.settings_of(item)["steps"]) >= _LONG_STEPS
        if rate is None or values is None or is_long != (cell == LONG):
            continue
        if rate in found:
            raise UserError(f"two studies have the learning rate {rate.words()} in one cell; leave one out")
        found[rate] = values
    return found
