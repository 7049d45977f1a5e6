"""Claims about networks of images, evaluated on made-up results whose verdicts are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.claims.evidence import mean_of
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.config.training import PhaseSettings

SETTINGS = BootstrapSettings(resamples=1000, seed=1)
PYTHON_ARCHIVE = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
BINARY_ARCHIVE = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
PERIODS, AMPLITUDES = (50, 100, 250), (1.0, 25.0, 50.0, 70.0)

MYRTLE5 = {
    "model": {"kind": "myrtle5", "channels": 64},
    "batch_size": 512,
    "epochs": 700,
    "steps": 68_600,
    "learning_rate": 0.02,
    "learning_rate_schedule": [[0, 0], [3 / 7, 1], [1, 0.1]],
    "oscillation_stop": 6 / 7,
    "optimiser": {"kind": "sgd", "arguments": {"momentum": 0.9, "nesterov": True}},
}
WIDE_RESNET = {
    "model": {"kind": "wide_resnet", "depth": 16, "widening": 4},
    "batch_size": 1024,
    "epochs": 200,
    "steps": 9_800,
    "learning_rate": 0.1,
}
FIGURE_1 = (
    "images_static_train",
    "images_static_validation_value",
    "images_best_validation_value",
    "images_cell_improves",
    "images_region_improves",
)


def as_in_the_paper(period, amplitude):
    """Return the validation accuracy: 0.73 at A = 1, 0.79 in the best cell, and 0.77 in all other cells."""
    if amplitude == 1:
        return 0.73
    return 0.79 if (period, amplitude) == (100, 50) else 0.77


def study(
    validation=as_in_the_paper,
    *,
    settings=MYRTLE5,
    seeds=6,
    periods=PERIODS,
    amplitudes=AMPLITUDES,
    **attributes,
):
    """Return a phase diagram whose seeds scatter by 0.001 about a function of (period, amplitude)."""
    recorded = PhaseSettings.model_validate(
        {**settings, "periods": list(periods), "amplitudes": list(amplitudes), "seeds": seeds}
    ).model_dump(mode="json")
    mean = np.array([[validation(period, amplitude) for amplitude in amplitudes] for period in periods])
    values = mean[:, :, None] + np.linspace(-0.001, 0.001, seeds)
    dimensions = ("period", "amplitude", "seed")
    return xr.Dataset(
        {
            "train_accuracy": (dimensions, np.minimum(values + 0.265, 1.0)),
            "validation_accuracy": (dimensions, values),
        },
        coords={"period": list(periods), "amplitude": list(amplitudes), "seed": range(seeds)},
        attrs={
            "settings": json.dumps(recorded),
            "dataset": "CIFAR-10",
            "dataset_source_sha256": PYTHON_ARCHIVE,
            "dataset_copies": "exact",
            "train_samples": 50_000,
            "validation_samples": 10_000,
            "steps_per_epoch": -(-50_000 // (recorded["batch_size"] or 50_000)),
            **attributes,
        },
    )


def with_curves(item, early, *, every=247, steps=68_600):
    """Add curves that equal `early(period, amplitude)` about epoch 300 and are meaningless at other times."""
    step = np.arange(0, steps + 1, every)
    accuracy = item["validation_accuracy"]
    mean = np.array([[early(p, a) for a in accuracy["amplitude"].values] for p in accuracy["period"].values])
    scatter = 0.001 * np.arange(accuracy.sizes["seed"])
    near = np.abs(step - 29_400) <= 686
    sign = np.where(np.arange(step.size) % 2 == 0, 1.0, -1.0)  # cancels over an even number of records
    curve = np.where(near, (mean[:, :, None] + scatter)[..., None], 0.5 + 0.3 * sign)
    return item.assign(validation_accuracy_curve=((*accuracy.dims, "step"), curve)).assign_coords(step=step)


def rows(**inputs):
    lists = {role: item if isinstance(item, list) else [item] for role, item in inputs.items()}
    return {row.id: row for row in claims.evaluate(lists, SETTINGS)}


def changed(**settings):
    return {**MYRTLE5, **settings}


# Fig. 1 -------------------------------------------------------------------------------------------


_BEYOND = {
    *("ingredients", "losses", "runs", "learning_rates", "edge", "flows", "known", "residuals"),
    *("lazy", "lazy_further", "lazy_null", "lazy_sizes", "regimes"),
}


def test_the_rows_of_figure_1_come_first_and_those_of_the_supplement_after_all_others_of_the_paper():
    identifiers = [claim.id for claim in claims.CLAIMS]
    assert tuple(identifiers[: len(FIGURE_1)]) == FIGURE_1
    beyond = [claim.id for claim in claims.CLAIMS if _BEYOND & set(claim.roles)]
    supplement = ["images_slower", "wide_resnet_no_gain", "wide_resnet_without_batch_norm"]
    own = {"regime", "questions", "conditioning"}
    smaller = [claim.id for claim in claims.CLAIMS if own & set(claim.roles)]
    expected = supplement + smaller + beyond
    assert identifiers[-len(expected) :] == expected


@pytest.mark.parametrize("archive", [PYTHON_ARCHIVE, BINARY_ARCHIVE])
def test_the_paper_s_phase_diagram_of_images_reproduces(archive):
    found = rows(phase_images=study(dataset_source_sha256=archive))
    for name, value, n in (
        ("images_static_train", 0.995, 6),
        ("images_static_validation_value", 0.73, 6),
        # The odd seeds among the six measure, and their scatter has the mean 0.0002.
        ("images_best_validation_value", 0.7902, 3),
        ("images_cell_improves", 0.06, 6),
        ("images_region_improves", (8 * 0.04 + 0.06) / 9, 6),
    ):
        assert found[name].verdict == Verdict.REPRODUCED, name
        assert found[name].measured_value == pytest.approx(value), name
        assert found[name].n == n
        assert "(here" not in found[name].statement
    # Both sides have the same seeds, so the scatter cancels in the difference.
    gain = found["images_cell_improves"]
    assert gain.interval_upper - gain.interval_lower < 1e-9


@pytest.mark.parametrize(
    ("validation", "reproduced"),
    [
        # The network learns nothing; the dynamical loss gains nothing; it gains in another cell only.
        (lambda period, amplitude: 0.5 - (amplitude > 1) * 0.01, ()),
        (lambda period, amplitude: 0.73, ("images_static_train", "images_static_validation_value")),
        (
            lambda period, amplitude: {(50, 25.0): 0.79, (100, 50.0): 0.72}.get(
                (period, amplitude), 0.73 - (amplitude > 1) * 0.01
            ),
            ("images_static_train", "images_static_validation_value", "images_best_validation_value"),
        ),
    ],
)
def test_what_does_not_reproduce(validation, reproduced):
    found = rows(phase_images=study(validation))
    for name in FIGURE_1:
        assert (found[name].verdict == Verdict.REPRODUCED) == (name in reproduced), name
        assert (found[name].verdict == Verdict.CONTRADICTED) == (name not in reproduced), name


@pytest.mark.parametrize(
    ("static", "verdict"),
    [
        (0.7235, Verdict.CONTRADICTED),  # the interval's half-width is below 0.0015
        (0.7265, Verdict.REPRODUCED),
        (0.7335, Verdict.REPRODUCED),
        (0.7365, Verdict.CONTRADICTED),
    ],
)
def test_about_0_73_is_what_rounds_to_it(static, verdict):
    interval = mean_of(static + np.linspace(-0.001, 0.001, 6), SETTINGS).interval
    assert interval[1] - interval[0] < 0.003
    found = rows(phase_images=study(lambda period, amplitude: static if amplitude == 1 else 0.79))
    assert found["images_static_validation_value"].verdict == verdict


@pytest.mark.parametrize(
    ("best", "verdict"),
    [(0.782, Verdict.CONTRADICTED), (0.79, Verdict.REPRODUCED), (0.80, Verdict.CONTRADICTED)],
)
def test_about_0_79_is_what_rounds_to_it(best, verdict):
    # With sixteen seeds, the interval of the eight odd seeds is narrower than half the band.
    item = study(lambda period, amplitude: best if amplitude == 50 else 0.7, seeds=16)
    assert rows(phase_images=item)["images_best_validation_value"].verdict == verdict


def test_where_seeds_scatter_widely_the_value_is_undecided():
    item = study()
    wide = item.assign(validation_accuracy=item["validation_accuracy"] + 0.02 * (item["seed"] - 2.5))
    row = rows(phase_images=wide)["images_static_validation_value"]
    assert row.verdict == Verdict.UNDECIDED
    assert row.runs_to_decide > 10 * row.n


def test_a_grid_with_a_single_cell_spends_no_seed_on_choosing_and_is_no_region():
    found = rows(phase_images=study(periods=(100,), amplitudes=(1.0, 50.0), seeds=3))
    assert found["images_best_validation_value"].n == 3
    assert found["images_best_validation_value"].measured_value == pytest.approx(0.79)
    assert found["images_cell_improves"].verdict == Verdict.REPRODUCED
    assert found["images_region_improves"].verdict == Verdict.NOT_TESTED
    assert "the grid does not cover the region 25 <= amplitude <= 70; it offers only 50" in (
        found["images_region_improves"].rule
    )


def test_the_region_ends_where_the_paper_s_does():
    """Cells at A = 70 and T = 250 belong to the region, and cells beyond these limits do not."""
    inside = study(
        lambda period, amplitude: (
            0.73 if amplitude == 1 else 0.75 if amplitude <= 70 and period <= 250 else 0.1
        ),
        periods=(60, 100, 250, 251),
        amplitudes=(1.0, 24.0, 25.0, 70.0, 71.0),
    )
    inside["validation_accuracy"].loc[{"amplitude": 24.0}] = 0.1
    assert rows(phase_images=inside)["images_region_improves"].measured_value == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (
            study(settings=changed(model={"kind": "myrtle5", "channels": 16})),
            "model.channels is 16, in the paper 64",
        ),
        (study(settings=changed(model={"kind": "mlp"})), "model.kind is mlp"),
        (study(settings=changed(batch_size=256, steps=137_200)), "batch_size is 256, in the paper 512"),
        (study(settings=changed(batch_size=None, epochs=None)), "batch_size is None, in the paper 512"),
        (study(settings=changed(epochs=70, steps=6_860)), "runs of 70 epochs, in the paper 700"),
        (study(settings=changed(epochs=699, steps=68_502)), "runs of 699 epochs, in the paper 700"),
        (study(settings=changed(epochs=1400, steps=137_200)), "runs of 1400 epochs, in the paper 700"),
        (study(settings=changed(learning_rate=0.1)), "learning_rate is 0.1"),
        (study(settings=changed(learning_rate_schedule=[])), "learning_rate_schedule is []"),
        (
            study(settings=changed(learning_rate_schedule=[[0, 0], [0.3, 1], [1, 0.1]])),
            "in the paper [[0.0, 0.0], [0.4286, 1.0], [1.0, 0.1]]",
        ),
        (study(settings=changed(oscillation_stop=None)), "oscillation_stop is None, in the paper 0.8571"),
        (study(settings=changed(optimiser={})), "optimiser.arguments is {}"),
        (study(settings=changed(loss={"waveform": "sine"})), "loss.waveform is sine"),
        (study(settings=changed(evaluation_samples=1000)), "accuracies of 1000 images"),
        (study(train_samples=4000), "train_samples is 4000, in the paper 50000"),
        (study(validation_samples=2000), "validation_samples is 2000, in the paper 10000"),
        (study(dataset="Fashion-MNIST"), "the dataset is Fashion-MNIST, in the paper CIFAR-10"),
        (study(dataset="CIFAR-100"), "the dataset is CIFAR-100, in the paper CIFAR-10"),
        (study(seeds=2), "n = "),
    ],
)
def test_what_a_study_cannot_tell_is_not_tested(item, reason):
    found = rows(phase_images=item)
    for name in FIGURE_1:
        assert found[name].verdict == Verdict.NOT_TESTED, name
        assert reason in found[name].rule.split("[not tested here: ")[1], name


@pytest.mark.parametrize(
    "path",
    [
        "model",
        "model.channels",
        "optimiser",
        "optimiser.arguments",
        "loss",
        "loss.waveform",
        "batch_size",
        "learning_rate",
        "learning_rate_schedule",
        "oscillation_stop",
        "steps",
        "evaluation_samples",
        "arithmetic",
    ],
)
def test_a_study_that_leaves_out_a_setting_is_not_tested(path):
    item = study()
    settings = json.loads(item.attrs["settings"])
    *groups, key = path.split(".")
    inner = settings
    for group in groups:
        inner = inner[group]
    del inner[key]
    row = rows(phase_images=item.assign_attrs(settings=json.dumps(settings)))["images_static_train"]
    assert row.verdict == Verdict.NOT_TESTED
    assert f"[not tested here: the file does not record {path}" in row.rule


def test_a_study_that_does_not_name_its_dataset_is_not_tested():
    for name, role, item in (
        ("images_static_train", "phase_images", study()),
        ("wide_resnet_no_gain", "wide_resnet", wide_resnet("batch", 0.0)),
    ):
        del item.attrs["dataset"]
        assert "the file does not record dataset]" in rows(**{role: item})[name].rule


def test_a_study_that_does_not_say_what_an_epoch_is_is_not_tested():
    item = study()
    del item.attrs["train_samples"]
    assert "the file does not record train_samples]" in rows(phase_images=item)["images_static_train"].rule


def test_fractions_of_the_run_may_be_rounded_and_more_images_looked_at():
    item = study(
        settings=changed(
            learning_rate_schedule=[[0, 0], [0.4286, 1], [1, 0.1]],
            oscillation_stop=0.857,
            evaluation_samples=10_000,
        )
    )
    assert rows(phase_images=item)["images_static_train"].verdict == Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("grid", "claim", "reason"),
    [
        ({"periods": (50, 250)}, "images_cell_improves", "no cell T = 100, A = 50"),
        ({"amplitudes": (1.0, 25.0)}, "images_cell_improves", "no cell T = 100, A = 50"),
        ({"amplitudes": (25.0, 50.0)}, "images_cell_improves", "the grid has no A = 1"),
        ({"amplitudes": (1.0,)}, "images_best_validation_value", "no cell with A > 1"),
        ({"amplitudes": (1.0, 10.0)}, "images_region_improves", "no cell with 25 <= A <= 70, T <= 250"),
    ],
)
def test_what_the_grid_of_images_cannot_tell_is_not_tested(grid, claim, reason):
    row = rows(phase_images=study(**grid))[claim]
    assert row.verdict == Verdict.NOT_TESTED
    assert reason in row.rule


@pytest.mark.parametrize(
    ("copies", "arithmetic", "remark"),
    [
        ("lossy", "full", "(here trained on lossy copies of the images)"),
        ("exact", "full", "(here trained on copies of the images, not on an official archive)"),
        ("official", "bfloat16", "(here with convolutions in bfloat16)"),
        ("lossy", "tf32", "(here trained on lossy copies of the images, and with convolutions in tf32)"),
    ],
)
def test_other_copies_of_the_images_and_rounded_products_are_tested_and_said_so(copies, arithmetic, remark):
    lossy = {"settings": changed(arithmetic=arithmetic)}
    if copies != "official":
        lossy |= {"dataset_copies": copies, "dataset_source_sha256": "0" * 64}
    found = rows(
        phase_images=study(**lossy),
        wide_resnet=wide_resnet(
            "batch", 0.0, **{**lossy, "settings": {**WIDE_RESNET, "arithmetic": arithmetic}}
        ),
        learning_curves=with_curves(study(**lossy), lambda period, amplitude: 0.5),
    )
    for name in (*FIGURE_1, "wide_resnet_no_gain", "images_slower"):
        assert found[name].verdict != Verdict.NOT_TESTED
        assert found[name].statement.endswith(f" {remark}"), name
    assert rows(phase_images=study(seeds=2, **lossy))["images_static_train"].statement.endswith(remark)
    assert "(here" not in found["static_narrow_fails"].statement


@pytest.mark.parametrize("said", [{}, {"dataset_copies": "official"}, {"dataset_copies": "reduced"}])
def test_copies_that_may_be_lossy_are_not_tested(said):
    item = study(dataset_source_sha256="0" * 64)
    del item.attrs["dataset_copies"]
    row = rows(phase_images=item.assign_attrs(said))["images_static_train"]
    assert row.verdict == Verdict.NOT_TESTED
    assert row.rule.endswith("[not tested here: the file does not record dataset_copies]")


def test_an_official_archive_is_known_by_its_checksum_alone():
    item = study()
    del item.attrs["dataset_copies"]
    row = rows(phase_images=item)["images_static_train"]
    assert row.verdict == Verdict.REPRODUCED
    assert "(here" not in row.statement


# Slower but better --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("early", "verdict"),
    [(-0.1, Verdict.REPRODUCED), (0.1, Verdict.CONTRADICTED), (0.0, Verdict.CONTRADICTED)],
)
@pytest.mark.parametrize("every", [98, 247, 490])
def test_slower_is_a_lower_accuracy_where_the_learning_rate_peaks(early, verdict, every):
    def accuracy(period, amplitude):
        return 0.6 + early if (period, amplitude) == (100, 50) else 0.6

    row = rows(learning_curves=with_curves(study(), accuracy, every=every))["images_slower"]
    assert row.verdict == verdict
    assert row.measured_value == pytest.approx(early, abs=1e-12)
    assert row.n == 6
    assert row.interval_upper - row.interval_lower < 1e-9


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (study(), "keeps no learning curves"),
        (with_curves(study(), as_in_the_paper, every=20_000), "0 of the records lie within 686 steps of ep"),
        (with_curves(study(), as_in_the_paper, every=980), "1 of the records lie within 686 steps of epoch"),
        (with_curves(study(), as_in_the_paper, every=650), "2 of the records lie within 686 steps of epoch"),
        (with_curves(study(periods=(50,)), as_in_the_paper), "no cell T = 100, A = 50"),
        (
            with_curves(study(settings=changed(model={"kind": "myrtle5", "channels": 16})), as_in_the_paper),
            "model.channels is 16",
        ),
        (with_curves(study(seeds=2), as_in_the_paper), "n = 2"),
    ],
)
def test_what_learning_curves_cannot_tell_is_not_tested(item, reason):
    row = rows(learning_curves=item)["images_slower"]
    assert row.verdict == Verdict.NOT_TESTED
    assert reason in row.rule


# Wide ResNet --------------------------------------------------------------------------------------


def wide_resnet(normalisation, gain, *, settings=WIDE_RESNET, seeds=4, **attributes):
    """Return a study of a Wide ResNet whose gains in two cells are 0.5 and 1.5 times `gain`."""
    model = {**settings["model"], "normalisation": normalisation}
    return study(
        lambda period, amplitude: 0.8 + {1.0: 0.0, 10.0: 0.5, 50.0: 1.5}[amplitude] * gain,
        settings={**settings, "model": model},
        periods=(100,),
        amplitudes=(1.0, 10.0, 50.0),
        seeds=seeds,
        **attributes,
    )


@pytest.mark.parametrize(
    ("gain", "no_gain", "helps"),
    [
        (0.0, Verdict.REPRODUCED, Verdict.CONTRADICTED),
        (0.0099, Verdict.REPRODUCED, Verdict.REPRODUCED),
        (-0.0099, Verdict.REPRODUCED, Verdict.CONTRADICTED),
        (0.0101, Verdict.CONTRADICTED, Verdict.REPRODUCED),
        (-0.0101, Verdict.REPRODUCED, Verdict.CONTRADICTED),
        (-0.05, Verdict.REPRODUCED, Verdict.CONTRADICTED),
    ],
)
def test_a_wide_resnet_gains_or_not(gain, no_gain, helps):
    found = rows(wide_resnet=[wide_resnet("none", gain), wide_resnet("batch", gain)])
    for name, verdict in (("wide_resnet_no_gain", no_gain), ("wide_resnet_without_batch_norm", helps)):
        assert found[name].measured_value == pytest.approx(gain, abs=1e-12)
        assert found[name].verdict == verdict, name
        assert found[name].n == 4
    assert "gains less than 0.01 (no significant gain)" in found["wide_resnet_no_gain"].statement


def test_each_row_of_the_wide_resnet_looks_at_its_own_study():
    found = rows(wide_resnet=[wide_resnet("none", 0.05), wide_resnet("batch", 0.001)])
    assert found["wide_resnet_no_gain"].measured_value == pytest.approx(0.001)
    assert found["wide_resnet_without_batch_norm"].measured_value == pytest.approx(0.05)
    alone = rows(wide_resnet=wide_resnet("none", 0.05))["wide_resnet_no_gain"]
    assert alone.verdict == Verdict.NOT_TESTED
    assert "no study of a Wide ResNet with normalisation: batch" in alone.rule


def test_a_gain_that_may_matter_or_not_is_undecided():
    item = wide_resnet("batch", 0.004)
    scatter = xr.DataArray([-0.02, 0.02, -0.01, 0.01], dims="seed")
    noisy = item["validation_accuracy"] + scatter.where(item["amplitude"] > 1, 0.0)
    row = rows(wide_resnet=item.assign(validation_accuracy=noisy))["wide_resnet_no_gain"]
    assert row.verdict == Verdict.UNDECIDED
    assert row.runs_to_decide > row.n


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (
            wide_resnet("batch", 0.0, settings={**WIDE_RESNET, "batch_size": 512}),
            "batch_size is 512, in the paper 1024",
        ),
        (
            wide_resnet("batch", 0.0, settings={**WIDE_RESNET, "epochs": None, "steps": 980}),
            "runs of 20 epochs",
        ),
        (wide_resnet("batch", 0.0, train_samples=5000), "train_samples is 5000"),
        (wide_resnet("batch", 0.0, dataset="digits"), "the dataset is digits"),
        (wide_resnet("batch", 0.0, seeds=2), "n = 2"),
        (study(), "no study of a Wide ResNet"),
    ],
)
def test_what_a_wide_resnet_cannot_tell_is_not_tested(item, reason):
    row = rows(wide_resnet=item)["wide_resnet_no_gain"]
    assert row.verdict == Verdict.NOT_TESTED
    assert reason in row.rule
