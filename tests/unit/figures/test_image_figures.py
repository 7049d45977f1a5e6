"""Fig. 1, S2, S3 and S4 show the numbers that studies of images store."""

import json

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from scipy import stats

import image_results
from dynamical_loss.errors import UserError
from dynamical_loss.figures import (
    fig1_phase_cifar10,
    figS2_cascade_cifar10,
    figS3_wide_resnet,
    figS4_learning_curves,
    header_words,
)
from dynamical_loss.stages import render_figure
from figure_parts import drawn, letters, panel, require_legible_texts

CELL = [100, 50.0]
STEPS_PER_EPOCH = 8  # 4 000 images in batches of 512


pytestmark = pytest.mark.usefixtures("look")


@pytest.fixture(name="study", scope="module")
def _study(tmp_path_factory):
    return image_results.phase(tmp_path_factory.mktemp("phase") / "study.nc")


@pytest.fixture(name="along", scope="module")
def _along(tmp_path_factory):
    trajectory, spectrum = image_results.run(tmp_path_factory.mktemp("run"))
    return {"trajectory": [trajectory], "spectrum": [spectrum]}


@pytest.fixture(name="networks", scope="module")
def _networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return [
        image_results.phase(
            folder / f"{name}.nc",
            model=image_results.wide_resnet(name),
            gain=gain,
            periods=(20, 100),
            seeds=4,
        )
        for name, gain in (("batch", 0.0), ("none", 0.05))
    ]


def line(axis, label):
    (found,) = (item for item in axis.lines if item.get_label() == label)
    return found


def header(figure):
    legend = figure.legends[0]
    return "\n".join([legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())])


def key(figure):
    return " ".join(text.get_text() for text in figure.legends[-1].get_texts())


def band(axis, gid):
    """Return x, and the lower and upper end of a filled band."""
    (found,) = (item for item in axis.collections if item.get_gid() == gid)
    corners = found.get_paths()[0].vertices
    places = np.unique(corners[:, 0])
    ends = [corners[corners[:, 0] == place, 1] for place in places]
    return places, [end.min() for end in ends], [end.max() for end in ends]


# What was trained ---------------------------------------------------------------------------------


