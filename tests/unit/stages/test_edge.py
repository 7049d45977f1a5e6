"""Runs probed at consecutive steps: stored values agree with the runs, and figures show them."""

import json

import numpy as np
import pytest
import xarray as xr

from dynamical_loss.analysis import edge, small_steps
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figF5_stability, figF9_classes_at_the_edge, figF11_small_steps, style
from dynamical_loss.results import netcdf
from figure_parts import drawn, panel, points, require_free_legend, require_legible_texts
from stage_commands import command, probed_pair

WINDOW = range(50, 61)
RUN = {
    "model": {"width": 6},
    "period": 40,
    "amplitude": 20,
    "steps": 200,
    "learning_rate": 1.5,
    "snapshots": {"every": 201, "windows": [{"start": WINDOW[0], "stop": WINDOW[-1], "every": 1}]},
}
AGAIN = {"start": 50, "steps": 33, "divide": 4, "order": 45}
PROBES = {"hessian": {"modes": 3, "order": 45}, "alignment": True, "small_steps": AGAIN}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return probed_pair(tmp_path_factory.mktemp("edge"), RUN, PROBES)


@pytest.mark.parametrize("study", ["static0", "dynamical0"])
def test_a_step_does_what_the_training_engine_recorded(folder, study):
    run, spectrum = netcdf.read(folder / f"{study}.nc"), netcdf.read(folder / f"{study}_spectrum.nc")
    near = edge.stretch(spectrum)
    assert near["snapshot_step"].values.tolist() == list(WINDOW)
    # The static loss is the sum of the contributions of the classes.
    changes = near["class_change"].sel(step_kind="own").sum("class_index").values
    losses = run["loss"].values
    np.testing.assert_allclose(changes, [losses[t + 1] - losses[t] for t in WINDOW], atol=1e-13)
    np.testing.assert_allclose(near["class_sharpness"].sum("class_index"), near["hessian_eigenvalue"][:, 0])
    weights = run["class_weight"].values[list(WINDOW)]
    np.testing.assert_array_equal(near["class_weight"], weights)
    np.testing.assert_allclose(
        near["step_change"], (near["class_change"] * near["class_weight"]).sum("class_index"), atol=1e-14
    )
    np.testing.assert_allclose(
        near["loss_along_top"].sel(place=0.0), run["weighted_loss"].values[list(WINDOW)]
    )
    assert float(near["learning_rate"].min()) == 1.5
    assert (near["gradient_share"].sum("mode") <= 1 + 1e-12).all()
    assert ((near["effective_units"] >= 1) & (near["effective_units"] <= 6)).all()
    assert np.isnan(spectrum["eigenvector_overlap"].values[0])
    assert ((near["eigenvector_overlap"] >= 0) & (near["eigenvector_overlap"] <= 1 + 1e-12)).all()


def test_gathered_runs_hold_the_measures_of_each(folder):
    found = netcdf.read(folder / "dynamical.nc")
    for seed in range(2):
        spectrum = netcdf.read(folder / f"dynamical{seed}_spectrum.nc").sel(snapshot_step=list(WINDOW))
        change = spectrum["step_change"].sel(step_kind="own").values
        multiple = 1.5 * spectrum["hessian_eigenvalue"].values[:, 0]
        one = found.sel(seed=seed)
        assert float(one["rise_share"]) == pytest.approx(np.mean(change > 0))
        agreement = one["rise_agreement"].sel(predictor="sharpness")
        assert float(agreement) == pytest.approx(np.mean((multiple > 2) == (change > 0)))
        assert float(one["top_gradient_share"]) == pytest.approx(
            float(spectrum["gradient_share"].isel(mode=0).mean())
        )
        # The overlap at the first snapshot of the window is with a much earlier snapshot, so it is left out.
        assert float(one["top_overlap"]) == pytest.approx(float(spectrum["eigenvector_overlap"][1:].mean()))
    static = netcdf.read(folder / "static.nc")
    assert static["emphasised_share"].isnull().all()
    assert found["emphasised_share"].notnull().all()


@pytest.mark.parametrize("study", ["static0", "dynamical0"])
def test_own_steps_done_again_are_those_of_the_run(folder, study):
    run, spectrum = netcdf.read(folder / f"{study}.nc"), netcdf.read(folder / f"{study}_spectrum.nc")
    places = spectrum["again_step"].values
    assert places.tolist() == [50, 61, 72, 83]
    np.testing.assert_array_equal(spectrum["again_class_weight"], run["class_weight"].sel(step=places))
    own, small = (spectrum["again_class_loss"].sel(descent=name) for name in ("own", "small"))
    recorded = run["loss"].sel(step=places).values
    np.testing.assert_allclose(own.sum("class_index"), recorded, rtol=1e-9)
    np.testing.assert_array_equal(own[0], small[0])
    assert (np.abs(own[1:] - small[1:]) > 1e-6).all()
    start = spectrum.sel(snapshot_step=50)["hessian_eigenvalue"].values[0]
    np.testing.assert_allclose(spectrum["again_sharpness"].sel(again_step=50), start, rtol=1e-9)
    same = np.allclose(spectrum["again_sharpness"], spectrum["again_static_sharpness"], rtol=1e-9)
    assert same == (study == "static0")


