"""The paper's protocols: each fact that they require, and unknown facts, which never count as the paper's."""

from __future__ import annotations

import copy
import json

import pytest
import xarray as xr

from dynamical_loss.config.training import PhaseSettings, TrajectorySettings
from dynamical_loss.datasets.kinds.cifar10 import Cifar10Settings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.datasets.official import SHA256
from dynamical_loss.errors import UnknownOriginError
from dynamical_loss.paper.departures import Sort, departures, facts_of
from dynamical_loss.paper.protocols import (
    CASCADE,
    LATER,
    MYRTLE5,
    MYRTLE5_RUN,
    NARROW,
    THRESHOLD,
    WIDE,
    WIDE_RESNET,
    of_images,
    phase_of_spiral,
    static_run,
)

SPIRAL = {"dataset": "spiral", "dataset_settings": SpiralSettings().model_dump(mode="json")}
CIFAR10 = {
    "dataset": "CIFAR-10",
    "dataset_copies": "exact",
    "dataset_settings": Cifar10Settings(kind="cifar10").model_dump(mode="json"),
    "train_samples": 50_000,
    "validation_samples": 10_000,
}
MOMENTUM = {"kind": "sgd", "arguments": {"momentum": 0.9, "nesterov": True}}


def phase(data, **settings):
    return {**PhaseSettings.model_validate(settings).model_dump(mode="json"), **data}


def run(data, **settings):
    return {**TrajectorySettings.model_validate(settings).model_dump(mode="json"), "seed": 0, **data}


MYRTLE5_SETTINGS = {
    "model": {"kind": "myrtle5"},
    "optimiser": MOMENTUM,
    "learning_rate": 0.02,
    "learning_rate_schedule": [[0, 0], [3 / 7, 1], [1, 0.1]],
    "oscillation_stop": 6 / 7,
    "batch_size": 512,
    "epochs": 700,
    "steps": 68_600,
}
PAPERS = {
    "Fig. 3, narrow": (phase_of_spiral(NARROW), phase(SPIRAL, seeds=50)),
    "Fig. 3, wide": (phase_of_spiral(WIDE), phase(SPIRAL, model={"width": 1000}, seeds=50)),
    "Fig. 4": (CASCADE, run(SPIRAL)),
    "Fig. 5a": (THRESHOLD, run(SPIRAL, learning_rate=0.5, period=10_000, steps=140_000)),
    "Fig. 5b": (static_run(NARROW), run(SPIRAL, amplitude=1.0, steps=35_000)),
    "Fig. 5c": (static_run(WIDE), run(SPIRAL, amplitude=1.0, steps=35_000, model={"width": 1000})),
    "Fig. 1": (MYRTLE5, phase(CIFAR10, **MYRTLE5_SETTINGS, seeds=30)),
    "Fig. S2": (MYRTLE5_RUN, run(CIFAR10, **MYRTLE5_SETTINGS, precision="float32")),
    "supplement": (
        WIDE_RESNET,
        phase(CIFAR10, model={"kind": "wide_resnet"}, batch_size=1024, epochs=200, steps=9_800),
    ),
}
"""The protocol and facts that follow this protocol, by place in the paper."""

OTHER = {
    "dataset": "digits",
    "dataset_copies": "lossy",
    "train_samples": 4_000,
    "validation_samples": 1_000,
    "dataset_settings.classes": 4,
    "dataset_settings.points_per_class": 99,
    "dataset_settings.turns": 2.5,
    "dataset_settings.noise": 0.0,
    "dataset_settings.train_seed": 1,
    "loss.kind": "mse",
    "loss.waveform": "sine",
    "loss.weighting": "output",
    "loss.emphasis": "random_class",
    "loss.normalisation": "cycle",
    "loss.cycles": 3,
    "optimiser.weight_decay": 0.1,
    "learning_rate_rule.kind": "dal",
    "output_scale": 2.0,
    "model.activation": "tanh",
    "dataset_settings.reduction": 2,
    "dataset_settings.labels": "parity",
    "dataset_settings.split": "pooled",
    "model.kind": "another",
    "model.depth": 2,
    "model.width": 50,
    "model.channels": 16,
    "optimiser.kind": "adam",
    "optimiser.arguments": {"momentum": 0.5},
    "batch_size": 32,
    "learning_rate": 0.1,
    "learning_rate_schedule": [[0, 0], [0.43, 1], [1, 0.1]],
    "oscillation_stop": 0.5,
    "evaluation_samples": 20,
    "period": 777,
    "amplitude": 3.0,
    "steps": 1_000,
    "seeds": 2,
}
"""For each fact, a value that is not the paper's."""

OPEN = {
    "Fig. 5a": {"model.width"},
    "Fig. 5b": {"learning_rate"},
    "Fig. 5c": {"learning_rate"},
    "Fig. 1": {"arithmetic"},
    "Fig. S2": {"arithmetic"},
    "supplement": {
        "optimiser.kind",
        "optimiser.arguments",
        "learning_rate",
        "learning_rate_schedule",
        "oscillation_stop",
        "arithmetic",
    },
}
"""Facts that must be recorded but may have any value.

A learning rate may have any value only together with the times that scale with it.
"""

FACTS = [
    (place, key)
    for place, (protocol, _) in PAPERS.items()
    for key in dict.fromkeys(key for rule in protocol for key in rule.keys)
]


def altered(facts, path, *value):
    """Return the facts with another value of one fact, or without this fact if no value is given."""
    found = copy.deepcopy(facts)
    *groups, key = path.split(".")
    inner = found
    for group in groups:
        inner = inner[group]
    if value:
        inner[key] = value[0]
    else:
        del inner[key]
    return found