def remarks_of(dataset, *, data=None, seeds=None, **settings):
    known = json.loads(dataset.attrs["settings"]) | settings
    if data is not None:
        dataset = dataset.assign_attrs(image_results.data(**data))
    if known["epochs"] is not None:
        images = dataset.attrs["train_samples"]
        known["steps"] = known["epochs"] * -(-images // (known["batch_size"] or images))
    if seeds is not None:
        dataset = dataset.isel(seed=np.arange(seeds) % dataset.sizes["seed"])
        known["seeds"] = seeds
    return header_words.remarks(dataset.assign_attrs(settings=json.dumps(known)))


def test_a_small_study_is_an_illustration(study):
    assert header_words.remarks(study).split("\n") == [
        "Illustration, not of the paper's size "
        "(Myrtle5 of 64 channels, all of CIFAR-10, 700 epochs, 30 seeds)",
        "Myrtle5, 16 channels; CIFAR-10 from JPEG copies (lossy, not checked), 4 000 + 1 000 images; "
        "30 epochs; n = 3 seeds",
    ]


ORIGINAL = {"copies": "exact", "train_samples": 50_000, "validation_samples": 10_000}
PAPERS = {"data": ORIGINAL, "model": image_results.myrtle5(64), "epochs": 700, "seeds": 30}


@pytest.mark.parametrize(
    "smaller",
    [
        {"data": {}},
        {"data": {**ORIGINAL, "copies": "lossy"}},
        {"data": {**ORIGINAL, "train_samples": 4_000}},
        {"data": {**ORIGINAL, "validation_samples": 1_000}},
        {"data": {**ORIGINAL, "dataset": "digits"}},
        {"data": {**ORIGINAL, "dataset": "Fashion-MNIST"}},
        {"model": image_results.myrtle5(32)},
        {"model": image_results.myrtle5(128)},
        {"epochs": 699},
        {"epochs": 1400},
    ],
)
def test_only_all_of_the_papers_sizes_together_are_no_illustration(study, smaller):
    whole = remarks_of(study, **PAPERS)
    assert whole == "Myrtle5, 64 channels; CIFAR-10, 50 000 + 10 000 images; 700 epochs; n = 30 seeds"
    found = remarks_of(study, **PAPERS | smaller)
    assert found.startswith(
        "Illustration, not of the paper's size (Myrtle5 of 64 channels, all of CIFAR-10, 7"
    )


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"batch_size": 256}, "batch_size is 256, in the paper 512"),
        ({"batch_size": None}, "batch_size is None, in the paper 512"),
        ({"learning_rate": 0.021}, "learning_rate is 0.021, in the paper 0.02"),
        (
            {"learning_rate_schedule": []},
            "learning_rate_schedule is [], in the paper [[0.0, 0.0], [0.4286, 1.0], ",
        ),
        (
            {"learning_rate_schedule": [[0, 0], [0.43, 1], [1, 0.1]]},
            "learning_rate_schedule is [[0, 0], [0.43, ",
        ),
        (
            {"learning_rate_schedule": [[0, 0], [3 / 7, 1], [1, 0.0]]},
            "learning_rate_schedule is [[0, 0], [0.42",
        ),
        ({"oscillation_stop": None}, "oscillation_stop is None, in the paper 0.8571"),
        ({"oscillation_stop": 0.855}, "oscillation_stop is 0.855, in the paper 0.8571"),
        (
            {"optimiser": {"kind": "adam", "arguments": {}}},
            "optimiser.kind is adam, in the paper sgd; optimiser.a",
        ),
        ({"evaluation_samples": 1000}, "accuracies of 1000 images, the test set has 10000"),
        ({"loss": {"kind": "mse", "waveform": "triangle"}}, "loss.kind is mse, in the paper cross_entropy"),
        (
            {"loss": {"kind": "cross_entropy", "waveform": "sine"}},
            "loss.waveform is sine, in the paper triangle",
        ),
    ],
)
@pytest.mark.parametrize("seeds", [8, 30])
def test_another_protocol_of_the_papers_size_is_an_illustration(study, other, difference, seeds):
    first, differences, _ = remarks_of(study, **PAPERS | other | {"seeds": seeds}).split("\n")
    assert first == "Illustration, not the paper's protocol"
    assert differences.startswith(difference)


def test_a_lower_precision_is_named(study):
    assert remarks_of(study, **PAPERS, arithmetic="bfloat16").endswith(
        "n = 30 seeds; convolutions in bfloat16"
    )


@pytest.mark.parametrize("seeds", [1, 8, 29])
def test_fewer_seeds_alone_are_no_illustration(study, seeds):
    first, line = remarks_of(study, **PAPERS | {"seeds": seeds}).split("\n")
    assert first == f"The paper's protocol with n = {seeds} of its 30 seeds"
    assert line.startswith("Myrtle5, 64 channels; CIFAR-10, 50 000 + 10 000 images; 700 epochs; n = ")


def test_more_seeds_are_the_papers(study):
    assert remarks_of(study, **PAPERS | {"seeds": 31}) == (
        "Myrtle5, 64 channels; CIFAR-10, 50 000 + 10 000 images; 700 epochs; n = 31 seeds"
    )


@pytest.mark.parametrize(
    ("attribute", "first"),
    [
        ("dataset", "Illustration, not of the paper's size"),
        ("dataset_copies", "Illustration, not of the paper's size"),
        ("train_samples", "Illustration, not of the paper's size"),
        ("dataset_description", "Myrtle5, 64 channels; 700 epochs"),
        ("steps_per_epoch", "Myrtle5, 64 channels; CIFAR-10, 50 000 + 10 000 images; 700 epochs"),
    ],
)
def test_the_papers_data_are_told_by_recorded_facts_and_no_sentence(study, attribute, first):
    """Descriptions in words have no influence; only recorded facts decide."""
    known = json.loads(study.attrs["settings"])
    known |= {"model": image_results.myrtle5(64), "epochs": 700, "steps": 700 * 98, "seeds": 30}
    whole = study.isel(seed=np.zeros(30, int)).assign_attrs(
        settings=json.dumps(known), **image_results.data(**ORIGINAL)
    )
    del whole.attrs[attribute]
    assert header_words.remarks(whole).startswith(first)


