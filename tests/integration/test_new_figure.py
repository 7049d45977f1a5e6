"""A new figure is one file: configuration, plan, checks and rendering need no other edit."""

import json

import pytest

FIGURE = '''
"""Fig. 9: how many points each class of a dataset has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dynamical_loss.config.figures import Configuration, Setting
from dynamical_loss.figures.declaration import Declaration, Inputs, Options, Role
from dynamical_loss.figures.deferred import plt
from dynamical_loss.results import layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check(config: Configuration) -> None:
    if config.datasets[config.figures.counted].kind == "cifar10":
        raise ValueError("figures.counted: Fig. 9 would need the archive; name another dataset")


DECLARATION = Declaration(
    part="spiral",
    inputs={"counted": Role("prepare_dataset", lambda config: [layout.dataset(config.figures.counted)])},
    options={"bins": lambda config: config.figures.counted_bins},
    settings={
        "counted": Setting(str, "spiral", "Fig. 9: a key of `datasets`", names="datasets"),
        "counted_bins": Setting(int, 3, "Fig. 9: bars"),
    },
    check=_check,
)


def render(inputs: Inputs, options: Options) -> Figure:
    """Draw a bar for each class."""
    figure, axis = plt.subplots()
    axis.hist(inputs["counted"][0]["train_label"].values, bins=options["bins"])
    return figure
'''
PICTURE = "results/smoke/figures/fig9_counts.png"


@pytest.fixture(scope="module")
def extended(pristine, tmp_path_factory):
    """The project with one more figure."""
    project = pristine.copy(tmp_path_factory.mktemp("extended") / "project")
    (project.folder / "src/dynamical_loss/figures/fig9_counts.py").write_text(FIGURE, encoding="utf-8")
    return project


def test_a_new_figure_is_planned_with_its_part(extended):
    for target in ("all", "spiral"):
        assert "fig9_counts" in extended.plan(target).starting("Rendering")
    assert "fig9_counts" not in extended.plan("images").starting("Rendering")


def test_a_new_figure_has_its_keys_in_the_configuration(extended):
    status, output = extended.run("dynamical_loss", "document-config")
    assert status == 0, output
    text = (extended.folder / "config.yaml").read_text(encoding="utf-8")
    assert "  # Fig. 9: a key of `datasets`\n  counted: spiral\n  # Fig. 9: bars\n  counted_bins: 3\n" in text


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            "figures: {counted: spirl}",
            "figures.counted: there is no 'spirl' under `datasets`; take one of spiral, breast_cancer",
        ),
        ("figures: {counted_bin: 3}", "unknown key 'figures.counted_bin'; did you mean 'counted_bins'?"),
        (
            "{figures: {counted: images}, datasets: {images: {kind: cifar10}}}",
            "Fig. 9 would need the archive",
        ),
    ],
)
def test_what_a_new_figure_asks_for_is_checked(extended, overlay, line):
    arguments = extended.arguments(overlay=extended.overlay(overlay), options=("--dry-run",))
    status, output = extended.run(*arguments)
    assert status != 0
    assert line in output and "Traceback" not in output


def test_a_new_figure_is_rendered(extended):
    extended.snakemake(PICTURE, overlay=extended.overlay("figures: {counted_bins: 6}"))
    picture = extended.folder / PICTURE
    assert picture.read_bytes().startswith(b"\x89PNG")
    sidecar = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
    assert json.loads(sidecar["settings"]) == {"figure": "fig9_counts", "options": {"bins": 6}}
