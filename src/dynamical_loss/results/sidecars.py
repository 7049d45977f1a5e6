"""JSON files beside results that are no NetCDF files: where these came from, with their checksums."""

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
"""In a JSON file beside results: SHA-256 of each, by name."""


def beside(output: Path) -> Path:
    """The JSON file beside a result that is no NetCDF file."""
    return output.with_suffix(".json")


def write(outputs: Sequence[Path], attributes: Mapping[str, Any], inputs: Iterable[Path]) -> None:
    """Write where results that are no NetCDF files came from, whole or not at all, beside them.

    Args:
        outputs: finished files; those of one folder and stem share a JSON file.
        attributes: as `Provenance.attributes` gives them.
        inputs: what they were made from, see `files.bring_back`.
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
    """Attributes of the results beside a JSON file, which are compared with their checksums.

    Raises:
        ResultError: if it is missing, no such file or damaged, or one of its results is.
        UnreadableError: if the system does not let us read one of them.
    """
    with reading(path):
        text = path.read_bytes()
    try:
        content = json.loads(text.decode())
    except ValueError:
        # Its checksum cannot be found in it any more.
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