def test_a_wide_resnet_of_the_supplements_length_is_no_illustration(study):
    sizes = {"data": ORIGINAL, "model": image_results.wide_resnet()}
    smaller = remarks_of(study, **sizes, epochs=200, batch_size=512)
    assert smaller.startswith(
        "Illustration, not the paper's protocol\nbatch_size is 512, in the paper 1024\n"
    )
    sizes["batch_size"] = 1024
    assert remarks_of(study, **sizes, epochs=200).startswith("Wide ResNet 10-2 with batch norm; CIFAR-10")
    assert remarks_of(study, **sizes, epochs=199).startswith("Illustration")


def test_a_run_of_the_papers_size_needs_no_seeds(along):
    whole = {name: value for name, value in PAPERS.items() if name != "seeds"}
    assert remarks_of(along["trajectory"][0], **whole).endswith("700 epochs; one run")


def test_a_perceptron_is_an_illustration_and_older_files_have_no_description(study):
    model = {"kind": "mlp", "width": 100, "depth": 1}
    settings = json.loads(study.attrs["settings"]) | {"epochs": None, "steps": 500, "model": model}
    old = study.drop_attrs(deep=False).assign_attrs(settings=json.dumps(settings))
    assert header_words.remarks(old).split("\n") == [
        "Illustration, not of the paper's size "
        "(Myrtle5 of 64 channels, all of CIFAR-10, 700 epochs, 30 seeds)",
        "perceptron, 100 hidden units; 500 steps; n = 3 seeds",
    ]


# Fig. 1 -------------------------------------------------------------------------------------------


def test_fig1_cells_are_the_means_over_seeds(study):
    figure = drawn(fig1_phase_cifar10.render({"phase": [study]}, {}))
    assert letters(figure) == "ab"
    assert header(figure) == header_words.remarks(study)
    for letter, variable in (("a", "train_accuracy"), ("b", "validation_accuracy")):
        axis = panel(figure, letter)
        cells, static = (item for item in axis.collections if isinstance(item, QuadMesh))
        means = study[variable].mean("seed")
        expected = means.sel(amplitude=[10.0, 50.0]).transpose("amplitude", "period")
        np.testing.assert_allclose(cells.get_array().reshape(2, 3), expected)
        np.testing.assert_allclose(static.get_array().ravel(), means.sel(amplitude=1.0)[0])
        assert axis.get_xlabel() == "period $T$ (steps; an epoch is 8)"


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 1},
        {"periods": range(10, 130, 10), "amplitudes": range(1, 13), "seeds": 2, "curves": False},
        {"periods": (20,), "amplitudes": (1.0, 50.0), "diverging": [(0, 1, 0), (0, 0, 1)]},
    ],
)
def test_fig1_of_other_grids(tmp_path, changes):
    study = image_results.phase(tmp_path / "study.nc", **changes)
    figure = drawn(fig1_phase_cifar10.render({"phase": [study]}, {}))
    warned = "diverging" in changes
    assert [panel(figure, letter).get_title().endswith("2 of 6 runs diverged") for letter in "ab"] == [
        warned
    ] * 2


# Fig. S4 ------------------------------------------------------------------------------------------


