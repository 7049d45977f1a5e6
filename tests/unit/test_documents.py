"""What the documents say, compared with the files that they describe."""

import importlib.util
import re

import pytest
import xarray as xr

from documents import DOCUMENTS, PAGES, README, text
from project import ROOT

NOT_CLAIMS = {
    "verdicts.md": "the verdicts at the time when the rule of verdicts changed",
    "images.md": "times, which were measured on one machine",
}
"""Documents whose intervals are no stored results, and what they are."""


@pytest.fixture(scope="module")
def numbers():
    """The module that writes stored numbers into the documents."""
    specification = importlib.util.spec_from_file_location("stored_numbers", ROOT / "docs/stored_numbers.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_documents_show_the_stored_numbers(numbers):
    assert len(numbers.stored_rows()) > 20
    for path, content in numbers.documents().items():
        assert text(path) == content, "run python docs/stored_numbers.py"


@pytest.mark.parametrize(
    "path",
    [path for path in (README, *PAGES) if path.name not in NOT_CLAIMS],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_interval_in_a_document_is_a_stored_one(numbers, path):
    table = re.compile(r"<!-- claims -->.*?<!-- end of claims -->", re.DOTALL)
    content = table.sub("", text(path))
    for match in numbers.INTERVAL.finditer(content):
        assert content[match.end() :].startswith("<!-- "), f"{match[0]}: name its claim in a comment"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.1 [0.0, 0.2]<!-- gain -->", "0.5 [0.4, 0.6]<!-- gain -->"),
        ("**+0.10 [0.0,\n  0.25]**<!-- gain -->", "**+0.47 [0.4,\n  0.55]**<!-- gain -->"),
        ("a loss of 1 [1, 1]<!-- -gain -->", "a loss of 0 [−1, 0]<!-- -gain -->"),
        ("9.0 % [8.0, 9.0]<!-- gain -->", "46.9 % [44.0, 55.0]<!-- gain -->"),
        ("**contradicted**<!-- gain -->", "**reproduced**<!-- gain -->"),
        ("0.1 [0.0, 0.2], no claim", "0.1 [0.0, 0.2], no claim"),
    ],
)
def test_numbers_in_text_are_those_of_the_claim(numbers, before, after):
    rows = {
        "gain": {
            "measured_value": "0.469",
            "interval_lower": "0.44",
            "interval_upper": "0.55",
            "verdict": "reproduced",
        }
    }
    assert numbers.refreshed(before, rows) == after


def test_an_unknown_claim_is_not_left_as_it_was(numbers):
    with pytest.raises(KeyError, match="nothing"):
        numbers.refreshed("0.1 [0.0, 0.2]<!-- nothing -->", {})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_and_target_that_a_document_names_exists(path):
    content = text(path)
    for name in re.findall(r"`((?:src|workflow|envs|docs|benchmarks|tests)/[\w./-]*[\w/])`", content):
        assert (ROOT / name).exists(), name
    # Blocks that include another document show its links, which are checked in that document.
    for name in re.findall(r"\]\(((?!http|#)[\w./-]+)(?:#[\w-]+)?\)", content):
        assert (path.parent / name).exists(), name
    for figure in re.findall(r"paper_figures/(fig\w+)\.p", content):
        assert (ROOT / f"src/dynamical_loss/figures/{figure}.py").exists(), figure


def test_the_readme_is_short_and_lists_every_figure():
    content = text(README)
    assert len(content.splitlines()) <= 130
    listed = re.findall(r"^\|[^|]+\| `paper_figures/(fig\w+)\.pdf`", content, re.MULTILINE)
    assert sorted(listed) == sorted(
        path.stem for path in (ROOT / "src/dynamical_loss/figures").glob("fig*.py")
    )


def test_every_page_is_in_the_index():
    index = text(ROOT / "docs/index.md")
    pages = {path.stem for path in PAGES} - {"index"}
    assert pages == set(re.findall(r"^([\w-]+)$", index, re.MULTILINE)) - {"maxdepth"}


def test_stored_results_say_where_they_came_from():
    files = sorted((ROOT / "paper_figures/data").rglob("*.nc"))
    assert {file.stem for file in files} >= {"spiral_w100", "spiral_w1000", "scaling", "cascade_seed0"}
    assert sum(file.stat().st_size for file in files) < 12_000_000  # everyone who clones has them
    for file in files:
        with xr.open_dataset(file) as stored:
            assert stored.attrs["git_state"] == "clean"
            assert {"code_digest", "settings", "package_versions", "device", "created"} <= set(stored.attrs)


def test_nothing_is_left_to_be_filled_in():
    for path in DOCUMENTS:
        assert not re.search(r"@[A-Z]+@", text(path)), path


def test_the_diagram_of_rules_has_every_rule_that_makes_a_file():
    text = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\w+_\w+", text.partition("```mermaid")[2].partition("```")[0]))
    made = set()
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"^ *rule ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            if "output:" in rule:
                made.add(rule.partition(":")[0])
    assert shown == made - {"publish_result"}
