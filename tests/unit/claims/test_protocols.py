"""Claims under several protocols, evaluated on made-up results whose verdicts are known."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from claim_results import narrow_as_in_the_paper, phase, spectrum_file, stored, threshold_file
from dynamical_loss import claims, cli
from dynamical_loss.analysis import crossed
from dynamical_loss.claims import protocols
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.evidence import crossed_mean
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.paper import choices
from dynamical_loss.results import netcdf

SETTINGS = BootstrapSettings(resamples=1000)


def starting(item, initialisation):
    """Return the result as if the network had another initialisation."""
    settings = json.loads(item.attrs["settings"])
    for training in settings.get("trajectories", [settings]):
        training["model"]["initialisation"] = initialisation
    return item.assign_attrs(settings=json.dumps(settings))


def read_by(item, **reading):
    """Return the thresholds as if they were found by another reading of the paper's rule."""
    settings = json.loads(item.attrs["settings"]) | {"reading": reading}
    return item.assign_attrs(settings=json.dumps(settings))


def drawn(accuracy, draws=4, scatter=0.02):
    """Return a phase diagram of several draws of the data."""
    one = phase(accuracy)
    shifts = scatter * np.linspace(-1, 1, draws)
    together = xr.concat([one + shift for shift in shifts], dim="noise_seed")
    data = SpiralSettings().model_dump() | {"train_seed": list(range(100, 100 + draws))}
    return together.assign_coords(noise_seed=range(100, 100 + draws)).assign_attrs(
        one.attrs | {"dataset_settings": json.dumps(data)}
    )


def never_learns(period, amplitude):
    del period, amplitude
    return 0.65


def by_protocol(found, identity):
    return {item.protocol: item for item in found if item.row.id == identity}


def test_each_protocol_has_a_row_of_each_claim_that_it_can_speak_to():
    found = protocols.evaluate(
        {
            "a": {"phase_narrow": [phase(narrow_as_in_the_paper)]},
            "b": {"threshold": [threshold_file()]},
        },
        SETTINGS,
    )
    of_a = {item.row.id for item in found if item.protocol == "a"}
    of_b = {item.row.id for item in found if item.protocol == "b"}
    assert "static_narrow_fails" in of_a
    assert "threshold_exponent_loss" in of_b
    assert "unstable_periods" in of_b
    assert not of_a & of_b
    # A claim about static runs needs these runs in addition to the threshold.
    assert "static_narrow_above" not in of_a | of_b
    # The rows are in the order of the claims.
    order = [claim.id for claim in claims.CLAIMS]
    places = [order.index(item.row.id) for item in found if item.row.id in order]
    assert places == sorted(places)


def test_a_claim_hangs_on_the_one_choice_in_which_protocols_differ():
    given = phase(narrow_as_in_the_paper)
    found = protocols.evaluate(
        {
            "lecun": {"phase_narrow": [starting(phase(never_learns), "lecun")]},
            "glorot_zero": {"phase_narrow": [starting(given, "glorot_zero")]},
        },
        SETTINGS,
    )
    region = by_protocol(found, "narrow_region_train")
    assert region["lecun"].row.verdict is Verdict.CONTRADICTED
    assert region["glorot_zero"].row.verdict is Verdict.REPRODUCED
    assert {item.hangs_on for item in region.values()} == {
        "initialisation: contradicted with lecun, reproduced with glorot_zero"
    }
    assert (region["lecun"].row.initialisation, region["lecun"].row.network) == ("lecun", "width 100")
    fails = by_protocol(found, "static_narrow_fails")
    assert fails["lecun"].hangs_on == "not on initialisation: reproduced under every protocol"


