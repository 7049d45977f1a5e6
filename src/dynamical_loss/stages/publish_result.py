"""Make the small copy of a result that the repository keeps, so that figures need no training.

A copy keeps the provenance of its result, including the inputs.  It states the checksum of the result's
content in addition to the checksum of its own content.
"""

from __future__ import annotations

from pathlib import Path

from dynamical_loss.errors import ResultError
from dynamical_loss.results import files, netcdf, recorded, sidecars

_LEFT_OUT = ("parameters", "optimiser_state")
_MOST_CURVE_VALUES = 200_000
"""Largest size of learning curves that are kept; the curves of a large grid would fill the repository."""

_DIGITS = 5
# Fig. 4c shows differences of neighbouring losses, which need more digits.  The class weights oscillate
# smoothly and are only drawn.  For a residual only the order of magnitude matters.
_OTHER_DIGITS = {"weighted_loss": 6, "class_weight": 4}
_RESIDUAL_DIGITS = 1


def run(result: Path, output: Path) -> None:
    """Copy a result: round a NetCDF file and drop its parameter snapshots, and copy other files unchanged.

    Raises:
        UserError: if the result cannot be read.
    """
    if result.suffix != ".nc":
        _copy(result, output)
        return
    dataset = netcdf.read(result)
    files.bring_back([result])
    curves = [
        str(name)
        for name, variable in dataset.data_vars.items()
        if str(name).endswith("_curve") and variable.size > _MOST_CURVE_VALUES
    ]
    small = dataset.drop_vars([*_LEFT_OUT, *curves], errors="ignore").assign_attrs(
        {
            recorded.PUBLISHED: f"rounded to {_DIGITS} significant digits or as the variable says, "
            f"without {' and '.join(['parameters', *(['learning curves'] if curves else [])])}",
            recorded.PUBLISHED_FROM: dataset.attrs[recorded.CONTENT],
        }
    )
    residuals = {str(name): _RESIDUAL_DIGITS for name in small.data_vars if "_residual" in str(name)}
    netcdf.write_small(small, output, _OTHER_DIGITS | residuals, _DIGITS)


def _copy(result: Path, output: Path) -> None:
    beside = sidecars.beside(result)
    attributes = sidecars.read(beside)
    checksum = attributes.pop(sidecars.FILES).get(result.name)
    if checksum is None:
        raise ResultError(f"{beside} does not name {result.name}", result)
    with files.atomic_path(output) as temporary:
        temporary.write_bytes(result.read_bytes())
    copied = {recorded.PUBLISHED: "unchanged", recorded.PUBLISHED_FROM: checksum}
    sidecars.write([output], attributes | copied, [result, beside])
