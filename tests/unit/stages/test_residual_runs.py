"""Runs on the squared error, probed mode by mode: stored values and Fig. F10 agree with the runs."""

import json

import jax
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from dynamical_loss.analysis import residual
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figF10_residual_modes, style
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.results import netcdf
from figure_parts import drawn, panel, points, require_legible_texts
from stage_commands import command, probed_pair

WINDOW = range(50, 61)
RESTART, SAMPLES = 4, 36
RUN = {
    "model": {"width": 6},
    "loss": {"kind": "mse"},
    "period": 40,
    "steps": 200,
    "learning_rate": 0.8,
    "snapshots": {"every": 201, "windows": [{"start": WINDOW[0], "stop": WINDOW[-1], "every": 1}]},
}
PROBES = {
    "hessian": {"modes": 2, "order": 45},
    "ntk": {"modes": 1, "order": 45},
    "residual": {"modes": 5, "order": 45, "restart": RESTART},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return probed_pair(tmp_path_factory.mktemp("residual"), RUN, PROBES)


def known(folder, study):
    return netcdf.read(folder / f"{study}_spectrum.nc").sel(snapshot_step=list(WINDOW))


def outputs_at(folder, run, step):
    """Return the outputs of the network for all training samples, (sample, class_index)."""
    network = MLPSettings(width=6).build(3)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], initial_parameters(network, (2,), [0])))
    with jax.enable_x64(True):
        place = unravel(jax.numpy.asarray(run["parameters"].sel(snapshot_step=step).values))
        return np.asarray(
            apply_function(network)(place, netcdf.read(folder / "data.nc")["train_input"].values)
        )


@pytest.mark.parametrize("study", ["static0", "dynamical0"])
def test_a_step_does_what_the_training_engine_recorded(folder, study):
    run, near = netcdf.read(folder / f"{study}.nc"), known(folder, study)
    weights = run["class_weight"].values
    if study == "static0":
        losses = run["weighted_loss"].values
        changes = [losses[step + 1] - losses[step] for step in WINDOW]
        np.testing.assert_allclose(near["residual_change"], changes, atol=1e-14)
        # If all weights are 1, both kernels are the same, and they equal the kernel of the other probe.
        np.testing.assert_allclose(near["unweighted_multiple"], near["kernel_multiple"][:, 0], rtol=1e-9)
    np.testing.assert_allclose(
        near["unweighted_multiple"], 0.8 / SAMPLES * near["ntk_eigenvalue"][:, 0], rtol=1e-9
    )
    assert (np.ptp(weights[list(WINDOW)], axis=1) > 0).any() == (study == "dynamical0")
    # Γ changes from one step to the next; both losses use the Γ of the first step.
    outputs = [outputs_at(folder, run, step) for step in WINDOW]
    targets = np.eye(3)[netcdf.read(folder / "data.nc")["train_label"].values]
    for place, step in enumerate(WINDOW[:-1]):
        weight = targets @ weights[step]
        before, after = (
            np.mean(weight * np.sum((found - targets) ** 2, axis=1)) / 2
            for found in outputs[place : place + 2]
        )
        change = float(near["residual_change"].sel(snapshot_step=step))
        assert change == pytest.approx(after - before, rel=1e-6, abs=1e-13)
    assert (near["residual_share"].sum("mode") <= 1 + 1e-12).all()
    assert near["kernel_multiple"].notnull().sum("mode").values.tolist() == [5] * len(WINDOW)


def test_one_step_of_the_kernel_is_the_linearised_one(folder):
    """After one step the error is that of the linearised network, divided by the length of the step."""
    near = known(folder, "dynamical0")
    ages = near["kernel_age"].values
    assert ages.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]
    after_one = near["kernel_error"].values[ages == 1]
    np.testing.assert_allclose(after_one[:, 0], after_one[:, 1], rtol=1e-9)
    assert (after_one > 0).all()


def test_gathered_runs_hold_the_measures_of_each(folder):
    found = netcdf.read(folder / "dynamical.nc")
    assert "rise_share" not in found  # a measure of another probe
    for seed in range(2):
        near, one = known(folder, f"dynamical{seed}"), found.sel(seed=seed)
        multiple = near["kernel_multiple"].values
        assert float(one["top_multiple"]) == pytest.approx(multiple[:, 0].mean())
        assert float(one["unweighted_multiple"]) == pytest.approx(float(near["unweighted_multiple"].mean()))
        assert float(one["unstable_modes"]) == pytest.approx((multiple > 2).sum(axis=1).mean())
        rises = near["residual_change"].values > 0
        assert float(one["raising_share"]) == pytest.approx(rises.mean())
        held = near["kernel_change"].values > 0
        assert float(one["kernel_raising_share"]) == pytest.approx(held.mean())
        assert float(one["instability_agreement"]) == pytest.approx(np.mean((multiple[:, 0] > 2) == rises))
        ages = near["kernel_age"].values
        for age in range(1, RESTART + 1):
            errors = near["kernel_error"].values[ages == age]
            expected = np.exp(np.log(errors).mean(axis=0))
            np.testing.assert_allclose(one["kernel_error"].sel(kernel_age=age), expected)
    assert found["kernel"].values.tolist() == ["fixed", "moving"]