def test_a_claim_may_hang_on_how_the_rule_is_read():
    literal = read_by(threshold_file(exponent=-0.9, half=0.02), tolerance_at_rate="fixed")
    found = protocols.evaluate(
        {"scaled": {"threshold": [threshold_file(half=0.02)]}, "fixed": {"threshold": [literal]}}, SETTINGS
    )
    rows = by_protocol(found, "threshold_exponent_sharpness")
    assert rows["fixed"].row.verdict is Verdict.REPRODUCED
    assert rows["scaled"].row.verdict is Verdict.CONTRADICTED
    assert rows["scaled"].hangs_on.startswith(
        "reading: contradicted with detrended difference, tolerance 0.1/η"
    )
    assert "tolerance 0.1 at every η" in rows["fixed"].row.reading
    assert rows["fixed"].quantity == "exponent"
    assert (rows["fixed"].criterion.low, rows["fixed"].criterion.high) == (-0.95, -0.85)


def test_where_two_choices_differ_at_once_neither_is_blamed():
    other = starting(threshold_file(exponent=-0.9, half=0.02), "he")
    found = protocols.evaluate(
        {
            "one": {"threshold": [threshold_file(half=0.02)]},
            "other": {"threshold": [read_by(other, tolerance_at_rate="fixed")]},
        },
        SETTINGS,
    )
    assert by_protocol(found, "threshold_exponent_loss")["one"].hangs_on.startswith(
        "several choices together"
    )


def test_of_several_draws_the_mean_is_over_all_and_its_interval_for_new_ones():
    item = drawn(narrow_as_in_the_paper)
    found = protocols.evaluate({"redrawn": {"phase_narrow": [item]}}, SETTINGS)
    row = by_protocol(found, "static_narrow_train_value")["redrawn"].row
    values = item["train_accuracy"].sel(amplitude=1).isel(period=0).values
    assert values.shape == (4, 10)
    assert row.measured_value == pytest.approx(values.mean())
    assert (row.interval_lower, row.interval_upper) == pytest.approx(crossed.components(values).mean.interval)
    assert row.n == 4
    assert row.statement.endswith("(4 draws of the data × 10 initial seeds)")
    assert row.data == "4 draws of the training noise, validation noise 1"
    improvement = by_protocol(found, "narrow_region_improves")["redrawn"].row
    assert improvement.measured_value == pytest.approx(0.98 - 0.65, abs=0.005)
    best = by_protocol(found, "narrow_best_train")["redrawn"].row
    assert best.measured_value == pytest.approx(0.98, abs=0.01)


@pytest.mark.parametrize("table", [np.full((2, 8), 0.5), np.where(np.eye(4) == 1, np.nan, 0.5)])
def test_few_draws_or_broken_runs_have_no_interval(table):
    assert np.isnan(crossed_mean(table, (0.0, 1.0)).interval).all()


def test_few_equal_runs_leave_room_for_others():
    lower, upper = crossed_mean(np.ones((3, 5)), (0.0, 1.0)).interval
    # Three draws miss a share 1 − 0.025^(1/3) of different draws with a chance of 2.5 %.
    assert (lower, upper) == (pytest.approx(0.025 ** (1 / 3)), 1.0)


