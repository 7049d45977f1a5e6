"""Claims about feature and lazy training, on made-up studies that follow power laws."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from claim_results import changed, phase, with_settings
from dynamical_loss import claims
from dynamical_loss.claims.criteria import Verdict
from dynamical_loss.config.analysis import BootstrapSettings
from dynamical_loss.config.lazy import LazyStudy, TiltSettings

DIGITS = "digits 8×8, parity labels, pooled split, on a sphere, 200 + 1 540 images"
FEW = "digits 8×8, parity labels, pooled split, on a sphere, 50 + 500 images"
FASHION = (
    "Fashion-MNIST reduced to 14×14 pixels, parity labels, pooled split, on a sphere, 200 + 4 000 images"
)
WIDTHS, SCALES = [16, 32, 64, 128], [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0]
SPLITS, SEEDS = [2, 3, 4, 5, 6], 4


def grid(
    description=DIGITS, *, depth=2, kernel=-4 / 3, weights=-1 / 3, crossover=-0.5, variance=-1.0, **more
):
    """Return a study whose runs follow these exponents, with a scatter that cancels in the mean.

    The first split was explored and follows none of the exponents.
    """
    widths, scales = np.array(WIDTHS, float)[:, None, None, None], np.array(SCALES)[None, :, None, None]
    scatter = np.exp(1e-3 * np.add.outer(np.arange(-2.0, 3.0), np.arange(-1.5, 2.0)))
    scatter[1:] /= np.exp(np.log(scatter[1:]).mean())
    # With α* ~ h^crossover, the s at which the kernel's change is 1 depends on the width.
    relative = scales / (6 * (widths / 64) ** (crossover + 0.5))
    change = np.where(relative < 1, relative**kernel, relative**-1.0) * scatter
    weight = np.where(scales <= 1, scales**weights, scales**-1.0 * 1.0) / np.sqrt(widths) * scatter
    half = np.where(scales < 3, 6.0 * scales, 18.0) * scatter
    error = np.broadcast_to(0.05 + more.pop("lazy_error", -0.01) * (scales > 3) * scatter, change.shape)
    ensemble = error.mean(axis=3) - more.pop("ensemble_gain", 0.004)
    var = np.broadcast_to((widths / 64) ** variance, change.shape)[..., 0]
    runs = ("width", "scale", "data_seed", "seed")
    columns = {
        "kernel_change": change,
        "weight_change": weight,
        "half_time": half,
        "test_error": error,
        "converged": np.ones(change.shape),
        "frozen_converged": np.ones(change.shape),
        "frozen_start_distance": np.full(change.shape, more.pop("distance", 0.004)) * scatter,
        "output_variance_without": np.repeat(var[..., None], SEEDS, axis=-1),
        "ensemble_error_without": np.repeat(ensemble[..., None], SEEDS, axis=-1),
    }
    columns = {name: np.array(np.broadcast_to(values, change.shape)) for name, values in columns.items()}
    for name in ("kernel_change", "weight_change", "half_time", "frozen_start_distance"):
        columns[name][:, :, 0] = 7.0
    dataset = xr.Dataset(
        {
            **{name: (runs, values) for name, values in columns.items()},
            "output_variance": (runs[:-1], var),
            "ensemble_error": (runs[:-1], ensemble),
        },
        coords={"width": WIDTHS, "scale": SCALES, "data_seed": SPLITS, "seed": range(SEEDS)},
    )
    study = LazyStudy(depth=depth, widths=WIDTHS, scales=SCALES, seeds=SEEDS, data_seeds=SPLITS, **more)
    return with_settings(dataset.assign_attrs(dataset_description=description), study.model_dump())


def rows(**inputs):
    given = {role: [item] for role, item in inputs.items()}
    found = claims.evaluate(given, BootstrapSettings(resamples=300), given_only=True)
    return {row.id: row for row in found}


def test_a_study_that_follows_the_theory_reproduces_every_claim():
    fashion = grid(FASHION, depth=3, kernel=-1.5, weights=-0.25).isel(data_seed=slice(1, None))
    found = rows(lazy=grid(), lazy_further=fashion)
    for name, value in {
        "digits_kernel_lazy": -1.0,
        "digits_kernel_feature": -4 / 3,
        "digits_weights_lazy": -1.0,
        "digits_weights_feature": -1 / 3,
        "digits_time_feature": 1.0,
        "digits_time_lazy": 0.0,
        "digits_crossover": -0.5,
        "digits_variance_feature": -1.0,
        "digits_variance_lazy": -1.0,
        "digits_ensembles_feature": 0.004,
        "digits_ensembles_lazy": 0.004,
        "digits_lazy_is_better": -0.01,
        "digits_frozen_limit": 0.004,
        "fashion_kernel_feature": -1.5,
        "fashion_weights_feature": -0.25,
    }.items():
        row = found[name]
        assert row.measured_value == pytest.approx(value, abs=2e-4), name
        # Four splits and four initial seeds measure; the split that was explored does not.
        assert (row.verdict, row.n) == (Verdict.REPRODUCED, 4), (name, row)
        assert "4 draws of the data × 4 initial seeds" in row.statement


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("digits_kernel_feature", {"kernel": -1.0}),
        ("digits_weights_feature", {"weights": -0.5}),
        ("digits_crossover", {"crossover": -0.2}),
        ("digits_variance_lazy", {"variance": -0.5}),
        ("digits_ensembles_feature", {"ensemble_gain": -0.004}),
        ("digits_lazy_is_better", {"lazy_error": 0.01}),
        ("digits_frozen_limit", {"distance": 0.1}),
    ],
)
def test_a_study_that_does_not_contradicts_its_claim_alone(name, changes):
    found = rows(lazy=grid(**changes))
    wrong = {row.id for row in found.values() if row.verdict is Verdict.CONTRADICTED}
    both = {name, name.replace("lazy", "feature"), name.replace("feature", "lazy")}
    assert wrong == (both if "variance" in name or "ensembles" in name else {name})


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (grid(depth=3), "depth is 3"),
        (grid(FASHION), "dataset_description"),
        (grid(activation="relu"), "activation is relu"),
        (grid(loss="mse"), "loss is mse"),
        (grid(velocity_tolerance=0.1), "velocity_tolerance is 0.1; at most 0.001 is allowed"),
        (grid(output_tolerance=1.0), "output_tolerance is 1.0"),
        (grid().isel(data_seed=[0]), "all splits of the study were explored"),
        (grid().isel(scale=slice(0, 6)), "the scales do not reach from 100 to 1000"),
        (grid().isel(scale=slice(6, None)), "the scales do not reach from 100 to 1000"),
        (grid().isel(width=[0]), "no width of at least 32"),
    ],
)
def test_other_studies_are_not_taken(item, words):
    row = rows(lazy=item)["digits_kernel_lazy"]
    assert row.verdict is Verdict.NOT_TESTED
    assert words in row.rule


def sizes(exponent, counts=(50, 100, 200, 400)):
    """Yield studies of one width whose variance is a power of the size of their training sets."""
    for count in counts:
        item = grid().isel(width=[2])
        for name in ("output_variance", "output_variance_without"):
            item[name] = item[name] * float(count) ** exponent
        words = f"digits 8×8, parity labels, pooled split, on a sphere, {count} + 1 300 images"
        # The number of records differs from study to study.
        item["record_time"] = "record", np.zeros(count)
        yield item.assign_attrs(train_samples=count, dataset_description=words)


@pytest.mark.parametrize(("exponent", "verdict"), [(0.5, Verdict.REPRODUCED), (0.0, Verdict.CONTRADICTED)])
def test_the_variance_has_its_exponent_in_the_size_of_the_training_set(exponent, verdict):
    def row(items):
        given = {"lazy_sizes": items}
        found = claims.evaluate(given, BootstrapSettings(resamples=300), given_only=True)
        return next(each for each in found if each.id == "variance_of_sizes_lazy")

    found = row(list(sizes(exponent))[::-1])
    assert found.measured_value == pytest.approx(exponent, abs=1e-9)
    assert (found.verdict, found.n) == (verdict, 4)
    assert "three sizes of the training set" in row(list(sizes(exponent, (50, 100)))).rule
    first, *others = sizes(exponent)
    assert "differ in their widths, splits" in row([first.isel(data_seed=slice(0, 4)), *others]).rule
    # Studies with equally many, but different, splits cannot be paired.
    moved = first.assign_coords(data_seed=first["data_seed"] + 1)
    assert "differ in their widths, splits" in row([moved, *others]).rule


def test_flows_that_did_not_converge_are_told_and_too_many_of_them_decide_nothing():
    item = grid()
    item["converged"][1, 6, 3, 1] = 0
    found = rows(lazy=item)
    # The 144 flows are of three widths, three scales, four splits and four seeds.
    assert "1 of 144 flows did not converge" in found["digits_kernel_lazy"].statement
    assert found["digits_kernel_lazy"].verdict is Verdict.REPRODUCED
    assert "did not converge" not in found["digits_kernel_feature"].statement
    item["converged"][:, 6] = 0
    found = rows(lazy=item)
    for name in (
        "digits_kernel_lazy",
        "digits_ensembles_lazy",
        "digits_lazy_is_better",
        "digits_frozen_limit",
    ):
        assert found[name].verdict is Verdict.NOT_TESTED, name
    assert found["digits_kernel_feature"].verdict is Verdict.REPRODUCED
    item = grid()
    item["frozen_converged"][:, 6] = 0
    assert rows(lazy=item)["digits_frozen_limit"].verdict is Verdict.NOT_TESTED


def test_lazy_and_feature_training_are_compared_at_one_width():
    row = rows(lazy=grid().isel(width=slice(0, 3)))["digits_lazy_is_better"]
    assert row.verdict is Verdict.NOT_TESTED and "no width 128" in row.rule


# The dynamical loss across the regimes ---------------------------------------------------------------


def regime(alpha, gain, change=50.0, *, width=100, seeds=17, period=200, **settings):
    """Return a study of one α: its validation accuracy is 0.45 at A = 1, and larger by `gain` at A = 20."""
    item = phase(
        lambda _, amplitude: 0.5 if amplitude == 1 else 0.5 + gain,
        width=width,
        amplitudes=(1, 20),
        periods=(period,),
        seeds=seeds,
    )
    settings = {"learning_rate": min(1.0, alpha), "steps": 35_000, **settings}
    item = changed(item, output_scale=alpha, **settings)
    shape = item["validation_accuracy"].shape
    item["kernel_change"] = item["validation_accuracy"].dims, np.full(shape, float(change))
    item["validation_accuracy"][{"seed": slice(0, 6)}] = 0.0
    return item


def null(distance=1e-4, **settings):
    dataset = xr.Dataset(
        {
            name: (("width", "scale", "data_seed", "seed"), np.full((1, 2, 1, 5), value))
            for name, value in (("static_distance", distance), ("converged", 1.0))
        },
        coords={"width": [64], "scale": [1.0, 1000.0], "data_seed": [1], "seed": range(5)},
    )
    settings = {"closeness": 0.01, **settings}
    study = LazyStudy(loss="mse", tilt=TiltSettings(period=1, amplitude=10), **settings)
    return with_settings(dataset.assign_attrs(dataset_description=FEW), study.model_dump())


def regimes(*items):
    given = {"regimes": list(items)}
    return {row.id: row for row in claims.evaluate(given, BootstrapSettings(resamples=300), given_only=True)}


def parametrised(alpha, gain, width):
    model = {"model": {"kind": "mlp", "width": width, "depth": 1, "parametrisation": "neural_tangent"}}
    return changed(regime(alpha, gain, width=width), learning_rate=alpha * width**0.5, **model)


def test_the_gain_lives_where_the_kernel_moves():
    usual = [regime(alpha, 0.4, 30.0) for alpha in (0.1, 0.3, 1.0)] + [
        regime(a, 0.0, 0.5) for a in (10.0, 100.0)
    ]
    found = regimes(*usual, regime(10.0, 0.02, 1.0, period=2000, steps=350_000))
    for name, value in {
        "gain_in_feature_training": 0.4,
        "no_gain_in_lazy_training": 0.0,
        "kernel_tells_gain": 1.0,
        "time_brings_no_gain_lazy": 0.02,
    }.items():
        row = found[name]
        assert row.measured_value == pytest.approx(value, abs=1e-9), name
        # Six of the seventeen seeds had been examined, so the other eleven measure.
        assert (row.verdict, row.n) == (Verdict.REPRODUCED, 11), (name, row)


def test_a_kernel_that_moves_without_a_gain_contradicts():
    usual = [regime(alpha, 0.4 if alpha < 1 else 0.0, 30.0) for alpha in (0.1, 0.3, 1.0, 10.0, 100.0)]
    row = regimes(*usual)["kernel_tells_gain"]
    assert row.measured_value == pytest.approx(0.4) and row.verdict is Verdict.CONTRADICTED


@pytest.mark.parametrize(("wide", "verdict"), [(0.3, Verdict.REPRODUCED), (0.0, Verdict.CONTRADICTED)])
def test_width_or_regime_is_decided_at_equal_scale(wide, verdict):
    pairs = [(1.0, 0.1), (10.0, 1.0)]
    items = [parametrised(alpha, 0.3, 100) for _, alpha in pairs]
    items += [parametrised(scale / 1000**0.5, wide, 1000) for scale, _ in pairs]
    found = regimes(*items)
    for scale in ("1", "10"):
        row = found[f"width_is_regime_{scale}"]
        assert row.measured_value == pytest.approx(wide - 0.3, abs=1e-9)
        assert row.verdict is verdict
    assert "at √h·α = 3" in found["width_is_regime_3"].rule
    assert "no studies of widths" in regimes(*items[:2])["width_is_regime_1"].rule


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (changed(regime(1.0, 0.4), output_scale=None), "needs an output_scale"),
        (regime(3.0, 0.4), "no study of the arm 'usual' with α = 1"),
        (regime(1.0, 0.4, learning_rate=0.5), "learning_rate is 0.5; the arm 'usual' has 1"),
        (regime(1.0, 0.4, steps=70_000), "steps is 70000; the arm 'usual' has 35000"),
        (regime(1.0, 0.4, width=1000), "the width is 1000"),
        (regime(1.0, 0.4, period=5), "T is 5; the arm 'usual' has 200"),
        (regime(1.0, 0.4, steps=1000), "steps is 1000"),
        (regime(1.0, 0.4, period=400), "no study of the arm 'usual'"),
    ],
)
def test_other_studies_of_regimes_are_not_taken(item, words):
    row = regimes(item)["gain_in_feature_training"]
    assert row.verdict is Verdict.NOT_TESTED
    assert words in row.rule


def test_a_longer_run_has_steps_and_period_in_proportion():
    row = regimes(regime(10.0, 0.0, period=300))["time_brings_no_gain_lazy"]
    assert row.verdict is Verdict.NOT_TESTED and "T is 300; the arm 'longer' has 2000" in row.rule


def test_two_studies_of_one_kind_and_kernels_that_are_not_known_decide_nothing():
    usual = [regime(alpha, 0.0, 0.5) for alpha in (0.1, 0.3, 1.0, 10.0, 100.0)]
    assert "two studies of width 100 with α = 1" in regimes(*usual, usual[2])["kernel_tells_gain"].rule
    usual[0]["kernel_change"][{"seed": 9}] = np.nan
    row = regimes(*usual)["kernel_tells_gain"]
    assert row.verdict is Verdict.NOT_TESTED and "not known" in row.rule


def test_the_null_is_a_distance_by_seed():
    found = rows(lazy_null=null())["lazy_null"]
    assert (found.measured_value, found.verdict, found.n) == (pytest.approx(1e-4), Verdict.REPRODUCED, 5)
    assert rows(lazy_null=null(0.1))["lazy_null"].verdict is Verdict.CONTRADICTED
    assert "closeness is 0.5" in rows(lazy_null=null(closeness=0.5))["lazy_null"].rule
    explored = null().assign_coords(data_seed=[0])
    assert "the only split, 0, was explored" in rows(lazy_null=explored)["lazy_null"].rule
    lost = null()
    lost["converged"][0, 1, 0, 2] = 0
    assert "a flow did not converge" in rows(lazy_null=lost)["lazy_null"].rule