def spectrum(*multiples, changes=None):
    changes = np.zeros(len(multiples)) if changes is None else changes
    return xr.Dataset(
        {
            "kernel_multiple": (("snapshot_step", "mode"), np.array(multiples)),
            "residual_change": ("snapshot_step", np.array(changes)),
        }
    )


def test_a_residual_that_did_not_move_has_no_error():
    item = xr.Dataset(
        {
            "residual_change": ("snapshot_step", np.zeros(4)),
            "kernel_age": ("snapshot_step", [0, 1, 0, 1]),
            "kernel_error": (
                ("snapshot_step", "kernel"), [[np.nan, np.nan], [0.2, 0.4], [np.nan, np.nan], [np.nan, 0.1]]
            ),
        },
        coords={"snapshot_step": [5, 6, 7, 8], "kernel": ["fixed", "moving"]},
    )  # fmt: skip
    ages, errors = residual.errors_by_age(item)
    assert ages.tolist() == [1]
    np.testing.assert_allclose(errors, [[0.2, 0.2]])


def test_modes_are_counted_by_what_they_do():
    alternating, unstable = residual.counts(
        spectrum([2.5, 1.5, 1.2, 0.9, np.nan], [2.0, 1.0, 0.5, 0.1, np.nan], [3.0, 2.1, 1.9, 1.1, np.nan])
    )
    # At the last snapshot more modes may count than were measured, so the count is unknown.
    np.testing.assert_array_equal(alternating, [2, 1, np.nan])
    np.testing.assert_array_equal(unstable, [1, 0, np.nan])


def test_an_unstable_mode_agrees_with_a_rise_alone():
    item = spectrum([2.5], [2.5], [1.5], [1.5], changes=[0.1, -0.1, 0.1, -0.1])
    assert residual.agrees(item).tolist() == [True, False, False, True]


def test_the_figure_shows_what_is_stored(folder):
    spectra = [netcdf.read(folder / f"{study}0_spectrum.nc") for study in ("dynamical", "static")]
    with style.style():
        figure = drawn(figF10_residual_modes.render({"spectrum": spectra}, {}))
    require_legible_texts(figure)
    titles = [panel(figure, letter).texts[0].get_text() for letter in "ae"]
    assert titles == ["static squared error", "T = 40, A = 20"]
    for letters, study in (("abcd", "static0"), ("efgh", "dynamical0")):
        near = known(folder, study)
        multiples, counts, changes, errors = (panel(figure, letter) for letter in letters)
        assert points(multiples, "even t", "odd t") == stored(near["kernel_multiple"][:, 0])
        plain = points(multiples, "without Γ")
        assert plain == (stored(near["unweighted_multiple"]) if study == "dynamical0" else {})
        assert points(counts, "alternating") == stored(
            near["residual_change"].copy(data=residual.counts(near)[0])
        )
        assert points(changes, "even t", "odd t") == stored(near["residual_change"])
        marked = next(line for line in changes.lines if "wrong" in str(line.get_label()))
        wrong = near["snapshot_step"].values[~residual.agrees(near)]
        assert marked.get_xdata().tolist() == wrong.tolist()
        ages, means = residual.errors_by_age(near)
        for column, name in enumerate(("fixed", "moving")):
            line = next(item for item in errors.lines if item.get_label() == f"{name} kernel")
            np.testing.assert_array_equal(line.get_xdata(), ages)
            np.testing.assert_array_equal(line.get_ydata(), means[:, column])


def stored(values):
    return {int(step): pytest.approx(float(values.sel(snapshot_step=step))) for step in WINDOW}


def test_a_run_that_diverged_is_drawn_empty_and_measures_nothing(folder):
    runs = []
    for study in ("static", "dynamical"):
        run = netcdf.read(folder / f"{study}0_spectrum.nc")
        runs.append(run.assign({name: np.nan * run[name] for name in run.data_vars if name != "kernel_age"}))
    with style.style():
        require_legible_texts(drawn(figF10_residual_modes.render({"spectrum": runs}, {})))
    variables = netcdf.Variables()
    variables.add("seed", ("seed",), range(2), "seed", reference="")
    residual.add_measures(variables, [runs[0], netcdf.read(folder / "static0_spectrum.nc")])
    found = variables.dataset()
    for name in (*residual.MEASURES, "kernel_error"):
        assert found[name].isel(seed=0).isnull().all(), name
        assert found[name].isel(seed=1).notnull().all(), name


@pytest.mark.parametrize(
    ("change", "probes", "words"),
    [
        (
            {"loss": {"kind": "cross_entropy"}},
            PROBES,
            "residual: this probe needs plain sgd on all samples with loss",
        ),
        (
            {"optimiser": {"arguments": {"momentum": 0.9}}},
            PROBES,
            "residual: this probe needs plain sgd",
        ),
        ({}, {"residual": {"modes": 61, "order": 70}}, "residual.modes: the kernel has no more than 39"),
    ],
)
def test_what_has_no_such_modes_is_refused(folder, tmp_path, change, probes, words):
    run = tmp_path / "run.nc"
    command(
        "train-trajectory", "--dataset", folder / "data.nc", "--seed", 0,
        "--settings", json.dumps({**RUN, "amplitude": 1, **change}), "--output", run,
    )  # fmt: skip
    with pytest.raises(UserError, match=words):
        command(
            "probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", run,
            "--settings", json.dumps({"hessian": {"modes": 1}, **probes}), "--output", tmp_path / "s.nc",
        )  # fmt: skip
