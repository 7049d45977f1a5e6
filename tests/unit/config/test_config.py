"""The configuration refuses mistakes in one line, and the files generated from it are up to date."""

import copy
import json
import math
from pathlib import Path
from typing import get_args

import jsonschema
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from dynamical_loss import resources
from dynamical_loss.config import document, reading
from dynamical_loss.config import study as configuration
from dynamical_loss.config.training import PhaseSettings, TrajectorySettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.errors import UserError
from dynamical_loss.figures.registry import FIGURES
from dynamical_loss.settings import Settings
from overlays import CONFIG, SCALES, merged, settings

ROOT = Path(__file__).parents[3]
DEFAULT = settings(CONFIG)


def load(values, source="the configuration"):
    return configuration.load(values, source, FIGURES)


def changed(path, value):
    result = copy.deepcopy(DEFAULT)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return result


W100 = ["phase", "spiral_w100"]
REDRAWN = ["phase", "lecun_redrawn"]
S1 = ["trajectories", "cascade"]
S2 = ["trajectories", "cascade_images"]
MYRTLE5 = ["phase", "myrtle5"]
IMAGES = ["datasets", "images"]
LAZY = ["lazy", "digits"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["phas"], {}, ["unknown key 'phas'", "did you mean 'phase'"]),
        ([*W100, "perods"], [1], ["phase.spiral_w100.perods", "did you mean 'periods'"]),
        ([*W100, "model", "widht"], 5, ["phase.spiral_w100.model.widht", "did you mean 'width'"]),
        (["trajectories", "cascade", "probes", "ntk", "xyz"], 5, ["probes.ntk.xyz", "modes, order"]),
        ([*W100, "amplitudes"], [0.5], ["phase.spiral_w100.amplitudes.0", "at least 1", "0.5"]),
        ([*W100, "periods"], [0], ["phase.spiral_w100.periods.0", "greater than 0"]),
        ([*W100, "periods"], [-3], ["phase.spiral_w100.periods.0", "greater than 0"]),
        ([*W100, "periods"], [30_000], ["T = 30000 leaves no static period", "T <= 17500"]),
        ([*W100], {"engine": "fused", "optimiser": {"kind": "adam"}}, ["spiral_w100", "take auto or xla"]),
        ([*W100, "engine"], "cuda", ["phase.spiral_w100.engine", "'fused'"]),
        ([*W100, "periods"], [], ["phase.spiral_w100.periods", "empty"]),
        ([*W100, "periods"], [10, 10], ["phase.spiral_w100.periods", "twice"]),
        ([*W100, "noise_seeds"], [3, 3], ["phase.spiral_w100.noise_seeds", "twice"]),
        ([*REDRAWN, "noise_seeds"], [1], ["phase.lecun_redrawn.noise_seeds: 1", "validation", "another"]),
        ([*REDRAWN, "draws"], "paired", ["phase.lecun_redrawn", "3 noise_seeds", "crossed"]),
        ([*W100, "first_seed"], 3, ["phase.spiral_w100", "first_seed: 3", "whole blocks"]),
        ([*W100, "first_seed"], 4294967290, ["phase.spiral_w100", "first_seed: 10 seeds", "4294967295"]),
        (
            ["threshold", "scaling", "trajectory"],
            {"epochs": 7000},
            ["threshold.scaling", "trajectory.epochs", "give steps"],
        ),
        (["datasets", "spiral_noise100"], {}, ["datasets.spiral_noise100", "rename"]),
        (["phase", "lecun_redrawn_noise101"], {}, ["phase.lecun_redrawn_noise101", "rename"]),
        (["figures", "phase_narrow"], "lecun_redrawn", ["figures.phase_narrow", "several draws"]),
        (["datasets", "spiral", "train_seed"], 1, ["validation_seed", "same points", "another"]),
        (["protocols", "lecun", "phase_narrow"], "x", ["protocols.lecun.phase_narrow", "no 'x'"]),
        (["protocols", "lecun", "threshold"], "x", ["protocols.lecun.threshold", "scaling"]),
        (["protocols", "lecun", "reading"], "x", ["protocols.lecun.reading", "fixed_tolerance"]),
        (["protocols", "lecun"], {"reading": "fixed_tolerance"}, ["protocols.lecun", "names no study"]),
        (["protocols", "lecun"], {"static_narrow": "static_w100"}, ["protocols.lecun", "threshold"]),
        (
            ["protocols", "lecun"],
            {"phase_narrow": "spiral_w100", "reading": "fixed_tolerance"},
            ["protocols.lecun.reading", "no instabilities to find"],
        ),
        (["protocols", "lecun", "trajectory"], "cascade_images", ["protocols.lecun.trajectory", "digits"]),
        ([*W100, "loss"], {"cycles": 1000}, ["phase.spiral_w100.loss.cycles", "at most", "T = 50"]),
        ([*W100], {"loss": {"cycles": 1}, "oscillation_stop": 0.5}, ["loss.cycles", "one of the two"]),
        (["figures", "ingredients"], ["spiral_w100"], ["phase.spiral_w100.amplitudes", "one cell"]),
        (["figures", "ingredients"], ["initialisation_lecun"] * 2, ["figures.ingredients", "the same loss"]),
        (["figures", "losses"], ["spiral_w100", "initialisation_lecun"], ["figures.losses", "the same loss"]),
        (
            ["trajectories", "cascade", "snapshots"],
            {"every": 25, "optimiser_state": True},
            ["trajectories.cascade", "optimiser_state", "has no state"],
        ),
        ([*REDRAWN, "dataset"], "images", ["phase.lecun_redrawn.noise_seeds", "all images", "train_samples"]),
        (
            ["trajectories", "cascade_images", "probes"],
            {"optimiser": {}},
            ["trajectories.cascade_images.probes", "optimiser_state to true"],
        ),
        (
            ["trajectories", "cascade_images", "batch_size"],
            300,
            ["trajectories.cascade_images.probes.batches", "250 samples", "evaluation_samples"],
        ),
        (["figures", "averages"], ["cascade"] * 2, ["figures.averages", "the same width"]),
        (["figures", "averages"], ["cascade_images"], ["cascade_images", "figures.averages", "width"]),
        (["flows", "spiral", "trajectory"], "x", ["flows.spiral.trajectory", "no 'x'", "tanh_spiral"]),
        (["flows", "spiral", "trajectory"], "cascade_images", ["flows.spiral.trajectory", "momentum"]),
        (["flows", "spiral", "starts"], [299], ["flows.spiral.starts", "beyond the run of 300"]),
        (["flows", "spiral"], {"trajectory": "cascade", "starts": [26]}, ["flows.spiral.starts", "step 26"]),
        (
            ["flows", "spiral"],
            {"trajectory": "cascade", "starts": [2500, 4975], "steps": 26},
            ["4975", "kink"],
        ),
        (
            ["flows", "spiral"],
            {"trajectory": "edge_dynamical", "starts": [0], "steps": 2501},
            ["flows.spiral.starts", "kink of Γ (T = 5000)"],
        ),
        (
            ["trajectories", "tanh_spiral"],
            {"amplitude": 5, "oscillation_stop": 0.67, "steps": 300, "snapshots": {"every": 1}},
            ["flows.spiral.starts", "from 200 on, 3 steps cross a kink of Γ"],
        ),
        (
            ["trajectories", "tanh_spiral", "learning_rate_rule"],
            {"kind": "dal", "cap": 1},
            ["flows.spiral.trajectory", "learning_rate_rule"],
        ),
        (
            ["trajectories", "tanh_spiral", "output_scale"],
            2.0,
            ["flows.spiral.trajectory", "output_scale", "name another run"],
        ),
        ([*LAZY, "dataset"], "x", ["lazy.digits.dataset", "no 'x'", "digits_parity"]),
        ([*LAZY, "dataset"], "spiral", ["lazy.digits.dataset", "3 classes", "labels: parity"]),
        ([*LAZY, "scales"], [0.0], ["lazy.digits.scales.0", "must be greater than 0"]),
        ([*LAZY, "scales"], [-1.0], ["lazy.digits.scales.0", "must be greater than 0"]),
        ([*LAZY, "scales"], [1, 1], ["lazy.digits", "scales", "given twice"]),
        ([*LAZY, "widths"], [0], ["lazy.digits.widths.0", "at least 1"]),
        ([*LAZY, "data_seeds"], [], ["lazy.digits.data_seeds", "empty"]),
        ([*LAZY, "precision"], "float32", ["lazy.digits", "scales", "digits of float32 are lost", "float64"]),
        ([*LAZY, "scales"], [1e12], ["lazy.digits", "scales", "digits of float64 are lost"]),
        ([*LAZY, "velocity_tolerance"], 1e-26, ["lazy.digits", "velocity_tolerance", "raise them"]),
        ([*LAZY, "kernel_samples"], 5000, ["lazy.digits.kernel_samples", "1540 test samples"]),
        ([*LAZY, "tilt"], {"period": 1, "amplitude": 0.5}, ["lazy.digits.tilt.amplitude", "at least 1"]),
        (
            ["datasets", "digits_parity", "split"],
            "official",
            ["datasets.digits_parity", "validation_samples", "at most 297"],
        ),
        (["datasets", "digits_parity", "train_samples"], 260, ["datasets.digits_parity", "1797"]),
        (["figures", "lazy"], "x", ["figures.lazy", "no 'x'", "digits"]),
        (["figures", "lazy_null"], "digits", ["lazy.digits.tilt", "figures.lazy_null"]),
        (["figures", "lazy_sizes"], ["digits"], ["lazy.digits.widths", "figures.lazy_sizes", "one width"]),
        (["figures", "regimes"], ["spiral_w100"], ["phase.spiral_w100.output_scale", "figures.regimes"]),
        (["phase", "regime_a1", "amplitudes"], [1, 5, 20], ["phase.regime_a1.amplitudes", "one cell"]),
        (["figures", "regimes_along"], ["cascade"], ["trajectories.cascade", "figures.regimes_along"]),
        ([*W100, "output_scale"], 0, ["phase.spiral_w100.output_scale", "must be greater than 0"]),
        ([*W100, "output_scale"], -2, ["phase.spiral_w100.output_scale", "must be greater than 0"]),
        (
            W100,
            {"output_scale": 2, "learning_rate_rule": {"kind": "dal", "cap": 1}},
            ["phase.spiral_w100", "output_scale", "take a constant learning_rate_rule"],
        ),
        (
            W100,
            {"output_scale": 2, "model": {"kind": "wide_resnet"}},
            ["phase.spiral_w100", "output_scale", "statistics", "or null"],
        ),
        (
            ["trajectories", "edge_dynamical", "output_scale"],
            2.0,
            ["trajectories.edge_dynamical.probes", "alignment", "output_scale", "leave the probe out"],
        ),
        (["figures", "flows"], ["x"], ["figures.flows", "no 'x'"]),
        (["figures", "threshold"], "x", ["figures.threshold", "scaling"]),
        (["phase"], {}, ["'phase'"]),
        (["phase"], 3, ["'phase'", "group of"]),
        ([*W100, "dataset"], "sprial", ["phase.spiral_w100.dataset", "no 'sprial'", "spiral"]),
        (["figures", "phase_narrow"], "spiral_w10", ["figures.phase_narrow", "spiral_w100"]),
        (["figures", "trajectory"], "casade", ["figures.trajectory", "no 'casade'"]),
        (["figures", "initialisations"], ["x"], ["figures.initialisations", "no 'x'"]),
        ([*W100, "optimiser"], {"kind": "sdg"}, ["optimiser", "no optimiser 'sdg'"]),
        ([*W100, "loss"], {"waveform": "saw"}, ["loss.waveform", "triangle", "saw"]),
        ([*W100, "loss"], {"weighting": "output"}, ["loss", "weighting", "only mse has", "take sample"]),
        ([*W100, "loss"], {"emphasis": "all"}, ["loss", "normalisation", "take cycle"]),
        (
            [*W100, "loss"],
            {"kind": "mse", "weighting": "output", "emphasis": "random_group"},
            ["loss", "emphasis", "no outputs"],
        ),
        (
            [*W100],
            {"loss": {"emphasis": "random_group"}, "batch_size": 10},
            ["phase.spiral_w100.loss.emphasis", "leave batch_size out"],
        ),
        (
            [*W100],
            {"loss": {"emphasis": "random_group"}, "engine": "fused"},
            ["phase.spiral_w100.engine", "take auto or xla"],
        ),
        (
            ["trajectories", "cascade", "loss"],
            {"emphasis": "random_group"},
            ["trajectories.cascade", "take class"],
        ),
        ([*W100, "loss"], {"cycles": 0}, ["loss.cycles", "at least 1"]),
        (["trajectories", "cascade", "snapshots"], {"every": 10}, ["odd number such as 11"]),
        (["trajectories", "cascade", "period"], 40_000, ["T = 40000 leaves no static period"]),
        (["trajectories", "threshold_x"], {}, ["threshold_x", "must not begin"]),
        (["trajectories", "a-b"], {}, ["trajectories.a-b"]),
        (["threshold", "scaling", "widths"], {"wide": {}}, ["threshold.scaling.widths.wide"]),
        (["scale"], "../up", ["scale"]),
        (["trajectories", "cascade", "record_every"], 5, ["cascade.record_every", "set it to 1"]),
        (
            ["threshold", "scaling", "trajectory", "record_every"],
            5,
            ["threshold.scaling.trajectory.record_every"],
        ),
        (["threshold", "scaling", "probes", "hessian", "losses"], ["static"], ["threshold", "weighted"]),
        (
            ["threshold", "scaling", "probes", "hessian"],
            {"modes": 9, "order": 5},
            ["5 Lanczos steps cannot give 9"],
        ),
        ([*W100, "amplitudes"], [1], ["spiral_w100.amplitudes", "above 1"]),
        (["phase", "initialisation_lecun", "amplitudes"], [2], ["initialisation_lecun", "the amplitude 1"]),
        ([*W100, "model", "kind"], "mpl", ["phase.spiral_w100.model'", "take mlp, myrtle5 or wide_resnet"]),
        (["datasets", "spiral", "kind"], "mnist", ["datasets.spiral'", "take spiral, breast_cancer"]),
        (["datasets", "images", "sorce"], "x", ["unknown key 'datasets.images.sorce'", "the keys here are"]),
        (["datasets", "images", "train_samples"], 0, ["datasets.images.train_samples", "at least 1"]),
        (["datasets", "images", "train_samples"], 1501, ["datasets.images.train_samples", "at most 1500"]),
        (["datasets", "images", "validation_samples"], 298, ["images.validation_samples", "at most 297"]),
        (IMAGES, {"kind": "cifar10", "train_samples": 50_001}, ["images.train_samples", "at most 50000"]),
        (IMAGES, {"kind": "fashion_mnist", "train_samples": 60_001}, ["train_samples", "at most 60000"]),
        (IMAGES, {"kind": "cifar10", "source": ""}, ["datasets.images.source", "must name a file or folder"]),
        (IMAGES, {"kind": "fashion_mnist", "source": ""}, ["datasets.images.source", "must name a file"]),
        (IMAGES, {"kind": "cifar10", "source": "a\nb"}, ["datasets.images.source", "no control characters"]),
        (IMAGES, {"kind": "cifar10", "source": "a\0b"}, ["datasets.images.source", "no control characters"]),
        (IMAGES, {"kind": "cifar10", "source": "~nobody-here/a"}, ["images.source", "unknown user"]),
        ([*MYRTLE5, "model", "channels"], 0, ["phase.myrtle5.model.channels'", "at least 1 (it is 0)"]),
        ([*MYRTLE5, "model", "width"], 5, ["unknown key 'phase.myrtle5.model.width'", "kind, channels"]),
        ([*MYRTLE5, "batch_size"], 1501, ["phase.myrtle5.batch_size", "more than the 1500 training"]),
        ([*MYRTLE5, "dataset"], "spiral", ["phase.myrtle5.model", "myrtle5 needs images"]),
        ([*MYRTLE5, "steps"], 100, ["phase.myrtle5.steps", "60 epochs are 1800 steps", "one of the two"]),
        ([*MYRTLE5, "oscillation_stop"], 1.5, ["phase.myrtle5.oscillation_stop", "1.5"]),
        ([*MYRTLE5, "oscillation_stop"], 0, ["phase.myrtle5.oscillation_stop", "greater than 0"]),
        ([*MYRTLE5, "learning_rate_schedule"], [[0, 1], [0.5, 0]], ["learning_rate_schedule", "rise from 0"]),
        (
            [*MYRTLE5, "learning_rate_schedule"],
            [[0, 1], [1, -1]],
            ["learning_rate_schedule.1.1", "at least 0"],
        ),
        ([*MYRTLE5, "precision"], "float16", ["phase.myrtle5.precision"]),
        (
            [*MYRTLE5],
            {**DEFAULT["phase"]["myrtle5"], "arithmetic": "tf32", "precision": "float64"},
            ["float32"],
        ),
        ([*W100, "arithmetic"], "bfloat16", ["spiral_w100", "only convolutional networks"]),
        ([*MYRTLE5, "engine"], "fused", ["phase.myrtle5", "take auto or xla"]),
        (["phase", "wide_resnet_plain", "model", "depth"], 12, ["model.depth", "take 10, 16, 22 or 28"]),
        ([*MYRTLE5, "learning_curves"], False, ["myrtle5.learning_curves", "figures.learning_curves"]),
        ([*MYRTLE5, "amplitudes"], [1], ["myrtle5.amplitudes", "one above 1"]),
        (["figures", "learning_curves_cell"], [7, 50], ["learning_curves_cell", "T = 7, A = 50", "name a"]),
        (["figures", "phase_images"], "myrtle", ["figures.phase_images", "no 'myrtle'"]),
        (["figures", "trajectory_images"], "x", ["figures.trajectory_images", "no 'x'"]),
        (
            [*S2, "record_every"],
            10,
            ["cascade_images.record_every", "10 hides the alternation", "odd number"],
        ),
        ([*S2, "probes", "hessian", "losses"], ["static"], ["cascade_images", "Fig. S2", "weighted loss"]),
        (
            [*S2, "probes", "hessian"],
            {"modes": 9000, "order": 9000},
            ["cascade_images.probes.hessian.modes", "7216 parameters", "fewer"],
        ),
        (
            [*S2, "optimiser", "arguments"],
            {"momentum": 1.5, "nesterov": True},
            ["cascade_images.optimiser", "momentum: 1.5", "less than 1"],
        ),
        (["figures", "wide_resnet"], ["x"], ["figures.wide_resnet", "no 'x'"]),
        (["figures", "dataset"], "images", ["figures.dataset", "Fig. 2 shows a spiral"]),
        (
            ["threshold", "scaling", "trajectory", "model"],
            {"kind": "myrtle5"},
            ["threshold.scaling.trajectory.model"],
        ),
        # The rules also apply to the other groups of the same kind.
        (
            ["threshold", "scaling", "probes", "hessian"],
            {"modes": 9000, "order": 9000},
            ["threshold.scaling.probes.hessian.modes", "603 parameters", "fewer"],
        ),
        (
            ["threshold", "scaling", "probes", "ntk"],
            {"modes": 604, "order": 700},
            ["threshold.scaling.probes.ntk.modes", "no more than 603", "fewer"],
        ),
        ([*S1, "probes", "ntk"], {"modes": 700, "order": 700}, ["cascade.probes.ntk.modes", "eigenvalues"]),
        ([*S1, "probes", "ntk"], {"notebook_samples": 301}, ["cascade.probes.ntk.notebook_samples", "300"]),
        (
            [*S1, "probes", "density"],
            {"steps": [0, 70_001]},
            ["cascade.probes.density.steps: 70001", "run of 70000 steps"],
        ),
        (
            [*S1, "snapshots", "windows"],
            [{"start": 5, "stop": 70_001}],
            ["trajectories.cascade", "snapshots.windows: 5 to 70001", "run of 70000 steps"],
        ),
        ([*MYRTLE5, "evaluation_samples"], 1501, ["phase.myrtle5.evaluation_samples", "no more than 1500"]),
        (
            ["threshold", "scaling", "widths", "100", "learning_rates"],
            [1e-8],
            ["threshold.scaling.widths.100.learning_rates: η = 1e-08 leaves no run", "less than 2147483648"],
        ),
        (["datasets", "spiral", "noise"], math.inf, ["datasets.spiral.noise", "must be a finite number"]),
        ([*W100, "seeds"], 99_999_999_999, ["phase.spiral_w100.seeds", "at most 10000000"]),
        ([*W100, "seeds"], 9_000_000, ["phase.spiral_w100", "seeds_per_block", "jobs are more than 100000"]),
        (["bootstrap", "resamples"], 10**12, ["bootstrap.resamples", "at most 1000000"]),
        ([*W100, "seeds"], True, ["phase.spiral_w100.seeds", "must not be true, false"]),
        ([*W100, "learning_rate"], math.nan, ["phase.spiral_w100.learning_rate", "must be a finite number"]),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(path, value, words):
    with pytest.raises(UserError) as error:
        load(changed(path, value), "config.yaml")
    message = str(error.value)
    assert message.startswith("config.yaml: ") and "\n" not in message
    for word in words:
        assert word in message


