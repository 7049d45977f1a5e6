"""One reader for all settings: YAML 1.2 and JSON in UTF-8, with text for keys; ambiguous input is refused."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from dynamical_loss.config import reading
from dynamical_loss.errors import UserError
from overlays import CONFIG, SCALES

words = some.text(
    some.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=8
)
leaves = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | words
trees = some.recursive(
    leaves,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def with_plain_keys(tree):
    """Return the tree with a letter before each key, because the spelling of a number may change."""
    if isinstance(tree, dict):
        return {f"k{key}": with_plain_keys(value) for key, value in tree.items()}
    return [with_plain_keys(value) for value in tree] if isinstance(tree, list) else tree


@given(trees)
def test_what_json_and_yaml_write_is_read_back(tree):
    tree = with_plain_keys(tree)
    assert reading.parse(json.dumps(tree), "here") == tree
    assert reading.parse(json.dumps(tree, ensure_ascii=False, indent=1), "here") == tree
    # Every word is in quotes, so that the rules of a version of YAML do not matter.
    assert reading.parse(yaml.safe_dump(tree, default_style='"', allow_unicode=True), "here") == tree


@given(some.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_in_every_way_that_python_writes_it(value):
    for text in (repr(value), f"{value:e}", f"{value:.17g}", f"{value:.17E}"):
        found = reading.scalar(text)
        assert not isinstance(found, str)
        assert found == float(text)


@given(some.integers(-(10**12), 10**12))
def test_whole_numbers_stay_whole(value):
    assert reading.scalar(str(value)) == reading.scalar(f"{value:_}") == value
    assert type(reading.scalar(str(value))) is int
    assert reading.scalar(hex(abs(value))) == reading.scalar(oct(abs(value))) == abs(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-8", 1e-8),
        ("5.", 5.0),
        ("-.5e3", -500.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("yes", True),
        ("Off", False),
        ("oN", "oN"),
        ("~", None),
        ("", None),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_", "1_"),
        ("e5", "e5"),
        ("-", "-"),
        ("y", "y"),
        ("007.5", 7.5),
    ],
)
def test_words(text, value):
    found = reading.scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["0400", "-0400", "089", "00", "0_1", "+07"])
def test_what_may_be_octal_is_refused(text):
    with pytest.raises(UserError, match=r"^here, line 2: .* may be a decimal or an octal number; write \d+"):
        reading.parse(f"a: 1\nb: {text}\n", "here")
    with pytest.raises(UserError, match="may be a decimal or an octal number"):
        reading.normalised({"b": [text]}, "--config")
    assert reading.parse(f"b: '{text}'", "here") == {"b": text}


@pytest.mark.parametrize(
    "text",
    [
        "phase: 1\nother: 2\nphase: 3\n",
        "a:\n  phase: 1\n  'phase': 3\n",
        "{phase: 1, phase: 1}",
        '{"phase": 1, "phase": 2}',
        '{"a": [{"phase": 1, "phase": 2}]}',
    ],
)
def test_a_key_given_twice_is_refused(text):
    with pytest.raises(UserError, match="key 'phase' is given twice") as caught:
        reading.parse(text, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ['{100: a, "100": b}', "{100: a, 100.0: b}", "{100: a, 1e2: b}", "{1_00: a, 100: b}"]
)
def test_two_spellings_of_a_key_are_one_key(text):
    with pytest.raises(UserError, match="key '100' is given twice"):
        reading.parse(text, "here")


@pytest.mark.parametrize("spelling", ["100", '"100"', "'100'", "1_00", "100.0", "1e2", "+100"])
def test_layers_join_whatever_the_spelling_of_a_key(spelling):
    base = reading.parse("widths: {100: {seeds: 1, rates: [1]}, 1000: {seeds: 2}}", "base")
    above = reading.parse(f"widths: {{{spelling}: {{seeds: 7}}}}", "overlay")
    expected = {"widths": {"100": {"seeds": 7, "rates": [1]}, "1000": {"seeds": 2}}}
    assert reading.merged([base, above]) == expected
    assert (
        reading.merged([base, reading.normalised({"widths": {spelling.strip("\"'"): {"seeds": "7"}}}, "c")])
        == expected
    )


@pytest.mark.parametrize("word", ["no", "on", "y", "null", "true", "~x", "1e5x"])
def test_keys_are_text(word):
    assert reading.parse(f"{word}: 1", "here") == {word: 1}


def test_aliases_and_merge_keys_work_and_may_be_overridden():
    chain = "a: &a {x: 1}\np: {b: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}\n"
    assert reading.parse(chain, "here") == {"a": {"x": 1}, "p": {"b": {"x": 2}}, "c": {"x": 2, "y": 3}}
    text = "x: &x {k: 1, l: 2}\ny:\n  <<: *x\n  k: 3\nz: *x\n"
    assert reading.parse(text, "here") == {
        "x": {"k": 1, "l": 2},
        "y": {"k": 3, "l": 2},
        "z": {"k": 1, "l": 2},
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: !!timestamp 2026-13-45",
        "a: !!binary x",
        "a: !!set {b}",
        "a: &a [*a]",
        "a: &a {b: {c: *a}}",
        "x: {<<: {[1]: 2}}",
        "x: {<<: {a: 1, a: 2}}",
        "a: !!int 010",
        "\ta: 1",
        "--- 1\n--- 2",
        "a: @b",
        "a: !!python/object/apply:os.getcwd []",
        "? [1]\n: 2",
        "a: *b",
        "[" * 9999,
    ],
)
def test_what_is_neither_is_refused_in_one_line(text):
    with pytest.raises(UserError) as caught:
        reading.parse(text, "here")
    assert str(caught.value).startswith("here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: \xe4\n", "line 1: byte 0xe4 is not UTF-8; save the file in UTF-8"),
        (b"a: 1\nb: \xff\n", "line 2: byte 0xff"),
        ("a: ä".encode("utf-16"), "is in UTF-16; save it in UTF-8"),
        (None, "does not exist"),
    ],
)
def test_other_encodings_are_refused_in_one_line(content, words, tmp_path):
    path = tmp_path / "settings.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        reading.read(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(mark, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_bytes(mark + "größe: ‰\n".encode())
    assert reading.read(path) == {"größe": "‰"}


@pytest.mark.parametrize("path", [CONFIG, *sorted(SCALES.glob("*.yaml"))], ids=lambda path: path.name)
def test_the_repository_s_files_mean_what_they_meant(path):
    """The reader agrees with PyYAML's reader, except that all keys are text."""

    def text_keys(tree):
        if isinstance(tree, dict):
            return {str(key): text_keys(value) for key, value in tree.items()}
        return [text_keys(item) for item in tree] if isinstance(tree, list) else tree

    assert reading.read(path) == text_keys(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--cores 1 --config a=1 --config b=2", "--config is given twice"),
        ("-C a=1 --cores 1 --config b=2", "--config is given twice"),
        ("--config=a=1 --config=b=2", "--config is given twice"),
        ("--configfile a.yaml --configfiles b.yaml", "--configfile is given twice"),
        ("--config a=1 b=2 a=3 --cores 1", "key 'a' is given twice"),
        ("--config a=1 b=2 --cores 1 a=3 --configfile x y", None),
        ("-Ca=1 --configfile x", None),
        ("--cores 1", None),
    ],
)
def test_snakemake_s_command_line_loses_nothing(arguments, words):
    found = {"a": "3", "b": "2"}
    if words is None:
        reading.command_line(arguments.split(), found)
        return
    with pytest.raises(UserError, match=words):
        reading.command_line(arguments.split(), found)


