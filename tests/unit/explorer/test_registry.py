"""The pages of a configuration, and how they refer to one another."""

import pytest

from dynamical_loss import grid
from dynamical_loss.config import study
from dynamical_loss.explorer import registry
from dynamical_loss.figures.registry import FIGURES
from overlays import CONFIG, merged, settings


@pytest.fixture(scope="module")
def config():
    return study.load(merged(settings(CONFIG)), "config.yaml", FIGURES).for_data()


def test_every_study_and_run_has_a_page_of_its_own(config):
    pages = registry.pages(config)
    assert {f"phase/{name}" for name in config.phase} <= pages.keys()
    for name, one in config.trajectories.items():
        assert {f"run/{run}" for run in grid.trajectory_runs(name, one.seeds)} <= pages.keys()
    for name in config.threshold:
        assert f"threshold/{name}" in pages
        assert {f"threshold/{way}-{name}" for way in config.readings} <= pages.keys()
    parts = (registry._phases, registry._thresholds, registry._runs)
    assert sum(len(list(part(config))) for part in parts) == len(pages)


def test_a_study_refers_to_itself_at_the_other_width(config):
    pages = registry.pages(config)
    assert pages["phase/spiral_w100"].related == {"widths": {"1000 (spiral_w1000)": "phase/spiral_w1000"}}
    assert "phase/spiral_w100" in pages["phase/spiral_w1000"].related["widths"].values()
    # Another initialisation at the same width is another study, and images have networks without a width.
    assert pages["phase/myrtle5"].related == {}


def test_pages_refer_only_to_pages_that_the_configuration_has(config):
    pages = registry.pages(config)
    referred = {
        path for entry in pages.values() for others in entry.related.values() for path in others.values()
    }
    assert referred
    assert referred <= pages.keys()


def test_a_threshold_study_refers_to_its_runs(config):
    for name, one in config.threshold.items():
        runs = registry.pages(config)[f"threshold/{name}"].related["runs"]
        assert len(runs) == sum(len(each.learning_rates) * each.seeds for each in one.widths.values())