def every_settings_class():
    found = [Settings]
    for kind in found:
        found += [other for other in kind.__subclasses__() if other not in found]
    return found


def holds_numbers(annotation):
    return annotation is float or any(map(holds_numbers, get_args(annotation)))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_setting_takes_infinity_or_what_is_no_number(value):
    """Test every numeric field with a number, a list, a list of pairs and a group."""
    tried = 0
    for kind in every_settings_class():
        for name, field in kind.model_fields.items():
            if holds_numbers(field.annotation):
                for given in (value, [value], [[0.0, value], [1.0, 1.0]], {"x": value}):
                    with pytest.raises(ValidationError) as caught:
                        kind.model_validate({name: given})
                    assert name in {error["loc"][0] for error in caught.value.errors()}, (kind, name)
                tried += 1
    assert tried > 12


def test_a_study_that_is_larger_than_its_limits_is_refused():
    rates = ["threshold", "scaling", "widths", "100", "learning_rates"]
    cases = [
        (
            rates,
            [1e-4],
            ["threshold.scaling.widths.100.learning_rates: η = 0.0001", "700000000 steps", "100000000"],
        ),
        (
            [*W100, "seeds_per_block"],
            10**7,
            ["phase.spiral_w100: a training job", "MB", "32000", "fewer seeds"],
        ),
        ([*S1, "snapshots", "every"], 1, ["trajectories.cascade: a training job", "fewer snapshots"]),
        (["limits"], {"steps": 100}, ["would have", "limits.steps is 100"]),
        (["limits"], {"memory_mb": 900}, ["MB", "limits.memory_mb is 900"]),
    ]
    for path, value, words in cases:
        values = changed(path, value)
        if path[-1] == "every":
            values["trajectories"]["cascade"]["model"] = {"width": 10_000}
        with pytest.raises(UserError) as error:
            resources.require_within_limits(load(values).for_data())
        assert "\n" not in str(error.value)
        for word in words:
            assert word in str(error.value)
    resources.require_within_limits(load(DEFAULT).for_data())


