"""Settings of the repository's YAML files, and their overlays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dynamical_loss.config import reading
from project import ROOT

CONFIG = ROOT / "config.yaml"
SCALES = ROOT / "workflow" / "scales"


def settings(path: Path) -> Any:
    """Read the settings of a YAML file."""
    return reading.read(path)


def merged(*layers: Any) -> Any:
    """Merge settings; later layers override earlier ones."""
    return reading.merged(layers)
