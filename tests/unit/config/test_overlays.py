"""Mistakes in overlays on config.yaml give the messages that the Snakefile prints."""

import numpy as np
import pytest
import yaml

from dynamical_loss.config import document
from dynamical_loss.config.study import load
from dynamical_loss.errors import UserError
from dynamical_loss.figures.registry import FIGURES
from overlays import CONFIG, SCALES, merged, settings

SOURCE = "workflow/scales/smoke.yaml + overlay.yaml"


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            "phase: {spiral_w100: {amplitude: [1, 2]}}",
            "unknown key 'phase.spiral_w100.amplitude'; did you mean 'amplitudes'?",
        ),
        (
            "learning_rate: 1",
            "unknown key 'learning_rate'; the keys here are scale, published, devices, limits",
        ),
        (
            "phase: {spiral_w100: {amplitudes: [1, 0.5]}}",
            "key 'phase.spiral_w100.amplitudes.1': must be at least 1 (it is 0.5)",
        ),
        (
            "phase: {spiral_w100: {periods: [0]}}",
            "key 'phase.spiral_w100.periods.0': must be greater than 0 (it is 0)",
        ),
        (
            "phase: {spiral_w100: {periods: [20, 101]}}",
            "'phase.spiral_w100': periods: T = 101 leaves no static period at the end of 200 steps; "
            "take T <= 100 or more steps",
        ),
        (
            "threshold: {scaling: {trajectory: {period: 150}}}",
            "'threshold.scaling.trajectory': period: T = 150 leaves no static period at the end of 200 steps",
        ),
        (
            "phase: {spiral_w100: {periods: []}}",
            "key 'phase.spiral_w100.periods': the list is empty; give at least one value",
        ),
        (
            "phase: {spiral_w100: {periods: [20, 20]}}",
            "key 'phase.spiral_w100.periods': the list has a value twice; remove one of them",
        ),
        (
            "figures: {phase_narrow: spiral_w10}",
            "figures.phase_narrow: there is no 'spiral_w10' under `phase`; take one of spiral_w100",
        ),
        (
            "figures: {trajectory: cascad}",
            "figures.trajectory: there is no 'cascad' under `trajectories`; take one of cascade",
        ),
        (
            "figures: {phase_narrow: myrtle5}",
            "phase.myrtle5.model: figures.phase_narrow distinguishes networks by their width, and",
        ),
        (
            "figures: {static_wide: cascade_images}",
            "trajectories.cascade_images.model: figures.static_wide distinguishes networks by their width",
        ),
        (
            "phase: {myrtle5: {engine: fused}}",
            "phase.myrtle5.engine: fused trains one hidden layer by full-batch sgd without",
        ),
        (
            "phase: {spiral_w100: {dataset: spirl}}",
            "phase.spiral_w100.dataset: there is no 'spirl' under `datasets`",
        ),
        (
            "trajectories: {cascade: {snapshots: {every: 4}}}",
            "snapshots every 4 steps see only one branch of the period-2 oscillation; take an odd number",
        ),
        (
            "phase: {spiral_w100: {optimiser: {kind: sgdd}}}",
            "optax has no optimiser 'sgdd'; sgd, adam and rmsprop are examples",
        ),
        (
            "phase: {spiral_w100: {optimiser: {arguments: {momentun: 0.9}}}}",
            "optax.sgd takes no argument 'momentun'; it takes momentum",
        ),
        ("phase: [1]", "key 'phase': must be a group of `key: value` lines"),
        ("scale: ../elsewhere", "key 'scale'"),
        ('phase: {"a; touch x": {}}', "key 'phase.a; touch x"),
        ("phase: {../spiral: {}}", "key 'phase.../spiral"),
        ('datasets: {"$(touch x)": {}}', "key 'datasets.$(touch x)"),
        ("datasets: {../spiral: {}}", "key 'datasets.../spiral"),
        ('trajectories: {"a`touch x`": {}}', "key 'trajectories.a`touch x`"),
        ("trajectories: {a/../../b: {}}", "key 'trajectories.a/../../b"),
        ('figures: {folder: "{figure}"}', "key 'figures.folder': must have no braces"),
        ('figures: {folder: "a\\nb"}', "key 'figures.folder': must have no control characters"),
        ("figures: {folder: -rf}", "key 'figures.folder': must name a folder, and not begin with '-'"),
        ('figures: {folder: ""}', "key 'figures.folder': must name a file or folder"),
    ],
)
def test_a_mistake_in_an_overlay_names_the_key_and_the_remedy(overlay, line):
    values = merged(settings(CONFIG), settings(SCALES / "smoke.yaml"), yaml.safe_load(overlay))
    with pytest.raises(UserError) as error:
        load(values, SOURCE, FIGURES).for_data()
    message = str(error.value)
    assert message.startswith(f"{SOURCE}: ") and "\n" not in message
    assert line in message


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("points_per_class: 100", "points_per_clas: 100", "unknown key 'datasets.spiral.points_per_clas'"),
        ("seeds: 10\n", "seeds: [10\n", ": not valid YAML or JSON; correct the syntax"),
        ("seeds: 10\n", "\tseeds: 10\n", ": not valid YAML or JSON; correct the syntax"),
    ],
)
def test_a_mistake_in_the_configuration_file_names_it(tmp_path, monkeypatch, old, new, line):
    monkeypatch.chdir(tmp_path)
    text = CONFIG.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "config.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as error:
        document.read(tmp_path.joinpath("config.yaml").relative_to(tmp_path), FIGURES)
    message = str(error.value)
    assert message.startswith("config.yaml") and "\n" not in message
    assert line in message


@pytest.mark.parametrize("scale", ["regime", "wide_resnet"])
def test_snapshots_along_images_see_every_class_and_all_phases_of_a_period(scale):
    """A spacing near a divisor of the cycle would always find the same classes, or Γ at the same height."""
    config = load(merged(settings(CONFIG), settings(SCALES / f"{scale}.yaml")), scale, FIGURES)
    for study in config.trajectories.values():
        if study.dataset != "images":
            continue
        steps = np.arange(0, study.oscillation_stop * study.steps, study.snapshots.every)
        assert set(steps // study.period % 10) == set(range(10))
        phases = np.sort(steps % study.period)
        gaps = np.diff(np.append(phases, phases[0] + study.period))
        assert gaps.max() <= 0.15 * study.period
