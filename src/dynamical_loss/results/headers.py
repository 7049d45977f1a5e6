"""Read the attributes of results without their values; hundreds of files take a few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamical_loss.results import sidecars
from dynamical_loss.results.files import differs, not_understood
from dynamical_loss.results.recorded import ATTRIBUTES


def read(path: Path) -> dict[str, Any]:
    """Return the global attributes of a NetCDF file, compared with their checksum.

    The end of the file is checked too, so a truncated file is found; the values are not looked at.

    Args:
        path: file to read.

    Raises:
        ResultError: if the file is missing, truncated or without checksums, or its attributes are damaged.
        UnreadableError: if the system or the library cannot read the file.
    """
    # Snakemake reads this module for each job, and NetCDF's library would delay it.  `netcdf` sets HDF5's
    # variables before it loads the library, so it must be imported first.
    from dynamical_loss.results import netcdf  # isort: skip
    import netCDF4

    netcdf.check(path)
    try:
        with netCDF4.Dataset(path) as opened:
            attributes = {name: opened.getncattr(name) for name in opened.ncattrs()}
    except netcdf._UNREADABLE as error:
        raise not_understood(path, error) from None
    if netcdf._attributes_checksum(attributes) != attributes.get(ATTRIBUTES):
        raise differs(path)
    return attributes


def of_result(path: Path) -> dict[str, Any]:
    """Return the attributes of a NetCDF file, or those in the sidecar of another result; see `read`."""
    return read(path) if path.suffix == ".nc" else sidecars.read(sidecars.beside(path))


def stage(attributes: Mapping[Any, Any]) -> str:
    """Return the name of the stage that made a result; empty if it does not say so.

    The first of the modules in the attribute is the stage; the others are kinds that it used.

    Examples:
        >>> stage({"source": "dynamical_loss.stages.render_figure, dynamical_loss.figures.fig4_cascade"})
        'render_figure'
    """
    return str(attributes.get("source", "")).partition(",")[0].rpartition(".")[2]
