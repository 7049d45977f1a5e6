"""Generate the JSON schema and the commented ``config.yaml`` from the typed model."""

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
# The default study, sized for a laptop: all figures in 15 to 75 minutes on two cores.
#
# Change the values as you like.  Do not edit the comments: `make config` generates them from the
# typed model in src/dynamical_loss (config/, models/kinds/, datasets/kinds/ and figures/fig*.py),
# and leaves the values unchanged.  The first group of settings of each kind lists all its keys,
# with a comment on each key.  Later groups of the same kind list only the keys that differ from the
# defaults; the defaults are the paper's settings.  Overlays for other sizes and other studies are
# in workflow/scales; the first lines of each overlay say what it is for and how to use it.
"""
_WIDTH = 100


def schema(figures: Mapping[str, FigureDeclaration]) -> str:
    """Return the JSON schema of the configuration, including the keys of these figures, as text."""
    values = model(figures).model_json_schema()
    return json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def read(path: Path, figures: Mapping[str, FigureDeclaration]) -> Config:
    """Read and check a configuration file.

    Args:
        path: path of the file.
        figures: declarations of the figures, by name.

    Raises:
        UserError: one line that names the file or the first offending key.
    """
    return load(reading.read(path), str(path), figures)


def commented(config: Config) -> str:
    """Return the configuration as YAML, with a comment on each key where its group first appears."""
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
    """YAML writer that puts quotes around text that would be read back as another type."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        quoted = reading.scalar(text) != text
    except ValueError:
        quoted = True
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _text)


def _flow(value: Any) -> str:
    """Return a value as YAML on one line, with whole numbers written without a decimal point."""
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