def test_the_command_writes_both_tables(tmp_path):
    paths = {
        "one:phase_narrow": stored(phase(narrow_as_in_the_paper), tmp_path / "one.nc", "aggregate_phase"),
        "draws:phase_narrow": stored(drawn(narrow_as_in_the_paper), tmp_path / "draws.nc", "gather_draws"),
        "one:threshold": stored(threshold_file(), tmp_path / "threshold.nc", "fit_threshold"),
        "one:static_narrow": stored(
            spectrum_file(lambda steps: np.full(steps.size, 3.0), amplitude=1),
            tmp_path / "static.nc",
            "probe_spectrum",
        ),
    }
    arguments = ["evaluate-protocols", "--output", tmp_path / "p.nc", "--table", tmp_path / "p.csv"]
    for key, path in paths.items():
        arguments += ["--input", f"{key}={path}"]
    result = CliRunner().invoke(cli.commands, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with open(tmp_path / "p.csv", encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    file = netcdf.read(tmp_path / "p.nc")
    columns = [field.name for field in dataclasses.fields(claims.Row)]
    assert list(table[0]) == ["protocol", *columns, "quantity", "limit_lower", "limit_upper", "hangs_on"]
    for name in ("protocol", "id", "verdict", "hangs_on", "initialisation"):
        assert [row[name] for row in table] == file[name].values.tolist()
    for name in ("measured_value", "paper_value", "limit_lower"):
        written = [float(row[name] or "nan") for row in table]
        np.testing.assert_allclose(file[name].values, written, rtol=1e-5)
    assert {(row["protocol"], row["id"]) for row in table} >= {
        ("draws", "narrow_region_train"),
        ("one", "static_narrow_above"),
    }
    wrong = [*map(str, arguments), "--input", f"one:phase_narow={paths['one:phase_narrow']}"]
    result = CliRunner().invoke(cli.commands, wrong)
    assert "no claim uses a role 'phase_narow'" in str(result.exception)
    result = CliRunner().invoke(cli.commands, [*map(str, arguments), "--input", "one=x.nc"])
    assert "write it as PROTOCOL:ROLE=FILE" in str(result.exception)


def test_networks_that_differ_in_parts_are_told_apart():
    changed = phase(never_learns)
    settings = json.loads(changed.attrs["settings"])
    settings["model"] = MLPSettings(bias_scale=0.5, parametrisation="neural_tangent").model_dump()
    settings["loss"]["rest_steps"] = 1
    found = protocols.evaluate(
        {"a": {"phase_narrow": [changed.assign_attrs(settings=json.dumps(settings))]}}, SETTINGS
    )
    assert found[0].row.initialisation == "lecun, biases of scale 0.5, neural_tangent parametrisation"
    assert found[0].row.cycle == "T + 1 steps"


def row_of(verdict, initialisation, reading, grid=""):
    (row,) = claims.evaluate({"phase_narrow": [phase(never_learns)]}, SETTINGS, given_only=True)[:1]
    changes = {"initialisation": initialisation, "reading": reading, "grid": grid, "verdict": verdict}
    return "name", dataclasses.replace(row, **changes)


YES, NO, UNKNOWN = Verdict.REPRODUCED, Verdict.CONTRADICTED, Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [(YES, "lecun", "A"), (NO, "lecun", "B"), (NO, "he", "A"), (YES, "he", "B")],
            "reading: reproduced or contradicted with A (by its other choices), contradicted or reproduced",
        ),
        (
            [(YES, "lecun", "A"), (NO, "lecun", "B"), (NO, "he", "A"), (NO, "he", "B")],
            "reproduced or contradicted with lecun (by its other choices), contradicted with he",
        ),
        ([(YES, "lecun", "A")], "reproduced under the only protocol that tests it"),
        ([(YES, "lecun", "A"), (UNKNOWN, "he", "A")], "reproduced under 1 of 2 protocols, and no verdict"),
        ([(UNKNOWN, "lecun", "A"), (UNKNOWN, "he", "A")], "undecided under every protocol"),
        ([(NO, "lecun", "A"), (NO, "he", "B")], "not on initialisation or reading: contradicted under every"),
        ([(NO, "lecun", "A"), (NO, "lecun", "A")], "on no choice that was tried: contradicted under every"),
        ([(YES, "lecun", "A", "T = 20"), (NO, "he", "A", "T = 5")], "several choices together"),
        (
            [(YES, "lecun", "A", "T = 20"), (NO, "lecun", "A", "T = 5")],
            "grid: reproduced with T = 20, contra",
        ),
    ],
)
def test_the_sentence_is_true_of_every_row(rows, sentence):
    assert sentence in protocols.hangs_on([row_of(*row) for row in rows])


def test_a_choice_that_begins_like_another_is_not_lost():
    for name, values in (("width", (100, 1000)), ("width", (20, 200))):
        items = [phase(never_learns, **{name: value}) for value in values]
        assert choices.choices_of(*items)["network"] == " and ".join(f"width {value}" for value in values)
