"""Settings of the repository's YAML files, laid over each other."""

from dynamical_loss.config import reading
from project import ROOT

CONFIG = ROOT / "config.yaml"
SCALES = ROOT / "workflow" / "scales"


def settings(path):
    return reading.read(path)


def merged(*layers):
    return reading.merged(layers)