def test_figs4_curves_are_the_means_over_seeds_against_epochs(study):
    figure = drawn(figS4_learning_curves.render({"phase": [study]}, {"cell": CELL}))
    assert letters(figure) == "abcd"
    assert header(figure) == header_words.remarks(study)
    for above, below, kind in (("a", "c", "train"), ("b", "d", "validation")):
        curves = study[f"{kind}_accuracy_curve"].transpose("seed", "step", ...)
        static = curves.sel(amplitude=1.0).isel(period=0).values
        cell = curves.sel(period=100, amplitude=50.0).values
        for letter, label, values in (
            (above, "static, $A=1$", static),
            (above, "dynamical, $T=100$, $A=50$", cell),
            (below, "dynamical − static", cell - static),
        ):
            axis = panel(figure, letter)
            mean = line(axis, label)
            np.testing.assert_allclose(mean.get_xdata(), study["step"] / STEPS_PER_EPOCH)
            np.testing.assert_allclose(mean.get_ydata(), values.mean(axis=0))
            for seed, run in enumerate(values):
                np.testing.assert_allclose(line(axis, f"_{label}, seed {seed}").get_ydata(), run)
            _, low, high = band(axis, f"{label}, interval")
            expected = stats.ttest_1samp(values[:, 1:], 0.0).confidence_interval(0.95)
            np.testing.assert_allclose(low[1:], expected.low)
            np.testing.assert_allclose(high[1:], expected.high)


def test_figs4_shows_the_schedule_and_the_end_of_the_oscillation(study):
    figure = drawn(figS4_learning_curves.render({"phase": [study]}, {"cell": CELL}))
    strips = [axis for axis in figure.axes if not axis.get_title(loc="left")]
    for strip in strips:
        rate = line(strip, "learning rate")
        np.testing.assert_allclose(rate.get_xdata(), [0.0, 0.4286 * 30, 30.0])
        np.testing.assert_allclose(rate.get_ydata(), [0.0, 0.02, 0.002])
    for axis in figure.axes:
        (off,) = (patch for patch in axis.patches if patch.get_gid() == "off")
        assert (off.get_x(), off.get_x() + off.get_width()) == pytest.approx((0.857 * 30, 30.0))
        assert axis.get_xlim() == (0, 30)


@pytest.mark.parametrize("seeds", [1, 2, 12])
def test_figs4_has_a_band_from_three_seeds_on_and_single_seeds_where_they_are_few(tmp_path, seeds):
    study = image_results.phase(tmp_path / "study.nc", seeds=seeds, periods=(100,))
    figure = drawn(figS4_learning_curves.render({"phase": [study]}, {"cell": CELL}))
    axis = panel(figure, "d")
    assert bool(axis.collections) == ("interval" in key(figure)) == (seeds >= 3)
    assert sum("seed" in str(item.get_label()) for item in axis.lines) == {1: 0, 2: 2, 12: 0}[seeds]


def test_figs4_says_which_runs_diverged_and_leaves_them_out_where_they_have_no_number(tmp_path):
    study = image_results.phase(tmp_path / "study.nc", diverging=[(1, 2, 0)])
    figure = drawn(figS4_learning_curves.render({"phase": [study]}, {"cell": CELL}))
    assert "$A=50$ (1 of 3 diverged)" in key(figure)
    assert "$A=1$ (" not in key(figure)
    runs = study["validation_accuracy_curve"].sel(period=100, amplitude=50.0).transpose("seed", "step").values
    mean = line(panel(figure, "b"), "dynamical, $T=100$, $A=50$ (1 of 3 diverged)").get_ydata()
    np.testing.assert_allclose(mean[-1], runs[1:, -1].mean())
    np.testing.assert_allclose(mean[3], runs[:, 3].mean())