def test_values_after_config_are_read_from_the_words_themselves():
    """Snakemake's own reader drops the first of two equal keys, and drops quotes."""
    with pytest.raises(UserError, match="--config b, line 1: the key 'resamples' is given twice"):
        reading.command_line(["--config", "b={resamples: 5, resamples: 6}"], {"b": {"resamples": "6"}})
    with pytest.raises(UserError, match="--config is given twice"):
        reading.command_line(["--config", "a=1", "-Cb={seed: 3}"], {"b": {"seed": "3"}})
    words = ["-Cd={title: '2024', seeds: 010x, ntk: null}", "--cores", "1"]
    expected = {"d": {"title": "2024", "seeds": "010x", "ntk": None}}
    assert reading.command_line(words, {"d": {"title": "2024", "ntk": "null"}}) == expected
    # A key from a profile is not on the command line.
    assert reading.command_line([], {"d": {"seeds": "3"}}) == {"d": {"seeds": 3}}


def test_in_a_job_snakemake_has_put_all_words_in_quotes():
    words = ["--config", "d={'seeds': '3', 'ntk': 'null', 'list': ['null', 'x']}"]
    assert reading.command_line(words, {"d": {}}, in_a_job=True) == {
        "d": {"seeds": "3", "ntk": None, "list": [None, "x"]}
    }
