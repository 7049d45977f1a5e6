"""Write and read sidecars: JSON files with provenance and checksums of results that are no NetCDF files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynamical_loss.errors import UnknownOriginError
from dynamical_loss.results import checksums
from dynamical_loss.results.files import atomic_path, bring_back, damaged, differs, reading
from dynamical_loss.results.recorded import ATTRIBUTES, unsealed

FILES = "files"
"""Key of a sidecar that holds the SHA-256 of each result, by file name."""


def beside(output: Path) -> Path:
    """Return the path of the sidecar of a result that is no NetCDF file."""
    return output.with_suffix(".json")


def write(outputs: Sequence[Path], attributes: Mapping[str, Any], inputs: Iterable[Path]) -> None:
    """Write the sidecars of results that are no NetCDF files; no incomplete sidecar is ever left.

    Args:
        outputs: finished files; files with the same folder and stem share a sidecar.
        attributes: attributes from `Provenance.attributes`.
        inputs: files that the results were made from, see `files.bring_back`.
    """
    bring_back(inputs)
    for path in sorted({beside(output) for output in outputs}):
        own = sorted(output for output in outputs if beside(output) == path)
        content: dict[str, Any] = {
            **attributes,
            FILES: {output.name: checksums.of_file(output) for output in own},
        }
        content[ATTRIBUTES] = _checksum(content)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _checksum(content: Mapping[str, Any]) -> str:
    return checksums.of_attributes({name: json.dumps(value) for name, value in unsealed(content).items()})


def read(path: Path) -> dict[str, Any]:
    """Read a sidecar, and compare the sidecar and its results with their checksums.

    Returns:
        attributes of the results, by name.

    Raises:
        ResultError: if the sidecar or one of its results is missing or damaged, or the file is no sidecar.
        UnreadableError: if the system refuses to read one of these files.
    """
    with reading(path):
        text = path.read_bytes()
    try:
        content = json.loads(text.decode())
    except ValueError:
        # The checksum of a sidecar is part of the JSON, so it cannot be compared here.
        raise damaged(path, "it is no JSON") from None
    if not isinstance(content, dict) or not isinstance(content.get(FILES), dict):
        raise UnknownOriginError(f"{path} names no results and was made by another program", path)
    if content.get(ATTRIBUTES) != _checksum(content):
        raise differs(path)
    for name, checksum in content[FILES].items():
        result = path.parent / Path(name).name
        with reading(result):
            same = checksums.of_file(result) == checksum
        if not same:
            raise differs(result)
    return content


def checksum(output: Path) -> str:
    """Return the SHA-256 of a result that is no NetCDF file, after a comparison with its sidecar.

    Raises:
        ResultError: if the result or its sidecar is missing or damaged, or the sidecar does not name it.
        UnreadableError: if the system refuses to read one of these files.
    """
    files = read(beside(output))[FILES]
    if output.name not in files:
        raise UnknownOriginError(f"{beside(output)} does not name {output.name}", output)
    return str(files[output.name])