def test_figs4_of_two_records_without_epochs_or_schedule(tmp_path):
    study = image_results.phase(tmp_path / "study.nc", epochs=2, records=2, periods=(2,), seeds=2)
    del study.attrs["steps_per_epoch"], study.attrs["dataset_description"]
    settings = json.loads(study.attrs["settings"]) | {"learning_rate_schedule": [], "oscillation_stop": None}
    study.attrs["settings"] = json.dumps(settings)
    figure = drawn(figS4_learning_curves.render({"phase": [study]}, {}))
    np.testing.assert_array_equal(line(panel(figure, "c"), "dynamical − static").get_xdata(), [0, 16])
    strip = figure.axes[-1]
    assert strip.get_xlabel() == "Minimisation step t"
    np.testing.assert_allclose(line(strip, "learning rate").get_ydata(), 0.02)
    assert "oscillation off" not in key(figure)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ([30, 50.0], "no cell T = 30, A = 50; name another"),
        ([100, 51.0], "no cell T = 100, A = 51; name another"),
        ([100], r"cell: \[100\] is not a period and an amplitude; give \[T, A\]"),
        (3, "cell: 3 is not a period"),
        ([100.5, 50.0], r"--option cell: \[100\.5, 50\.0\] is not a period"),
        ([float("nan"), 50.0], r"--option cell: \[nan, 50\.0\] is not a period"),
        ([100, 1], "--option cell: A = 1 is the static loss itself; name an A above 1"),
    ],
)
def test_figs4_refuses_a_cell_that_the_study_has_not(study, cell, message):
    with pytest.raises(UserError, match=message):
        figS4_learning_curves.render({"phase": [study]}, {"cell": cell})


def test_figs4_needs_static_runs(study):
    with pytest.raises(UserError, match="add 1 to the study's amplitudes"):
        figS4_learning_curves.render({"phase": [study.isel(amplitude=[1, 2])]}, {"cell": CELL})


# Fig. S3 ------------------------------------------------------------------------------------------


def test_figs3_curves_and_gains_are_those_stored(networks):
    figure = drawn(figS3_wide_resnet.render({"phase": networks}, {}))
    assert letters(figure) == "abc"
    gains = panel(figure, "c")
    for group, (letter, network) in enumerate(zip("ab", networks, strict=True)):
        curves = network["validation_accuracy_curve"].transpose("seed", "step", ...)
        final = network["validation_accuracy"]
        static = final.sel(amplitude=1.0).isel(period=0).values
        mean = line(panel(figure, letter), "static, $A=1$").get_ydata()
        np.testing.assert_allclose(mean, curves.sel(amplitude=1.0).isel(period=0).values.mean(axis=0))
        for rank, (period, amplitude) in enumerate([(20, 10.0), (20, 50.0), (100, 10.0), (100, 50.0)]):
            chosen = {"period": period, "amplitude": amplitude}
            mean = line(panel(figure, letter), f"$T={period}$, $A={amplitude:g}$").get_ydata()
            np.testing.assert_allclose(mean, curves.sel(chosen).values.mean(axis=0))
            bar = gains.containers[4 * group + rank]
            assert bar.get_label() == f"_T={period}, A={amplitude:g}"
            centre, _, (reach,) = bar
            cell = final.sel(chosen).values
            assert group - 0.4 < centre.get_xdata()[0] < group + 0.4
            assert float(centre.get_ydata()[0]) == pytest.approx((cell - static).mean())
            expected = stats.ttest_rel(cell, static).confidence_interval(0.95)
            np.testing.assert_allclose(reach.get_segments()[0][:, 1], [expected.low, expected.high])
    dots = [item for item in gains.lines if item.get_label() == "_one seed each"]
    assert [dot.get_ydata().size for dot in dots] == [4] * 8
    assert "Wide ResNet 10-2 with batch norm and Wide ResNet 10-2 without batch norm" in header(figure)


def test_figs3_of_one_seed_has_no_intervals(networks):
    figure = drawn(figS3_wide_resnet.render({"phase": [item.isel(seed=[0]) for item in networks]}, {}))
    assert all(not bars for _, _, bars in panel(figure, "c").containers)
    assert "interval" not in key(figure)


def test_figs3_of_one_network_with_many_cells_and_two_records(tmp_path):
    study = image_results.phase(
        tmp_path / "study.nc",
        model=image_results.wide_resnet(),
        periods=range(2, 10),
        records=2,
        diverging=[(0, 1, 0), (0, 0, 0)],
    )
    figure = drawn(figS3_wide_resnet.render({"phase": [study]}, {}))
    assert len(panel(figure, "b").containers) == 16
    assert panel(figure, "a").get_title().endswith("(2 of 51 diverged)")  # the static ones count once
    assert key(figure).count("a cell each") == 1


