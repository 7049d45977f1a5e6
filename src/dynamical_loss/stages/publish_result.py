"""Make the small copy of a result that the repository keeps, to render figures from without training.

A copy keeps the provenance of its result, inputs included, and states the checksum of the result's content
beside its own.
"""

from __future__ import annotations

from pathlib import Path

from dynamical_loss import store
from dynamical_loss.errors import UserError

_LEFT_OUT = ("parameters",)
_DIGITS = 5
# Fig. 4c shows differences of neighbouring losses; the oscillation is smooth and only drawn; of a residual
# the order of magnitude matters.
_OTHER_DIGITS = {"weighted_loss": 6, "class_weight": 4}
_RESIDUAL_DIGITS = 1


def run(result: Path, output: Path) -> None:
    """Copy a result: a NetCDF file rounded and without parameter snapshots, others as they are.

    Raises:
        UserError: if the result cannot be read.
    """
    if result.suffix != ".nc":
        _copy(result, output)
        return
    dataset = store.read(result)
    store.bring_back([result])
    small = dataset.drop_vars(_LEFT_OUT, errors="ignore").assign_attrs(
        {
            store.PUBLISHED: f"rounded to {_DIGITS} significant digits or as the variable says, "
            "without parameters",
            store.PUBLISHED_FROM: dataset.attrs[store.CONTENT],
        }
    )
    residuals = {str(name): _RESIDUAL_DIGITS for name in small.data_vars if "residual" in str(name)}
    store.write_small(small, output, _OTHER_DIGITS | residuals, _DIGITS)


def _copy(result: Path, output: Path) -> None:
    beside = store.sidecar(result)
    attributes = store.read_sidecar(beside)
    checksum = attributes.pop(store.FILES).get(result.name)
    if checksum is None:
        raise UserError(f"{beside} does not name {result.name}; {store.remedy(result)}")
    with store.atomic_path(output) as temporary:
        temporary.write_bytes(result.read_bytes())
    copied = {store.PUBLISHED: "unchanged", store.PUBLISHED_FROM: checksum}
    store.write_sidecar([output], attributes | copied, [result, beside])