@pytest.mark.parametrize("given", ["~/figs", "~/a//b/../figs/"])
def test_a_path_may_begin_with_the_home_folder(given, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert load(changed(["figures", "folder"], given)).figures.folder in (
        "/home/someone/figs",
        "/home/someone/a/figs",
    )
    settings = load(changed(IMAGES, {"kind": "cifar10", "source": given})).datasets["images"]
    assert (settings.source, settings.location) == (given, Path("/home/someone") / given[2:])


@pytest.mark.parametrize("text", ["1e5", "0o10", "08", "yes", "1:30", "2024", "null", "it's", "a: b", "~"])
def test_what_is_written_is_read_back_as_the_same_text(text):
    """The writer follows the rules of YAML 1.1, which would leave some of these texts without quotes."""
    assert reading.parse(f"title: {document._flow(text)}", "here") == {"title": text}


def test_a_window_that_ends_before_it_starts_is_refused():
    window = {"every": 25, "windows": [{"start": 9, "stop": 5}]}
    with pytest.raises(UserError, match="window start 9 is not before stop 5; swap them"):
        load(changed(["trajectories", "cascade", "snapshots"], window))


def test_missing_keys_are_named():
    without = copy.deepcopy(DEFAULT)
    del without["threshold"]
    with pytest.raises(UserError, match="key 'threshold' is missing"):
        load(without)


def test_schema_on_disk_is_that_of_the_model():
    path = ROOT / "workflow" / "schemas" / "config.schema.json"
    assert path.read_text(encoding="utf-8") == document.schema(FIGURES), "run `make config`"


def test_comments_of_config_yaml_are_those_of_the_model():
    path = ROOT / "config.yaml"
    assert path.read_text(encoding="utf-8") == document.commented(document.read(path, FIGURES)), (
        "run `make config`"
    )


@pytest.mark.parametrize("overlays", [[], ["smoke"], ["paper"], ["published"], ["paper", "gpu"]])
def test_every_scale_is_valid_for_model_and_schema(overlays):
    values = DEFAULT
    for overlay in overlays:
        values = merged(values, settings(SCALES / f"{overlay}.yaml"))
    assert load(values).scale == (overlays[0] if overlays else "laptop")
    # Keys in JSON are strings, so the integer widths in YAML are converted to strings.
    jsonschema.validate(json.loads(json.dumps(values)), json.loads(document.schema(FIGURES)))


def test_commented_yaml_holds_the_same_configuration():
    config = load(DEFAULT)
    assert load(yaml.safe_load(document.commented(config))) == config


def test_paper_scale_has_the_papers_sizes():
    values = settings(SCALES / "paper.yaml")
    config = load(merged(DEFAULT, values))
    for study, width in (("spiral_w100", 100), ("spiral_w1000", 1000)):
        whole = config.phase[study]
        assert (whole.seeds, whole.steps, whole.model.width) == (50, 35_000, width)
    assert (config.trajectories["cascade"].period, config.trajectories["cascade"].amplitude) == (5000, 70)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.3, 1.0, 2.0, 3.0])