# Fig. S2 ------------------------------------------------------------------------------------------


def test_figs2_draws_what_is_stored(along):
    figure = drawn(figS2_cascade_cifar10.render(along, {}))
    assert letters(figure) == "abcde"
    trajectory, spectrum = along["trajectory"][0], along["spectrum"][0]
    for index in range(image_results.CLASSES):
        drawn_weight = line(panel(figure, "a"), f"_class {index + 1}").get_ydata()
        np.testing.assert_allclose(drawn_weight, trajectory["class_weight"][:, index])
    np.testing.assert_allclose(panel(figure, "b").lines[0].get_ydata(), trajectory["weighted_loss"])
    np.testing.assert_allclose(panel(figure, "c").lines[0].get_ydata(), np.diff(trajectory["weighted_loss"]))
    np.testing.assert_allclose(
        line(panel(figure, "d"), "validation").get_ydata(), trajectory["validation_accuracy"]
    )
    for rank in range(5):
        mode = line(panel(figure, "e"), f"_mode {rank + 1}")
        np.testing.assert_allclose(mode.get_ydata(), spectrum["hessian_eigenvalue"][:, rank])
    assert panel(figure, "b").get_yscale() == panel(figure, "e").get_yscale() == "log"
    assert panel(figure, "c").get_ylabel() == "F(t) − F(t − 1)"


def test_figs2_leaves_out_what_is_no_eigenvalue_to_a_per_cent(along):
    spectrum = along["spectrum"][0].copy(deep=True)
    spectrum["hessian_residual"][3, 4] = 0.011 * spectrum["hessian_eigenvalue"][3, 4]
    spectrum["hessian_residual"][2, 4] = 0.009 * spectrum["hessian_eigenvalue"][2, 4]
    figure = drawn(figS2_cascade_cifar10.render(along | {"spectrum": [spectrum]}, {}))
    fifth = line(panel(figure, "e"), "_mode 5").get_ydata()
    assert np.flatnonzero(np.isnan(fifth)).tolist() == [3]
    assert "known to 1 %" in figure.legends[-1].get_title().get_text()


def test_figs2_increments_are_over_one_distance(along):
    """There is a record every 3 steps, and one more at a snapshot between two of them."""
    whole = along["trajectory"][0]
    trajectory = whole.isel(step=np.union1d(np.arange(0, whole.sizes["step"], 3), [40]))
    axis = panel(drawn(figS2_cascade_cifar10.render(along | {"trajectory": [trajectory]}, {})), "c")
    assert axis.get_ylabel() == "F(t) − F(t − 3)"
    steps = np.setdiff1d(np.arange(3, whole.sizes["step"], 3), [42])
    loss = whole["weighted_loss"].values
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), steps)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), loss[steps] - loss[steps - 3])


def test_figs2_bounds_follow_the_schedule_and_are_absent_where_it_is_zero(along):
    figure = drawn(figS2_cascade_cifar10.render(along, {}))
    axis = panel(figure, "e")
    rate = along["trajectory"][0]["learning_rate"].values
    assert rate[0] == 0
    for formula, product in (("2/η", 2.0), ("Nesterov, β = 0.9: (2 + 2β)/(η(1 + 2β))", 3.8 / 2.8)):
        (bound,) = (item for item in axis.lines if item.get_gid() == formula)
        np.testing.assert_array_equal(bound.get_xdata(), np.arange(1, rate.size))
        np.testing.assert_allclose(bound.get_ydata(), product / rate[1:])
        assert formula in key(figure)
    # After one step the bound is 2/(0.02/103), which must not extend the axis.
    assert axis.get_ylim()[1] < 2 * float(along["spectrum"][0]["hessian_eigenvalue"].max())