@pytest.mark.parametrize("place", PAPERS)
def test_the_paper_s_own_protocol_has_no_departures(place):
    assert departures(*PAPERS[place]) == []


@pytest.mark.parametrize(("place", "key"), [fact for fact in FACTS if fact[1] not in OPEN.get(fact[0], ())])
def test_each_fact_that_differs_is_a_departure_that_names_it(place, key):
    protocol, facts = PAPERS[place]
    found = departures(protocol, altered(facts, key, OTHER[key]))
    assert found
    assert all(key in departure.keys and departure.known for departure in found)
    assert all("in the paper" in departure.words or "the test set" in departure.words for departure in found)


@pytest.mark.parametrize(("place", "key"), [fact for fact in FACTS if fact[1] in LATER])
def test_files_from_before_the_variants_have_the_paper_s_loss(place, key):
    protocol, facts = PAPERS[place]
    assert departures(protocol, altered(facts, key)) == []


@pytest.mark.parametrize(("place", "key"), [fact for fact in FACTS if fact[1] not in LATER])
def test_each_fact_that_is_not_recorded_is_unknown_and_not_the_paper_s(place, key):
    protocol, facts = PAPERS[place]
    found = departures(protocol, altered(facts, key))
    assert found
    assert {departure.words for departure in found} == {f"the file does not record {key}"}
    assert not any(departure.known for departure in found)


@pytest.mark.parametrize(("place", "keys"), OPEN.items())
def test_what_the_paper_leaves_open_may_have_any_value(place, keys):
    protocol, facts = PAPERS[place]
    values = {**OTHER, "arithmetic": "bfloat16"}
    for key in keys - {"learning_rate"}:
        assert departures(protocol, altered(facts, key, values[key])) == []


def test_rounding_is_forgiven_and_no_more():
    protocol, facts = PAPERS["Fig. 1"]
    for key, near, far in (
        ("oscillation_stop", 0.857, 0.855),
        ("learning_rate_schedule", [[0, 0], [0.4286, 1], [1, 0.1]], [[0, 0], [0.43, 1], [1, 0.1]]),
        ("evaluation_samples", 10_000, 9_999),
        ("steps", 68_600, 68_502),
        ("seeds", 31, 29),
    ):
        assert departures(protocol, altered(facts, key, near)) == [], key
        assert len(departures(protocol, altered(facts, key, far))) == 1, key
    protocol, facts = PAPERS["Fig. 5a"]
    assert departures(protocol, altered(facts, "period", 10_090)) == []
    assert departures(protocol, altered(facts, "period", 10_110)) != []
    assert departures(protocol, altered(facts, "steps", 500_000)) == []


def test_departures_are_of_a_sort_and_in_the_protocol_s_order():
    protocol, facts = PAPERS["Fig. 1"]
    for key in ("seeds", "steps", "batch_size", "dataset_copies", "model.channels"):
        facts = altered(facts, key, OTHER[key])
    found = departures(protocol, facts)
    assert [departure.sort for departure in found] == [
        Sort.SIZE,
        Sort.PROTOCOL,
        Sort.SIZE,
        Sort.DATA,
        Sort.SEEDS,
    ]
    assert found[0].words == "model.channels is 16, in the paper 64"
    assert (found[0].found, found[0].paper) == (16, 64)


# What a file records ------------------------------------------------------------------------------


def result(settings, **attributes):
    return xr.Dataset(attrs={"settings": json.dumps(settings), **attributes})


def test_facts_are_those_of_the_training_and_of_its_data():
    item = result(
        {"tolerance": 0.1, "trajectory": {"period": 5, "dataset": "my_spiral"}},
        dataset="spiral",
        dataset_settings=SpiralSettings(noise=0.3).model_dump_json(),
        source="not of the data",
    )
    facts = facts_of(item, json.loads(item.attrs["settings"])["trajectory"])
    assert facts["period"] == 5
    assert facts["dataset"] == "spiral"
    assert facts["dataset_settings"]["noise"] == 0.3
    assert "source" not in facts


def test_the_name_that_a_user_gave_a_dataset_says_nothing_of_its_data():
    assert "dataset" not in facts_of(result({"dataset": "spiral"}))


def test_a_file_without_settings_is_of_unknown_origin():
    with pytest.raises(UnknownOriginError):
        facts_of(xr.Dataset())


@pytest.mark.parametrize("sha256", SHA256.values())
def test_an_official_archive_is_known_by_its_checksum(sha256):
    assert facts_of(result({}, dataset_source_sha256=sha256))["dataset_copies"] == "official"
    facts = {**PAPERS["Fig. 1"][1], "dataset_copies": "official"}
    assert departures(MYRTLE5, facts) == []


@pytest.mark.parametrize(
    ("said", "known"), [("exact", "exact"), ("lossy", "lossy"), ("official", None), ("new", None)]
)
def test_other_images_are_what_the_file_says_if_that_is_clear(said, known):
    item = result({}, dataset_source_sha256="0" * 64, dataset_copies=said)
    assert facts_of(item).get("dataset_copies") == known


def test_images_are_held_against_the_protocol_of_their_network():
    assert of_images({"kind": "wide_resnet"}, True) is WIDE_RESNET
    assert of_images({"kind": "myrtle5"}, True) is MYRTLE5
    assert of_images({"kind": "mlp"}, False) is MYRTLE5_RUN
