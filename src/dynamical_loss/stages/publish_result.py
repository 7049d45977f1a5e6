"""Make the small copy of a result that the repository keeps, to render figures from without training."""

from __future__ import annotations

from pathlib import Path

from dynamical_loss import store

_LEFT_OUT = ("parameters",)
_DIGITS = 5
# Fig. 4c shows differences of neighbouring losses; the oscillation is smooth and only drawn; of a residual
# the order of magnitude matters.
_OTHER_DIGITS = {"weighted_loss": 6, "class_weight": 4}
_RESIDUAL_DIGITS = 1


def run(result: Path, output: Path) -> None:
    """Copy a result, rounded and without parameter snapshots; its provenance stays its own.

    Raises:
        UserError: if the result cannot be read.
    """
    dataset = store.read(result)
    small = dataset.drop_vars(_LEFT_OUT, errors="ignore").assign_attrs(
        published=f"rounded to {_DIGITS} significant digits or as the variable says, without parameters"
    )
    residuals = {str(name): _RESIDUAL_DIGITS for name in small.data_vars if "residual" in str(name)}
    store.write_small(small, output, _OTHER_DIGITS | residuals, _DIGITS)
