"""What is generated from the typed model: the JSON schema and the commented ``config.yaml``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from dynamical_loss.config import reading
from dynamical_loss.config.figures import FigureDeclaration
from dynamical_loss.config.study import Config, load, model

_HEADER = """\
# The default study, sized for a laptop: all figures in about half an hour on two cores.
#
# Values are yours to change; the comments are generated from the typed model in
# src/dynamical_loss: config/, models/kinds/, datasets/kinds/ and figures/fig*.py (`make config`
# writes them anew and leaves the values alone).  A group of settings is commented where it first
# appears, with all its keys; later groups of the same kind list only what differs from the
# defaults, which are the paper's settings.  Overlays with other sizes and studies lie in
# workflow/scales; each says at its top what it is for and how it is used.
"""
_WIDTH = 100


def schema(figures: Mapping[str, FigureDeclaration]) -> str:
    """The JSON schema of the configuration with the keys of these figures, as text."""
    values = model(figures).model_json_schema()
    return json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def read(path: Path, figures: Mapping[str, FigureDeclaration]) -> Config:
    """Read and check a configuration file.

    Args:
        path: the file.
        figures: declarations of the figures by name.

    Raises:
        UserError: one line that names the file or the first offending key.
    """
    return load(reading.read(path), str(path), figures)


def commented(config: Config) -> str:
    """The configuration as YAML, every key commented where its group first appears."""
    return _HEADER + "\n".join(_group(config, "", set())) + "\n"


def _group(settings: BaseModel, indent: str, seen: set[type[BaseModel]]) -> Iterator[str]:
    kind = type(settings)
    first = kind not in seen
    seen.add(kind)
    for name, field in kind.model_fields.items():
        if not first and name not in settings.model_fields_set:
            continue
        if first:
            if not indent:
                yield ""
            yield from _comment(field.description or "", indent)
        yield from _entry(name, getattr(settings, name), indent, seen)


def _entry(name: Any, value: Any, indent: str, seen: set[type[BaseModel]]) -> Iterator[str]:
    deeper = indent + "  "
    if isinstance(value, BaseModel):
        inside = list(_group(value, deeper, seen))
    elif isinstance(value, Mapping) and any(isinstance(item, BaseModel) for item in value.values()):
        inside = [line for key, item in value.items() for line in _entry(key, item, deeper, seen)]
    elif isinstance(value, list) and any(isinstance(item, BaseModel) for item in value):
        yield f"{indent}{name}:"
        yield from (f"{deeper}- {_flow(item.model_dump(mode='json'))}" for item in value)
        return
    else:
        yield f"{indent}{name}: {_flow(value)}"
        return
    if not inside:
        yield f"{indent}{name}: {{}}"
        return
    yield f"{indent}{name}:"
    yield from inside


def _comment(text: str, indent: str) -> Iterator[str]:
    line = f"{indent}#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = f"{indent}#"
        line += f" {word}"
    yield line


class _Dumper(yaml.SafeDumper):
    """YAML's own, with quotes about every text that would be read as something else."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        quoted = reading.scalar(text) != text
    except ValueError:
        quoted = True
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _text)


def _flow(value: Any) -> str:
    """A value on one line; whole numbers without a decimal point."""
    text = yaml.dump(_plain(value), Dumper=_Dumper, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
