"""Pages without a browser: the numbers of their cells, escaped text, size and addresses."""

import dataclasses
import json
import re

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from dynamical_loss.analysis.crossed import components
from dynamical_loss.errors import UserError
from dynamical_loss.explorer import facts, index, packed, phase, run
from dynamical_loss.pages import page
from explorer_results import diagram, thresholds, written
from explorer_results import run as run_files
from html_pages import HOSTILE, text_of


def test_numbers_of_cells_are_those_of_scipy():
    random = np.random.default_rng(0)
    file = diagram(seeds=7)
    for name in phase.MEASURES:
        file[name] = file[name] + random.normal(0, 0.02, file[name].shape)
    table = phase._cells(file, 1)
    for name in phase.MEASURES:
        values = file[name].values.reshape(-1, 7)
        static = np.repeat(file[name].values[:, 0], 4, axis=0)
        np.testing.assert_allclose(table[f"{name}_mean"], values.mean(axis=1))
        np.testing.assert_allclose(table[f"{name}_spread"], values.std(axis=1, ddof=1))
        paired = stats.ttest_rel(values, static, axis=1).confidence_interval()
        dynamical = np.arange(12) % 4 > 0
        middle, width = table[f"{name}_difference"], table[f"{name}_difference_half_width"]
        np.testing.assert_allclose((middle + width)[dynamical], paired.high[dynamical])
        np.testing.assert_allclose((middle - width)[dynamical], paired.low[dynamical])
        np.testing.assert_array_equal(middle[~dynamical], 0)


def test_one_run_has_a_mean_and_no_interval():
    table = phase._cells(diagram(seeds=1), 1)
    assert np.isfinite(table["train_accuracy_mean"]).all()
    for name in ("half_width", "spread", "difference_half_width"):
        assert np.isnan(table[f"train_accuracy_{name}"]).all()


def test_runs_over_several_draws_have_intervals_for_new_draws_and_new_seeds():
    """The draws differ by 0.1 and the seeds by 0.01, so the interval is that of the three draws' means."""
    alone = diagram(seeds=4)
    draws = [alone.assign({name: alone[name] + 0.1 * k for name in phase.MEASURES}) for k in range(3)]
    settings = json.dumps({**json.loads(alone.attrs["settings"]), "noise_seeds": [5, 6, 7]})
    file = xr.concat(draws, xr.Variable("noise_seed", [5, 6, 7])).assign_attrs(settings=settings)
    flat, count = phase._by_run(file)
    assert count == 3
    np.testing.assert_allclose(flat["train_accuracy"][0, 0, :5] - flat["train_accuracy"][0, 0, 0], [
        0.0, 0.01, 0.02, 0.03, 0.1
    ])  # fmt: skip
    table = phase._cells(flat, count)
    assert table["train_accuracy_n"][0] == 12
    crossed = components(file["train_accuracy"].values[:, 0, 1]).mean
    np.testing.assert_allclose(table["train_accuracy_mean"][1], crossed.value)
    assert table["train_accuracy_half_width"][1] == pytest.approx(crossed.interval[1] - crossed.value)
    assert table["train_accuracy_half_width"][1] == pytest.approx(
        stats.t.ppf(0.975, 2) * 0.1 / 3**0.5, rel=0.1
    )
    made = phase.render({"phase": [file]}, "redrawn", {})
    assert "12 runs: 4 initial seeds on each of 3 draws of the data" in made.lead[0]
    assert made.arguments["n"] == 12


def test_without_the_static_loss_there_is_no_difference():
    table = phase._cells(diagram().isel(amplitude=slice(1, None)), 1)
    assert np.isnan(table["train_accuracy_difference"]).all()


def test_diverged_runs_are_counted_and_named():
    file = diagram(diverged=3)
    np.testing.assert_array_equal(phase._cells(file, 1)["diverged"], 3)
    assert any("30 of 40 runs diverged" in words for words in phase.render({"phase": [file]}, "p", {}).lead)


def test_a_cell_names_the_blocks_that_hold_its_runs():
    file = diagram(seeds=4)
    trained = json.loads(file.attrs["settings"])
    study = {**trained, "periods": [50, 200], "amplitudes": [1.0, 5.0], "seeds": 4, "seeds_per_block": 2}
    targets = phase._targets(file, study, "mine", "results/here")
    folder = "results/here/phase/mine/"
    static = [f"{folder}static_seeds{seeds}.nc" for seeds in ("0-1", "2-3")]
    # The order is that of the cells: the amplitude runs fastest.  T = 2000, A = 20 and 70 are not configured.
    assert targets[:2] == [static, [f"{folder}T50_A5_seeds0-1.nc", f"{folder}T50_A5_seeds2-3.nc"]]
    assert targets[2:4] == [[], []]
    assert targets[5] == [f"{folder}T200_A5_seeds0-1.nc", f"{folder}T200_A5_seeds2-3.nc"]
    # The same cells, trained with another learning rate, are other runs than those shown.
    other = phase._targets(file, {**study, "learning_rate": 0.5}, "mine", "results/here")
    assert other == [[]] * 12


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("phase", lambda: {"phase": [diagram().assign_attrs(dataset_description=HOSTILE)]}),
        ("run", lambda: {"trajectory": [run_files(steps=300)["trajectory"][0].assign_attrs(device=HOSTILE)]}),
        ("threshold", lambda: {"threshold": [thresholds().assign_attrs(device=HOSTILE)]}),
    ],
)
def test_markup_in_a_result_is_shown_as_text(kind, files, tmp_path):
    path = written(kind, files(), tmp_path / f"{kind}.html")
    assert HOSTILE in text_of(path)
    assert "<script>alert" not in path.read_text(encoding="utf-8")


