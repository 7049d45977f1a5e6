"""Settings as they are written: files, text and what comes from the command line, read by one set of rules.

All of it is YAML 1.2 or JSON, in UTF-8.  A key is text, so that ``100:`` and ``"100":`` are the same key, and
keys are compared before layers are joined.  Nothing is guessed: a key that is given twice and a number that
YAML's versions read differently are refused.
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
_LONGEST = 4000  # digits; Python refuses to read whole numbers that are much longer


def scalar(text: str) -> Any:
    """What a word without quotes stands for: a number, true or false, nothing, or itself.

    Raises:
        ValueError: if YAML's versions read the word differently.
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
    """A key as text: whole numbers without what does not change them."""
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
    """YAML 1.2's core schema, with text for keys."""

    def get_single_node(self) -> Any:
        """The whole document, with every part of it looked at once before anything is made of it.

        Raises:
            MarkedYAMLError: if a key is given twice or is no word, a part holds itself, or has a tag.
        """
        root = super().get_single_node()
        if root is not None:
            self._check(root, set(), [])
        return root

    def _check(self, node: Any, seen: set[int], above: list[Any]) -> None:
        if any(node is other for other in above):
            raise yaml.constructor.ConstructorError(None, None, "a part holds itself", node.start_mark)
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS:
            node.tag = _WORD
        if node.tag not in _TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, f"the tag {node.tag} is not read; leave it out", node.start_mark
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
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            # Of a plain key its text counts: `no:` and `on:` are words like others.
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
        """The value of a word without quotes.

        Raises:
            MarkedYAMLError: if YAML's versions read the word differently.
        """
        try:
            return scalar(self.construct_scalar(node))
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


# Every word without quotes is read by `scalar`; none of YAML 1.1's own rules is left but that for `<<`.
_Loader.yaml_implicit_resolvers = {
    "<": [("tag:yaml.org,2002:merge", re.compile(r"^(?:<<)$"))],
    None: [(_WORD, re.compile(""))],
}
_Loader.add_constructor(_WORD, _Loader.construct_word)


def parse(text: str, source: str) -> Any:
    """Values from YAML or JSON.

    Args:
        text: what was written.
        source: what to call it in an error.

    Raises:
        UserError: one line, if `text` is neither, gives a key twice, or has an ambiguous number.
    """
    try:
        # JSON writes some characters in a way that PyYAML does not read.
        return json.loads(text, object_pairs_hook=lambda pairs: _pairs(pairs, source))
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.constructor.ConstructorError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem)
        remedy = "" if ";" in problem else "; write plain values alone"
        raise UserError(f"{source}{place}: {problem}{remedy}") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{source}{place}: not valid YAML or JSON; mend the syntax") from None


def _pairs(pairs: Iterable[tuple[str, Any]], source: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = _key(key)
        if name in found:
            raise UserError(f"{source}: the key '{name}' is given twice; remove one")
        found[name] = value
    return found


def read(path: Path) -> Any:
    """Values of a YAML or JSON file.

    Raises:
        UserError: one line that names the file, if it cannot be read; see `parse` too.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; name an existing configuration file") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); name a configuration file that can be"
        ) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is in UTF-16; save it in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is no UTF-8; save the file in UTF-8"
        ) from None
    return parse(text, str(path))


def normalised(values: Any, source: str) -> Any:
    """Values that another reader made of text, as `parse` would have read them.

    Args:
        values: nested dictionaries and lists; words in them are read by `scalar`.
        source: what to call them in an error.

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
    """Settings after Snakemake's ``--config``, read from the words themselves.

    Snakemake's own reader takes the last of two equal keys and forgets quotes.

    Args:
        arguments: the words of the command line.
        values: what Snakemake has read; a key that is not among the words comes from its profile.
        in_a_job: whether Snakemake itself wrote the words, for a job of its own: it puts all in quotes.

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
    """The same where a quoted null is null; numbers and truth in quotes are told by those who take them."""
    if isinstance(values, Mapping):
        return {key: _without_quoted_nothing(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_without_quoted_nothing(value) for value in values]
    return None if isinstance(values, str) and values in (*_NULL, "None") else values


def _given(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of key and value after ``--config``.

    Raises:
        UserError: if an option for settings, or a key, is given twice.
    """
    pairs: list[str] = []
    for option, names in _OPTIONS.items():
        places = [place for place, word in enumerate(arguments) if _is_option(word, names)]
        if len(places) > 1:
            raise UserError(
                f"{option} is given twice, and Snakemake would take the last alone; "
                f"write all after one {option}"
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
    """Whether a word is an option with one of these names; one of a letter may have its value joined."""
    joined = any(word.startswith(name) for name in names if not name.startswith("--"))
    return joined or word.partition("=")[0] in names


def merged(layers: Iterable[Any]) -> Any:
    """One configuration of several, each laid over those before: groups are joined, and values replaced."""
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