def test_time_scales_with_one_over_the_learning_rate(rate):
    scaled = TrajectorySettings().at_learning_rate(rate, 1000)
    assert scaled.model.width == 1000
    assert scaled.learning_rate == rate
    assert scaled.period == pytest.approx(5000 / rate, abs=0.5)
    assert scaled.steps == pytest.approx(70_000 / rate, abs=7)
    assert scaled.steps == 14 * scaled.period  # rounding T must not remove a period from the run
    assert scaled.snapshots.every % 2 == 1
    assert abs(scaled.snapshots.every - 25 / rate) <= 1


@pytest.mark.parametrize(("spacing", "every"), [("scaled", 51), ("fixed", 25)])
def test_snapshots_of_the_threshold_study_may_keep_their_spacing(spacing, every):
    config = load(changed(["threshold", "scaling", "snapshot_spacing"], spacing))
    run = config.threshold["scaling"].run(100, 0.5)
    assert (run.snapshots.every, run.period) == (every, 10_000)


def test_a_step_of_rest_counts_for_the_static_period():
    settings = {"period": 50, "steps": 101, "snapshots": {"every": 5}}
    assert TrajectorySettings(**settings).loss.rest_steps == 0
    with pytest.raises(
        ValidationError, match="T = 50 leaves no static period at the end of 101 steps; take T <= 49"
    ):
        TrajectorySettings(**settings, loss={"rest_steps": 1})