def test_gathered_runs_hold_what_was_done_again(folder):
    found = netcdf.read(folder / "dynamical.nc")
    for seed in range(2):
        spectrum = netcdf.read(folder / f"dynamical{seed}_spectrum.nc")
        one = found.sel(seed=seed)
        for name in small_steps.ALONG:
            np.testing.assert_array_equal(one[name], spectrum[name].astype(np.float32))
    losses = small_steps.by_class(found)
    # Each class has a third of the samples and contributes to the mean over all samples.
    whole = found["again_class_loss"].sum("class_index")
    np.testing.assert_allclose((losses["emphasised"] + 2 * losses["others"]) / 3, whole, rtol=1e-6)
    chosen = int(found["again_class_weight"].values.mean(axis=0).argmax())
    emphasised = 3 * found["again_class_loss"].isel(class_index=chosen)
    np.testing.assert_allclose(losses["emphasised"], emphasised, rtol=1e-6)
    # The stretch is shorter than the interval of the mean, so the mean is over the whole stretch.
    late = found.sel(descent="own")["again_static_sharpness"].values
    expected = np.exp(np.log(late).mean(axis=1))
    ended = small_steps.at_the_end(found)["static_sharpness"].sel(descent="own")
    np.testing.assert_allclose(ended, expected, rtol=1e-5)
    found = small_steps.differences(found)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(found, (2,))


def test_losses_are_those_of_a_class_s_samples_however_many():
    """A class with a fifth of the samples that contributes 0.2 to the mean has a mean loss of 1."""
    part, share, weight = [0.2, 0.6, 0.1], [0.2, 0.5, 0.3], [3.0, 0.0, 0.0]
    along = ("seed", "descent", "again_step", "class_index")
    runs = xr.Dataset(
        {
            "again_class_loss": (
                along,
                np.tile(part, (1, 2, 3, 1)),
            ),
            "again_class_share": ("class_index", share),
            "again_class_weight": (("again_step", "class_index"), np.tile(weight, (3, 1))),
        },
        coords={"descent": ["own", "small"], "again_step": [0, 11, 22]},
    )
    found = small_steps.by_class(runs)
    np.testing.assert_allclose(found["emphasised"], 1.0)
    np.testing.assert_allclose(found["others"], 0.7 / 0.8)


def test_the_figure_of_small_steps_shows_what_is_stored(folder):
    runs = netcdf.read(folder / "dynamical.nc")
    # A seed that diverged does not hide the lines of the other seeds.
    lost = runs.isel(seed=slice(1)).assign_coords(seed=[2])
    lost = lost.assign({name: np.nan * lost[name] for name in small_steps.ALONG})
    runs = xr.concat([runs, lost], "seed", data_vars="minimal", coords="minimal").assign_attrs(runs.attrs)
    with style.style():
        figure = drawn(figF11_small_steps.render({"runs": [runs]}, {}))
    assert [note.get_text() for note in panel(figure, "a").texts] == ["3 seeds"]
    require_legible_texts(figure)
    losses = small_steps.by_class(runs)
    for letter, values in (
        ("a", runs["again_sharpness"]),
        ("b", runs["again_static_sharpness"]),
        ("c", losses["emphasised"]),
        ("d", losses["others"]),
    ):
        lines = [line for line in panel(figure, letter).lines if len(line.get_xdata()) == 3]
        for place, name in enumerate(("own", "small")):
            each = values.sel(descent=name).values
            pairs = (each[:, 1:] + each[:, :-1]) / 2
            drawn_here = lines[4 * place : 4 * place + 4]
            for line, wanted in zip(drawn_here, (*pairs, np.nanmedian(pairs, axis=0)), strict=True):
                np.testing.assert_allclose(line.get_ydata(), wanted, rtol=1e-6)
                assert line.get_xdata().tolist() == [55.5, 66.5, 77.5]


@pytest.mark.parametrize(
    ("changed", "run", "words"),
    [
        ({"start": 51, "steps": 11}, {}, None),
        ({"start": 62, "steps": 11}, {}, "small_steps.start: there is no snapshot at step 62; add one"),
        (
            {"start": 50, "steps": 165},
            {},
            "165 steps from 50 on lead beyond the run of 200 steps; start earlier",
        ),
        ({"start": 50, "steps": 12}, {}, "12 is not a multiple of every, 11; take 22"),
        ({"start": 50, "steps": 12, "every": 2}, {}, "2 is even and sees only one branch of an alternation"),
        ({}, {"optimiser": {"arguments": {"momentum": 0.5}}}, "needs gradient descent on all samples"),
        ({}, {"record_every": 3}, "this probe needs Γ at every step; set record_every to 1"),
    ],
)
def test_what_cannot_be_done_again_is_refused(folder, tmp_path, changed, run, words):
    made = folder / "static0.nc"
    if run:
        made = tmp_path / "run.nc"
        command(
            "train-trajectory", "--dataset", folder / "data.nc", "--seed", 0,
            "--settings", json.dumps({**RUN, **run}), "--output", made,
        )  # fmt: skip
    probes = json.dumps({"hessian": {"modes": 1, "order": 5}, "small_steps": {**AGAIN, **changed}})
    arguments = (
        "probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", made, "--settings", probes,
        "--output", tmp_path / "s.nc",
    )  # fmt: skip
    if words is None:
        command(*arguments)
    else:
        with pytest.raises(UserError, match=words):
            command(*arguments)


