"""Settings of the repository's YAML files, laid over each other."""

import yaml

from project import ROOT

CONFIG = ROOT / "config.yaml"
SCALES = ROOT / "workflow" / "scales"


def settings(path):
    return yaml.safe_load(path.read_text())


def merged(*layers):
    """Deep merge of settings, each over those before; tests/integration holds it against Snakemake's own."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result