def test_changing_probes_or_grid_leaves_what_training_depends_on():
    config = load(DEFAULT)
    other = load(changed(["trajectories", "cascade", "probes", "seed"], 5))
    assert other.trajectories["cascade"] != config.trajectories["cascade"]
    assert other.trajectories["cascade"].training == config.trajectories["cascade"].training
    other = load(changed([*W100, "periods"], [7]))
    assert other.phase["spiral_w100"].training == config.phase["spiral_w100"].training


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("a: [1", "line 1: not valid YAML or JSON"), ("- 1\n", "group of")],
)
def test_unreadable_files_are_named(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        document.read(path, FIGURES)
    assert str(path) in str(error.value)


def test_as_many_amplitudes_share_a_block_as_fit_into_a_name():
    amplitudes = [float(value) for value in range(2, 52)]
    wide = PhaseSettings(amplitudes=amplitudes, amplitudes_per_block=50, seeds=10)
    assert [len(block.name) for block in wide.blocks] == [len("T200_A_seeds0-9") + 8 + 42 * 2 + 49]
    with pytest.raises(ValueError, match="a file name of 304 characters, and at most 200 are allowed"):
        PhaseSettings(amplitudes=[float(value) for value in range(2, 101)], amplitudes_per_block=99)


def test_epochs_are_steps_of_the_data_at_hand():
    """Test 1500 digits in batches of 50, and all of CIFAR-10 in batches of 512, the last one of 336."""
    study = load(DEFAULT).for_data().phase["myrtle5"]
    assert (study.epochs, study.steps) == (60, 60 * 30)
    overlay = settings(SCALES / "paper.yaml")
    paper = load(merged(DEFAULT, overlay)).for_data()
    assert paper.phase["myrtle5"].steps == 700 * 98
    assert paper.phase["wide_resnet_plain"].steps == 200 * 49
    assert load(DEFAULT).phase["myrtle5"].training.for_data(Shape(1500, 297, (8, 8, 1), 10)) == study.training


def test_what_is_resolved_stays_so():
    once = load(DEFAULT).for_data()
    assert once.for_data() == once
    for study in once.phase.values():
        assert type(study).model_validate_json(study.model_dump_json()) == study


@pytest.mark.parametrize(
    "scale",
    [
        "cifar10",
        "headline",
        "paper",
        "gpu",
        "published",
        "protocols",
        "losses",
        "regime",
        "wide_resnet",
        "smoke",
    ],
)
def test_every_scale_is_a_valid_overlay(scale):
    overlay = settings(SCALES / f"{scale}.yaml")
    config = load(merged(DEFAULT, overlay))
    draws = {f"{name}_noise{seed}" for name, study in config.phase.items() for seed in study.noise_seeds}
    assert config.phase.keys() >= DEFAULT["phase"].keys()
    assert config.for_data().phase.keys() == config.phase.keys() | draws


def test_the_headline_is_the_papers_protocol():
    overlay = settings(SCALES / "headline.yaml")
    config = load(merged(DEFAULT, overlay)).for_data()
    study, shape = config.phase["myrtle5"], config.datasets["images"].shape
    assert (shape.train_samples, shape.validation_samples) == (50_000, 10_000)
    assert (study.model.channels, study.batch_size, study.epochs) == (64, 512, 700)
    assert (study.periods, study.amplitudes) == ([100], [1, 50])
    assert study.learning_rate == 0.02
    np.testing.assert_allclose(
        study.learning_rate_schedule, [(0, 0), (300 / 700, 1), (1, 0.002 / 0.02)], atol=1e-6
    )
    assert study.oscillation_stop == pytest.approx(600 / 700, abs=1e-6)
    assert study.optimiser.arguments == {"momentum": 0.9, "nesterov": True}