def test_every_plot_is_described_from_its_data(tmp_path):
    path = written("run", run_files(steps=300), tmp_path / "run.html")
    labels = re.findall(r'role="img" aria-label="([^"]+)"', path.read_text(encoding="utf-8"))
    assert len(labels) == 6
    assert any("between 0.7698 and 1, the last value is 0.7698" in label for label in labels)


def test_the_longest_run_fits_into_a_page(tmp_path):
    """The longest run of the threshold studies has 280 000 steps, and images have ten classes."""
    path = written(
        "run", {"trajectory": run_files(steps=280_001, classes=10)["trajectory"]}, tmp_path / "r.html"
    )
    assert path.stat().st_size < page.LARGEST


def test_a_page_that_is_too_large_is_refused():
    long = page.Page(title="long", lead=["x" * (page.LARGEST + 1)], sections=[])
    with pytest.raises(UserError, match="the page 'long' would have"):
        page.html(long)


def test_cascades_join_the_instabilities_of_one_period():
    events = run.events_of(run_files(steps=300)["instabilities"][0])
    assert sorted(run._cascades(events)) == [[20_000, 20_200], [40_000, 40_200]]
    same = [dataclasses.replace(event, period_index=3) for event in events]
    assert run._cascades(same) == [[20_000, 40_200]]


def test_the_list_names_made_and_missing_pages(tmp_path):
    made = index.render("results", {"phase/one": "A diagram."}, {"run/two": "snakemake run/two.html"})
    path = tmp_path / "index.html"
    path.write_text(page.html(made), encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert '<a href="phase/one.html">one</a>' in text
    assert "snakemake run/two.html" in text
    assert 'href="run/two.html"' not in text


def test_increments_are_differences_over_the_same_distance():
    """Records every 35 steps, and one snapshot between: 0, 35, 50, 70, 105, …"""
    file = run_files(steps=351)["trajectory"][0]
    steps = sorted([*range(0, 351, 35), 50])
    drawing = run._Drawing(np.array(steps), file.sel(step=steps), None, [], [])
    found = np.asarray(drawing._steps.data["weighted_loss_increment"])
    loss = file["weighted_loss"].values
    for step, value in zip(steps, found, strict=True):
        if step in (0, 50, 70):
            assert np.isnan(value)
        else:
            assert value == pytest.approx(loss[step] - loss[step - 35], rel=1e-5)


@pytest.mark.parametrize(("every", "lines"), [(1, (0, 1)), (25, (0, 1)), (2, (None,)), (500, (None,))])
def test_even_and_odd_steps_are_apart_only_if_records_see_both(every, lines):
    assert run.parities(np.arange(0, 5000, every)) == lines


def test_a_changing_learning_rate_has_a_changing_bound(tmp_path):
    files = run_files(steps=401)
    rates = np.linspace(0, 2, 401)
    trajectory = files["trajectory"][0].assign(learning_rate=("step", rates))
    made = run.render({**files, "trajectory": [trajectory]}, "run", {})
    (plot,) = [plot for plot in made.sections[0].plots if plot.name == "hessian"]
    assert "2/η(t): between 1 and 400" in plot.description


def test_numbers_in_sixteen_bits_come_back_and_unknown_ones_stay_unknown():
    values = np.array([0, 0.3, 1, np.nan, 2])
    whole = packed.sixteen_bits(values)
    assert whole.tolist()[3] == packed.UNKNOWN
    np.testing.assert_allclose(whole[[0, 1, 2, 4]] / packed.UNIT, [0, 0.3, 1, 1], atol=1e-5)


def test_the_words_name_what_changes_the_learning_rate():
    settings = {
        "learning_rate": 0.02, "model": {"kind": "myrtle5", "channels": 16}, "batch_size": 50,
        "optimiser": {"kind": "sgd", "arguments": {"momentum": 0.9}}, "learning_rate_schedule": [[0, 0.0]],
    }  # fmt: skip
    words = facts.described(settings, {"dataset_description": "digits"})
    assert "η = 0.02 times a schedule" in words
    assert "batches of 50" in words and "momentum=0.9" in words and words.endswith("digits")
    rule = facts.described({"learning_rate": 0.5, "learning_rate_rule": {"kind": "dal", "cap": 4}}, {})
    assert "learning rate by the rule dal, at most 2;" in rule