@pytest.mark.parametrize(
    ("optimiser", "products"),
    [
        ({"kind": "sgd", "arguments": {}}, [2.0]),
        ({"kind": "sgd", "arguments": {"momentum": 0.5}}, [2.0, 3.0]),
        ({"kind": "sgd", "arguments": {"momentum": 0.5, "nesterov": True}}, [2.0, 1.5]),
        ({"kind": "adam", "arguments": {}}, [2.0]),
    ],
)
def test_figs2_knows_the_bound_of_each_kind_of_descent(optimiser, products):
    found = figS2_cascade_cifar10.bounds({"optimiser": optimiser}, [0.5])
    np.testing.assert_allclose([float(bound[0]) for bound in found.values()], np.array(products) / 0.5)


def test_figs2_shows_where_batches_keep_to_if_they_were_probed(along):
    trajectory, spectrum = along["trajectory"][0], along["spectrum"][0].copy(deep=True)
    rate = trajectory["learning_rate"].sel(step=spectrum["snapshot_step"].values).values
    with np.errstate(divide="ignore"):
        spectrum["batch_sharpness"] = (("snapshot_step",), 0.3 / rate)
    figure = drawn(figS2_cascade_cifar10.render(along | {"spectrum": [spectrum]}, {}))
    axis = panel(figure, "e")
    for name, product in (("small batches: 2(1 − β)/η", 0.2), ("large batches: 2(1 + β)/η", 3.8)):
        (bound,) = (item for item in axis.lines if item.get_gid() == name)
        np.testing.assert_allclose(bound.get_ydata(), product / trajectory["learning_rate"].values[1:])
    (dots,) = (item for item in axis.lines if item.get_gid() == "batch sharpness")
    np.testing.assert_array_equal(dots.get_xdata(), spectrum["snapshot_step"])
    # The sharpness 0.3/η is 1.5 times the bound 0.2/η, and 0.08 times the bound 3.8/η.
    assert "1.5 of 2(1 − β)/η, 0.079 of 2(1 + β)/η" in figure.legends[-1].get_title().get_text()
    require_legible_texts(figure)


def test_figs2_zoom_epochs_and_classes(along):
    figure = drawn(figS2_cascade_cifar10.render(along, {"zoom": [60, 140]}))
    assert sorted(letters(figure)) == list("abcdefghij")
    assert panel(figure, "f").get_xlim() == (60, 140)
    (epochs,) = panel(figure, "a").child_axes
    assert epochs.get_xlim() == pytest.approx((0, 30))
    whole, zoomed = (
        [text.get_text() for text in panel(figure, letter).texts if text.get_text().isdigit()]
        for letter in "af"
    )
    assert whole == [str(index) for index in range(1, 10)]  # the run ends before the peak of the tenth class
    assert zoomed == ["4", "5", "6"]  # the peak of the third class lies on the edge


def test_figs2_says_what_was_evaluated_and_that_one_run_is_shown(along):
    figure = drawn(figS2_cascade_cifar10.render(along, {}))
    words = header(figure).replace("\n", " ")
    assert words.startswith("Illustration, not of the paper's size")
    assert "one run; loss, accuracies and Hessian of 1000 fixed images" in words


def test_figs2_of_more_periods_than_lines_can_show_has_the_range_of_the_weights(tmp_path):
    trajectory, spectrum = image_results.run(tmp_path, epochs=100, period=10)
    figure = drawn(figS2_cascade_cifar10.render({"trajectory": [trajectory], "spectrum": [spectrum]}, {}))
    low, high = panel(figure, "a").lines
    np.testing.assert_allclose(high.get_ydata(), trajectory["class_weight"].max("class_index"))
    np.testing.assert_allclose(low.get_ydata(), trajectory["class_weight"].min("class_index"))


