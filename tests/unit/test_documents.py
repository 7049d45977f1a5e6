"""What the documents say against the files they say it of."""

import importlib.util
import re
from pathlib import Path

import xarray as xr

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_claims_is_the_stored_one():
    specification = importlib.util.spec_from_file_location("claims_table", ROOT / "docs/claims_table.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert len(module.stored_rows()) > 20
    assert module.updated(README) == README, "run python docs/claims_table.py"


def test_every_file_and_target_named_in_the_readme_exists():
    config = (ROOT / "config.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:src|workflow|envs|docs|benchmarks|tests)/[\w./-]+)`", README))
    named |= set(re.findall(r"\]\(((?!http)[\w./-]+)\)", README))
    assert named
    for path in named:
        assert (ROOT / path).exists(), path
    for figure in re.findall(r"`paper_figures/(fig\w+)\.pdf`", README):
        assert (ROOT / f"src/dynamical_loss/figures/{figure}.py").exists(), figure
    for study in re.findall(r"`phase\.(\w+)\.", README):
        assert f"  {study}:" in config


def test_stored_results_say_where_they_came_from():
    files = sorted((ROOT / "paper_figures/data").rglob("*.nc"))
    assert {file.stem for file in files} >= {"spiral_w100", "spiral_w1000", "scaling", "cascade_seed0"}
    assert sum(file.stat().st_size for file in files) < 9_000_000  # everyone who clones has them
    for file in files:
        with xr.open_dataset(file) as stored:
            assert stored.attrs["git_state"] == "clean"
            assert {"code_digest", "settings", "package_versions", "device", "created"} <= set(stored.attrs)


def test_nothing_is_left_to_be_filled_in():
    for path in (ROOT / "README.md", ROOT / "benchmarks/README.md", *(ROOT / "docs").glob("*.md")):
        assert not re.search(r"@[A-Z]+@", path.read_text(encoding="utf-8")), path
