"""The published results: their records are complete, and the stored table of claims follows from them."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import xarray as xr
from click.testing import CliRunner

from dynamical_loss import claims, cli
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.paper.departures import Sort, departures, facts_of
from dynamical_loss.paper.protocols import (
    CASCADE,
    NARROW,
    THRESHOLD,
    WIDE,
    of_images,
    phase_of_spiral,
    static_run,
)
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.stages import evaluate_claims

DATA = Path(__file__).parents[3] / "paper_figures" / "data"


def cascades(initialisation):
    return {
        role: [f"{role}/{initialisation}_cascade_seed{seed}.nc" for seed in range(10)]
        for role in ("spectrum", "instabilities")
    }


INPUTS = {
    "phase_images": ["phase/myrtle5.nc"],
    "learning_curves": ["phase/myrtle5.nc"],
    "regime": [f"phase/regime{ending}.nc" for ending in ("", "_weight_decay", "_slow", "_fast")],
    "wide_resnet": ["phase/wide_resnet_batch_norm.nc", "phase/wide_resnet_plain.nc"],
    "phase_narrow": ["phase/spiral_w100.nc"],
    "phase_wide": ["phase/spiral_w1000.nc"],
    "initialisation": [f"phase/initialisation_{name}.nc" for name in ("lecun", "glorot", "no_bias")],
    "threshold": ["threshold/scaling.nc"],
    **cascades("lecun"),
    "static_narrow": [f"spectrum/static_w100_seed{seed}.nc" for seed in range(3)],
    "static_wide": [f"spectrum/static_w1000_seed{seed}.nc" for seed in range(3)],
    "ingredients": [
        f"phase/ingredient_{name}.nc"
        for name in ("whole", "random_order", "random_groups", "in_phase", "unnormalised", "one_cycle")
    ],
    "learning_rates": [
        f"phase/{path.stem}.nc"
        for pattern in ("rate_*", "dal_*", "long_*")
        for path in sorted((DATA / "phase").glob(f"{pattern}.nc"))
    ],
    "flows": [f"flows/{study}.nc" for study in ("cancer_slow", "cancer", "spiral")],
    "edge": [f"runs/edge_{loss}.nc" for loss in ("static", "dynamical")],
    "residuals": [f"runs/residual_{loss}.nc" for loss in ("static", "dynamical")],
    "known": ["flow/known_losses.nc"],
    "runs": [f"runs/{path.name}" for path in sorted((DATA / "runs").glob("average_*.nc"))],
    "losses": [
        f"phase/{path.stem}.nc"
        for kind in ("cross_entropy", "mse_samples", "mse_outputs")
        for path in sorted((DATA / "phase").glob(f"{kind}_w*.nc"))
    ],
}

INPUTS |= {
    "lazy": ["lazy/digits.nc"],
    "lazy_further": ["lazy/fashion.nc"],
    "lazy_null": ["lazy/digits_null.nc"],
    "lazy_sizes": [f"lazy/digits_p{size}.nc" for size in (50, 100, 200, 400)],
    "regimes": [
        f"phase/{path.stem}.nc"
        for pattern in ("regime_a*", "regime_ntk_*", "longer_*")
        for path in sorted((DATA / "phase").glob(f"{pattern}.nc"))
    ],
}

PROTOCOLS = {
    "lecun": {"phase_narrow": ["phase/lecun_w100.nc"], **cascades("lecun")}
    | {"phase_wide": ["phase/lecun_w1000.nc"], "threshold": ["threshold/lecun.nc"]}
    | {role: INPUTS[role] for role in ("static_narrow", "static_wide")},
    "lecun_fixed_tolerance": {"threshold": ["threshold/fixed_tolerance/lecun.nc"]},
    "glorot_zero": {
        "phase_narrow": ["phase/glorot_zero_w100.nc"],
        "phase_wide": ["phase/glorot_zero_w1000.nc"],
        **cascades("glorot_zero"),
        "threshold": ["threshold/glorot_zero.nc"],
        **{
            f"static_{words}": [f"spectrum/glorot_zero_static_w{width}_seed{seed}.nc" for seed in range(3)]
            for words, width in (("narrow", 100), ("wide", 1000))
        },
    },
    "glorot_zero_fixed_tolerance": {"threshold": ["threshold/fixed_tolerance/glorot_zero.nc"]},
    "lecun_redrawn": {"phase_narrow": ["phase/lecun_redrawn.nc"]},
    "glorot_zero_redrawn": {"phase_narrow": ["phase/glorot_zero_redrawn.nc"]},
} | {
    f"{initialisation}_{reading}": {"threshold": [f"threshold/{reading}/{initialisation}_fixed_spacing.nc"]}
    for initialisation in ("lecun", "glorot_zero")
    for reading in ("caption", "caption_outside")
}


@pytest.fixture(name="stored", scope="module")
def _stored():
    roles = [INPUTS, *PROTOCOLS.values()]
    return {path: netcdf.read(DATA / path) for group in roles for paths in group.values() for path in paths}


def test_the_stored_table_of_claims_follows_from_the_published_results(stored, tmp_path):
    inputs = {role: [stored[path] for path in paths] for role, paths in INPUTS.items()}
    evaluated = claims.evaluate(inputs, BootstrapSettings(), INPUTS)
    evaluate_claims.write([*evaluated, claims.expected_false(evaluated)], tmp_path / "claims.csv")

    def rows(path):
        with open(path, encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    found, expected = rows(tmp_path / "claims.csv"), rows(DATA / "claims.csv")
    # The last column is left out, because it holds the paths of the files on the machine of the evaluation.
    columns = [field.name for field in dataclasses.fields(claims.Row) if field.name != "file"]
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert {name: row[name] for name in columns} == {name: wanted[name] for name in columns}
        names = [[Path(name).name for name in each["file"].split("; ")] for each in (row, wanted)]
        assert names[0] == names[1]


def test_the_stored_table_of_protocols_follows_from_the_published_results(stored, tmp_path):
    arguments = ["evaluate-protocols", "--output", tmp_path / "p.nc", "--table", tmp_path / "p.csv"]
    for name, roles in PROTOCOLS.items():
        for role, paths in roles.items():
            arguments += [word for path in paths for word in ("--input", f"{name}:{role}={DATA / path}")]
    result = CliRunner().invoke(cli.commands, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found, expected = netcdf.read(tmp_path / "p.nc"), netcdf.read(DATA / "protocols.nc")
    assert set(found) == set(expected)
    for name in set(found) - {"file"}:
        if found[name].dtype.kind == "f":  # processors sum in different orders, so the last bit differs
            xr.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
        else:
            assert found[name].identical(expected[name]), name


def test_published_studies_of_the_spiral_are_the_paper_s_but_for_seeds(stored):
    cases = [
        ("phase_narrow", phase_of_spiral(NARROW), None),
        ("phase_wide", phase_of_spiral(WIDE), None),
        ("threshold", THRESHOLD, "trajectories"),
        ("spectrum", CASCADE, "trajectory"),
        ("instabilities", CASCADE, "trajectory"),
        ("static_narrow", static_run(NARROW), "trajectory"),
        ("static_wide", static_run(WIDE), "trajectory"),
    ]
    for role, protocol, group in cases:
        for path in INPUTS[role]:
            item = stored[path]
            origins = recorded.settings_of(item)[group] if group else None
            for origin in origins if isinstance(origins, list) else [origins]:
                found = departures(protocol, facts_of(item, origin))
                assert {departure.sort for departure in found} <= {Sort.SEEDS}, path


@pytest.mark.parametrize("path", ["phase/myrtle5.nc", "trajectory/cascade_images_seed0.nc"])
def test_published_studies_of_images_say_all_that_is_asked_of_them(path):
    item = netcdf.read(DATA / path)
    facts = facts_of(item)
    assert facts["dataset_copies"] == "lossy"
    found = departures(of_images(facts["model"], "seed" in item.sizes), facts)
    assert all(departure.known for departure in found)


def test_completed_records_say_so_and_name_the_published_spiral():
    spiral = recorded.settings_of(netcdf.read(DATA / "dataset" / "spiral.nc"))
    for path in sorted(DATA.rglob("*.nc")):
        attributes = netcdf.read(path).attrs
        # Results from before settings of the data were recorded have been completed; later ones record them.
        assert attributes.get("record_completed", "2026-11-25: ").startswith("2026-11-25: ")
        assert "record_completed" in attributes or "inputs" in attributes, path
        if attributes.get("dataset") == "spiral":
            found = json.loads(attributes["dataset_settings"])
            drawn = isinstance(found["train_seed"], list)
            expected = spiral | ({"train_seed": found["train_seed"]} if drawn else {})
            assert {key: found[key] for key in spiral} == expected, path