def test_the_figures_show_what_is_stored(folder):
    inputs = {
        "spectrum": [netcdf.read(folder / f"{study}0_spectrum.nc") for study in ("dynamical", "static")]
    }
    static, dynamical = (edge.stretch(item) for item in reversed(inputs["spectrum"]))
    with style.style():
        figure = drawn(figF5_stability.render(inputs, {}))
        require_legible_texts(figure)
        for letters, run in (("abcd", static), ("efgh", dynamical)):
            eigenvalues, shares, rates, changes = (panel(figure, letter) for letter in letters)
            assert points(eigenvalues, "even t", "odd t") == exactly(1.5 * run["hessian_eigenvalue"][:, 0])
            assert points(shares, "first") == exactly(run["gradient_share"][:, 0])
            assert points(rates, "even t", "odd t") == exactly(1.5 * run["principal_rate"][:, 0])
            own = run["step_change"].sel(step_kind="own")
            assert points(changes, "even t", "odd t") == exactly(own)
            wrong = edge.foretold(run, "sharpness") != edge.rises(run)
            marked = next(line for line in changes.lines if "wrong" in str(line.get_label()))
            assert marked.get_xdata().tolist() == run["snapshot_step"].values[wrong].tolist()
        figure = drawn(figF9_classes_at_the_edge.render(inputs, {}))
        require_legible_texts(figure)
        for letter in "fl":
            require_free_legend(panel(figure, letter))
        for letter, run in (("e", static), ("k", dynamical)):
            heights = [bar.get_height() for bar in panel(figure, letter).patches]
            means = run["class_change"].mean("snapshot_step").values
            np.testing.assert_allclose(heights, means.ravel())


def test_a_run_that_diverged_is_drawn_empty(folder):
    """The parameters are not finite, and so no measured quantity is finite."""
    runs = []
    for study in ("static", "dynamical"):
        run = netcdf.read(folder / f"{study}0_spectrum.nc")
        kept = ("class_weight", "learning_rate")
        runs.append(run.assign({name: np.nan * run[name] for name in run.data_vars if name not in kept}))
    with style.style():
        for figure in (figF5_stability, figF9_classes_at_the_edge):
            require_legible_texts(drawn(figure.render({"spectrum": runs}, {})))
    assert np.isnan(list(edge.measures(runs[0]).values())).all()
    variables = netcdf.Variables()
    edge.add_measures(variables, runs)
    assert variables.dataset()["rise_agreement"].isnull().all()


def exactly(values):
    return {int(step): pytest.approx(float(values.sel(snapshot_step=step))) for step in WINDOW}


def test_without_consecutive_snapshots_there_is_nothing_to_show(folder):
    spectrum = netcdf.read(folder / "static0_spectrum.nc").isel(snapshot_step=slice(None, None, 2))
    with pytest.raises(UserError, match="no snapshots at consecutive steps"):
        figF5_stability.render({"spectrum": [spectrum]}, {})


def test_the_gradient_s_place_needs_the_weighted_loss(folder, tmp_path):
    probes = json.dumps({"hessian": {"modes": 1, "order": 5, "losses": ["static"]}, "alignment": True})
    with pytest.raises(UserError, match=r"alignment: this probe needs the weighted loss; add weighted to"):
        command(
            "probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", folder / "static0.nc",
            "--settings", probes, "--output", tmp_path / "s.nc",
        )  # fmt: skip


def test_the_emphasised_class_is_weighed_against_the_others():
    """Γ = (2, 0.5, 0.5) and contributions 6, 1, 3: a share of 0.6, and 3 per unit of Γ compared with 4."""
    weights = [[2.0, 0.5, 0.5], [0.5, 0.5, 2.0], [1.0, 1.0, 1.0]]
    added = [[6.0, 1.0, 3.0], [1.0, 3.0, 6.0], [1.0, 2.0, 3.0]]
    dimensions = ("snapshot_step", "class_index")
    share, ratio = edge.emphasised(
        xr.Dataset({"class_weight": (dimensions, weights), "class_sharpness": (dimensions, added)})
    )
    np.testing.assert_allclose(share, [0.6, 0.6, np.nan])
    np.testing.assert_allclose(ratio, [np.log(3 / 4), np.log(3 / 4), np.nan])
