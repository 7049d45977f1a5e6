"""Read settings from files, from text and from the command line, all by the same rules.

Settings are YAML 1.2 or JSON, in UTF-8.  A key is text, so that ``100:`` and ``"100":`` are the same key, and
keys are compared before layers are merged.  Ambiguous input is refused: a key that is given twice, and a
number that different versions of YAML read differently.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dynamical_loss.errors import UserError

_NULL = ("", "~", "null", "Null", "NULL")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9](_?\d)*)")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\d(_?\d)*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OCTAL = re.compile(r"[-+]?0(_?\d)+")
_LONGEST = 4000  # characters; Python refuses to read much longer whole numbers


def scalar(text: str) -> Any:
    """Return the value of a word without quotes: a number, true or false, None, or the word itself.

    Raises:
        ValueError: if different versions of YAML read the word differently.
    """
    if text in _NULL:
        return None
    if text.lower() in _TRUTH and text in (text.lower(), text.capitalize(), text.upper()):
        return _TRUTH[text.lower()]
    if len(text) > _LONGEST:
        return text
    if _OCTAL.fullmatch(text):
        digits = text.lstrip("+-").replace("_", "").lstrip("0") or "0"
        octal = f", or 0o{digits} for an octal number" if set(digits) <= set("01234567") else ""
        raise ValueError(f"{text} may be a decimal or an octal number; write {digits}{octal}")
    if _WHOLE.fullmatch(text) or _PREFIXED.fullmatch(text):
        return int(text, 0)
    if _REAL.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        sign = -1.0 if text.startswith("-") else 1.0
        return math.nan if text[1].lower() == "n" else sign * math.inf
    return text


def _key(value: Any) -> str:
    """Return a key as text; a whole number is written in one way, without sign, ``_`` or ``.0``."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return json.dumps(value)
    try:
        number = scalar(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number) if isinstance(number, int) and not isinstance(number, bool) else str(value)


_WORD = "tag:dynamical-loss,2026:word"
_NUMBERS = tuple(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
_TAGS = (_WORD, *(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "merge")))


class _Loader(yaml.SafeLoader):
    """YAML loader for the core schema of YAML 1.2, in which every key is text."""

    def get_single_node(self) -> Any:
        """Return the root node of the document, after checking every node once.

        Raises:
            MarkedYAMLError: if a key is given twice or is not a word, or if a node has a tag or contains
                itself.
        """
        root = super().get_single_node()
        if root is not None:
            self._check(root, set(), [])
        return root

    def _check(self, node: Any, seen: set[int], above: list[Any]) -> None:
        if any(node is other for other in above):
            raise yaml.constructor.ConstructorError(
                None, None, "an alias refers to a part that contains it; remove the alias", node.start_mark
            )
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS:
            node.tag = _WORD
        if node.tag not in _TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, f"the tag {node.tag} is not supported; leave it out", node.start_mark
            )
        if isinstance(node, yaml.MappingNode):
            self._name_keys(node)
            parts = [value for _, value in node.value]
        else:
            parts = node.value if isinstance(node, yaml.SequenceNode) else []
        for part in parts:
            self._check(part, seen, [*above, node])

    def _name_keys(self, node: Any) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a single word", key.start_mark
                )
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            # A plain key is read as text: `no:` and `on:` are ordinary words.
            key.tag = "tag:yaml.org,2002:str"
            key.value = _key(key.value)
            line = key.start_mark.line + 1
            if key.value in first:
                problem = (
                    f"the key '{key.value}' is given twice, first in line {first[key.value]}; remove one"
                )
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            first[key.value] = line

    def construct_word(self, node: Any) -> Any:
        """Return the value of a word without quotes.

        Raises:
            MarkedYAMLError: if different versions of YAML read the word differently.
        """
        try:
            return scalar(self.construct_scalar(node))
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


# `scalar` reads every word without quotes.  Of the rules of YAML 1.1 only the one for `<<` remains.
_Loader.yaml_implicit_resolvers = {
    "<": [("tag:yaml.org,2002:merge", re.compile(r"^(?:<<)$"))],
    None: [(_WORD, re.compile(""))],
}
_Loader.add_constructor(_WORD, _Loader.construct_word)