@pytest.mark.parametrize("zoom", [None, [2, 6]])
def test_figs2_of_two_records_and_two_snapshots(tmp_path, zoom):
    trajectory, spectrum = image_results.run(tmp_path, epochs=1, period=4, every=8, snapshots=7)
    assert (trajectory.sizes["step"], spectrum.sizes["snapshot_step"]) == (2, 2)
    inputs = {"trajectory": [trajectory], "spectrum": [spectrum]}
    figure = drawn(figS2_cascade_cifar10.render(inputs, {"zoom": zoom}))
    assert panel(figure, "a").get_xlim() == (0, 8)


def test_figs2_of_a_run_that_diverged(along):
    trajectory, spectrum = (along[role][0].copy(deep=True) for role in ("trajectory", "spectrum"))
    for name in ("weighted_loss", "train_accuracy"):
        trajectory[name][100:] = np.nan
    spectrum["hessian_eigenvalue"][30:] = np.nan
    trajectory["diverged"] = ((), 1)
    inputs = {"trajectory": [trajectory], "spectrum": [spectrum]}
    figure = drawn(figS2_cascade_cifar10.render(inputs, {"zoom": [150, 200]}))
    assert "one run, which diverged" in header(figure)


# All ----------------------------------------------------------------------------------------------


def test_texts_neither_overlap_nor_leave_the_page(study, along, networks):
    for figure in (
        fig1_phase_cifar10.render({"phase": [study]}, {}),
        figS2_cascade_cifar10.render(along, {"zoom": [60, 140]}),
        figS3_wide_resnet.render({"phase": networks}, {}),
        figS4_learning_curves.render({"phase": [study]}, {"cell": CELL}),
    ):
        require_legible_texts(drawn(figure))


@pytest.mark.parametrize(
    ("name", "options"),
    [("fig1_phase_cifar10", {}), ("figS3_wide_resnet", {}), ("figS4_learning_curves", {"cell": CELL})],
)
def test_figures_of_a_study_are_rendered_from_its_file(tmp_path, name, options):
    image_results.phase(tmp_path / "study.nc", periods=(100,), records=4)
    outputs = [tmp_path / f"made.{suffix}" for suffix in ("pdf", "png")]
    render_figure.run(name, {"phase": [tmp_path / "study.nc"]}, options, outputs)
    assert outputs[0].read_bytes().startswith(b"%PDF") and outputs[1].read_bytes().startswith(b"\x89PNG")


def test_figs2_is_rendered_from_the_files_of_one_run(tmp_path):
    image_results.run(tmp_path, epochs=4)
    inputs = {role: [tmp_path / f"{role}.nc"] for role in figS2_cascade_cifar10.DECLARATION.inputs}
    output = tmp_path / "made.png"
    render_figure.run("figS2_cascade_cifar10", inputs, {"zoom": [8, 16]}, [output])
    assert output.read_bytes().startswith(b"\x89PNG")


def test_figs2_refuses_a_run_without_learning_rates(tmp_path):
    image_results.run(tmp_path, epochs=4, without="learning_rate")
    inputs = {role: [tmp_path / f"{role}.nc"] for role in figS2_cascade_cifar10.DECLARATION.inputs}
    with pytest.raises(UserError, match="has no variable 'learning_rate'"):
        render_figure.run("figS2_cascade_cifar10", inputs, {}, [tmp_path / "made.png"])


@pytest.mark.parametrize("name", ["figS3_wide_resnet", "figS4_learning_curves"])
def test_figures_of_curves_refuse_a_study_without(tmp_path, name):
    image_results.phase(tmp_path / "study.nc", curves=False)
    with pytest.raises(UserError, match=r"has no variable '\w+_accuracy_curve'") as refused:
        render_figure.run(name, {"phase": [tmp_path / "study.nc"]}, {}, [tmp_path / "made.png"])
    assert "\n" not in str(refused.value)


def test_fig1_refuses_a_study_of_the_static_loss_alone(study):
    with pytest.raises(UserError, match=r"Fig\. 1 needs an amplitude above 1"):
        fig1_phase_cifar10.render({"phase": [study.isel(amplitude=[0])]}, {})