def parse(text: str, source: str) -> Any:
    """Return the values in a text of YAML or JSON.

    Args:
        text: text in YAML or JSON.
        source: name of the text in an error.

    Raises:
        UserError: one line, if `text` is neither YAML nor JSON, gives a key twice, or has an ambiguous
            number.
    """
    try:
        # JSON is tried first, because it escapes some characters in a way that PyYAML does not read.
        return json.loads(text, object_pairs_hook=lambda pairs: _pairs(pairs, source))
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.constructor.ConstructorError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem)
        remedy = "" if ";" in problem else "; write plain values only"
        raise UserError(f"{source}{place}: {problem}{remedy}") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{source}{place}: not valid YAML or JSON; correct the syntax") from None


def _pairs(pairs: Iterable[tuple[str, Any]], source: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = _key(key)
        if name in found:
            raise UserError(f"{source}: the key '{name}' is given twice; remove one")
        found[name] = value
    return found


def read(path: Path) -> Any:
    """Return the values in a YAML or JSON file.

    Raises:
        UserError: one line that names the file, if the file cannot be read, or for the reasons of `parse`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name an existing configuration file") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); make it readable, or name another file"
        ) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is in UTF-16; save it in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file in UTF-8"
        ) from None
    return parse(text, str(path))


def normalised(values: Any, source: str) -> Any:
    """Convert values that another program has read from text to what `parse` would have returned.

    Args:
        values: nested dictionaries and lists; `scalar` reads the words in them.
        source: name of the values in an error.

    Raises:
        UserError: one line, if a key is given in two spellings, or a number is ambiguous.
    """
    if isinstance(values, Mapping):
        return _pairs(((key, normalised(value, source)) for key, value in values.items()), source)
    if isinstance(values, list | tuple):
        return [normalised(value, source) for value in values]
    try:
        return scalar(values) if isinstance(values, str) else values
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None


_OPTIONS = {"--config": ("--config", "-C"), "--configfile": ("--configfile", "--configfiles")}


def command_line(arguments: Sequence[str], values: Mapping[str, Any], in_a_job: bool = False) -> Any:
    """Return the settings after Snakemake's ``--config``, read from the command line itself.

    Snakemake's own reader takes the last of two equal keys and drops quotes.

    Args:
        arguments: words of the command line.
        values: settings as Snakemake has read them; a key that is not on the command line comes from a
            profile.
        in_a_job: whether Snakemake started this process for a job; it then writes all values in quotes.

    Raises:
        UserError: if an option for settings or a key is given twice, or a value cannot be read.
    """
    words = dict(_given(arguments))
    found = {
        key: parse(words[key], f"--config {key}") if key in words else normalised(value, "--config")
        for key, value in values.items()
    }
    return _without_quoted_nothing(found) if in_a_job else found


def _without_quoted_nothing(values: Any) -> Any:
    """Replace quoted nulls by None; the settings classes convert quoted numbers and booleans themselves."""
    if isinstance(values, Mapping):
        return {key: _without_quoted_nothing(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_without_quoted_nothing(value) for value in values]
    return None if isinstance(values, str) and values in (*_NULL, "None") else values


def _given(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of key and value after ``--config``.

    Raises:
        UserError: if an option for settings, or a key, is given twice.
    """
    pairs: list[str] = []
    for option, names in _OPTIONS.items():
        places = [place for place, word in enumerate(arguments) if _is_option(word, names)]
        if len(places) > 1:
            raise UserError(
                f"{option} is given twice, and Snakemake would use the last one only; "
                f"write all values after one {option}"
            )
        if option == "--config" and places:
            option_word = arguments[places[0]]
            first = option_word[2:] if option_word.startswith("-C") else option_word.partition("=")[2]
            pairs += [first.removeprefix("=")] if first else []
            for word in arguments[places[0] + 1 :]:
                if word.startswith("-"):
                    break
                pairs.append(word)
    split = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in pairs if "=" in pair]
    _pairs(split, "--config")
    return split


def _is_option(word: str, names: tuple[str, ...]) -> bool:
    """Return whether a word is one of these options; a one-letter option may be followed by its value."""
    joined = any(word.startswith(name) for name in names if not name.startswith("--"))
    return joined or word.partition("=")[0] in names


def merged(layers: Iterable[Any]) -> Any:
    """Merge configurations in order: groups are joined, and a later value replaces an earlier one."""
    result: Any = {}
    for layer in layers:
        result = _over(result, layer)
    return result


def _over(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {
        **below,
        **{key: _over(below.get(key), value) for key, value in above.items()},
    }
