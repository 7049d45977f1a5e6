"""Stages through the command line on small real input, compared with numbers computed in another way."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from dynamical_loss import cli, losses, resources
from dynamical_loss.analysis import threshold
from dynamical_loss.analysis.events import SHARPNESS_RULE, events_from_sharpness
from dynamical_loss.config.analysis import InstabilitySettings
from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets import loading
from dynamical_loss.errors import UserError
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.optimisers import optimiser
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs
from dynamical_loss.training import fused_vectors
from stage_commands import command, small_spiral

TRAJECTORY = {
    "model": {"width": 6},
    "period": 40,
    "amplitude": 20,
    "steps": 200,
    "learning_rate": 1.5,
    "snapshots": {"every": 5, "windows": [{"start": 50, "stop": 60, "every": 1}]},
}
PROBES = {
    "hessian": {"losses": ["weighted", "static"], "modes": 3, "order": 45},
    "ntk": {"modes": 2, "order": 40, "notebook_samples": 10},
    "density": {"steps": [0, 101], "order": 20, "probes": 3},
    "batches": {"count": 2, "vectors": 3, "order": 45},
}
PHASE = {"model": {"width": 6}, "steps": 100, "record_every": 20, "precision": "float64"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a dataset, a trajectory, its spectra and its events."""
    path = tmp_path_factory.mktemp("stages")
    small_spiral(path)
    command(
        "train-trajectory", "--dataset", path / "data.nc", "--seed", 3,
        "--settings", json.dumps(TRAJECTORY), "--output", path / "trajectory.nc",
    )  # fmt: skip
    command(
        "probe-spectrum", "--dataset", path / "data.nc", "--trajectory", path / "trajectory.nc",
        "--settings", json.dumps(PROBES), "--output", path / "spectrum.nc",
    )  # fmt: skip
    command(
        "find-instabilities", "--trajectory", path / "trajectory.nc", "--spectrum", path / "spectrum.nc",
        "--output", path / "cascade.nc",
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def objective(folder):
    """Weighted loss as a function of flat parameters and class weights, implemented separately for the test.

    The fixture also holds the Hessian of the loss and the network's outputs; all functions are compiled.
    """
    data = loading.load(folder / "data.nc", Inputs())
    model = MLPSettings(width=6).build(3)
    example = jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (2,), [0]))
    _, unravel = ravel_pytree(example)
    targets = data.one_hot(data.train_labels)
    apply = apply_function(model)

    def outputs(flat):
        return apply(unravel(flat), data.train_inputs)

    def loss(flat, weights):
        return losses.weighted_loss(losses.cross_entropy, outputs(flat), targets, weights)

    return SimpleNamespace(loss=jax.jit(loss), hessian=jax.jit(jax.hessian(loss)), outputs=jax.jit(outputs))


def test_the_trajectory_follows_the_contract(folder):
    stored = netcdf.read(folder / "trajectory.nc")
    assert stored.sizes["step"] == 201
    expected = sorted({*range(0, 201, 5), *range(50, 61)})
    assert stored["snapshot_step"].values.tolist() == expected
    assert stored["parameters"].dims == ("snapshot_step", "parameter")
    assert stored["parameters"].shape == (len(expected), 6 * 2 + 6 + 6 * 3 + 3)
    assert stored["class_weight"].dims == ("step", "class_index")
    assert float(stored["oscillation_end"]) == 160
    np.testing.assert_allclose(stored["class_weight"].sum("class_index"), 3, rtol=1e-12)
    # As in Fig. 4, the last period is static, and F equals the static loss.
    np.testing.assert_allclose(stored["weighted_loss"][160:], stored["loss"][160:], rtol=1e-12)
    assert stored["weighted_loss"].dtype == np.float64


def test_losses_belong_to_the_parameters_of_that_step(folder, objective):
    stored = netcdf.read(folder / "trajectory.nc")
    for step in (0, 55, 200):
        row = stored.sel(step=step, snapshot_step=step)
        with jax.enable_x64(True):
            found = float(objective.loss(row["parameters"].values, row["class_weight"].values))
            assert found == pytest.approx(float(row["weighted_loss"]), rel=1e-12)


@pytest.mark.parametrize("suffix", ["", "_static"])
def test_hessian_eigenvalues_are_those_of_the_dense_hessian(folder, objective, suffix):
    trajectory, spectrum = (netcdf.read(folder / f"{name}.nc") for name in ("trajectory", "spectrum"))
    for step in (20, 57, 200):
        row = trajectory.sel(step=step, snapshot_step=step)
        weights = row["class_weight"].values if suffix == "" else np.ones(3)
        with jax.enable_x64(True):
            dense = np.linalg.eigvalsh(objective.hessian(row["parameters"].values, weights))
        found = spectrum.sel(snapshot_step=step)
        np.testing.assert_allclose(found[f"hessian_eigenvalue{suffix}"], dense[::-1][:3], rtol=1e-9)
        assert float(found[f"hessian_min_eigenvalue{suffix}"]) == pytest.approx(dense[0], abs=1e-10)
        assert found[f"hessian_residual{suffix}"].max() < 1e-8


def test_kernel_eigenvalues_are_those_of_the_dense_kernel(folder, objective):
    trajectory, spectrum = (netcdf.read(folder / f"{name}.nc") for name in ("trajectory", "spectrum"))
    for step in (0, 200):
        with jax.enable_x64(True):
            flat = trajectory["parameters"].sel(snapshot_step=step).values
            jacobian = np.asarray(jax.jacobian(objective.outputs)(flat))
        flat = jacobian.reshape(-1, jacobian.shape[-1])
        found = spectrum.sel(snapshot_step=step)
        assert found["ntk_eigenvalue"].dims == found["hessian_eigenvalue"].dims == ("mode",)
        assert np.isnan(found["ntk_eigenvalue"][2])  # three modes of the Hessian, two of the kernel
        np.testing.assert_allclose(
            found["ntk_eigenvalue"][:2], np.linalg.eigvalsh(flat @ flat.T)[::-1][:2], rtol=1e-9
        )
        few = jacobian[:10]
        notebook = np.einsum("icp,jcp->ij", few, few) / 3
        np.testing.assert_allclose(
            found["ntk_eigenvalue_notebook"][:2], np.linalg.eigvalsh(notebook)[::-1][:2], rtol=1e-9
        )


def test_curvature_along_gradients_is_that_of_the_dense_hessian(folder, objective):
    """All samples are in one batch: gᵀHg / |g|², and a step of η = 1.5."""
    trajectory, spectrum = (netcdf.read(folder / f"{name}.nc") for name in ("trajectory", "spectrum"))
    for step in (20, 57):
        row = trajectory.sel(step=step, snapshot_step=step)
        flat, weights = row["parameters"].values, row["class_weight"].values
        with jax.enable_x64(True):
            gradient = np.asarray(jax.grad(objective.loss)(flat, weights))
            hessian = np.asarray(objective.hessian(flat, weights))
            change = float(objective.loss(flat - 1.5 * gradient, weights) - objective.loss(flat, weights))
        found = spectrum.sel(snapshot_step=step)
        along = gradient @ hessian @ gradient / (gradient @ gradient)
        for name in ("batch_sharpness", "gradient_noise_interaction"):
            assert float(found[name]) == pytest.approx(along, rel=1e-9)
        assert float(found["one_step_change"]) == pytest.approx(change, rel=1e-9)
        assert float(found["gauss_newton_residual"]) < 1e-8


def test_density_is_that_of_the_nearest_snapshots(folder):
    spectrum = netcdf.read(folder / "spectrum.nc")
    assert spectrum["density_step"].values.tolist() == [0, 100]
    np.testing.assert_allclose(spectrum["density_weight"].sum("node"), 1, rtol=1e-10)
    top = spectrum["hessian_eigenvalue"].sel(snapshot_step=[0, 100]).values[:, 0]
    # Ritz values never exceed the largest eigenvalue.
    assert (spectrum["density_node"].max(("probe", "node")).values <= top * (1 + 1e-9)).all()


def test_events_are_those_of_the_rules(folder):
    trajectory, spectrum, table = (
        netcdf.read(folder / f"{name}.nc") for name in ("trajectory", "spectrum", "cascade")
    )
    regular = spectrum["snapshot_step"].values % 5 == 0
    found = events_from_sharpness(
        spectrum["snapshot_step"].values[regular],
        spectrum["hessian_eigenvalue"].values[regular, 0],
        period=40,
        tolerance=InstabilitySettings().tolerance / 1.5,
        oscillation_end=160,
    )
    mine = table["event_rule"].values == SHARPNESS_RULE
    assert table["event_start"].values[mine].tolist() == [event.start for event in found]
    assert len(found) > 0
    expected = threshold.threshold(found)
    assert float(table["threshold_all"].sel(rule="sharpness")) == pytest.approx(expected.all.mean)
    assert table["unstable_period"].shape == (2, 4)
    assert trajectory.attrs["seeds"] == "[3]"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"tolerance": 0.08, "tolerance_at_rate": "fixed"}, {"tolerance": 0.08}),
        ({"difference": "plain"}, {"tolerance": 0.1 / 1.5, "detrend": False}),
        ({"reading": "flagged"}, {"tolerance": 0.1 / 1.5, "read_inside": True}),
        (
            {"tolerance": 0.08, "tolerance_at_rate": "fixed", "minimum_snapshots": 1},
            {"tolerance": 0.08, "minimum_snapshots": 1},
        ),
    ],
)
def test_every_reading_of_the_paper_s_rule_reaches_the_events(folder, tmp_path, settings, options):
    command(
        "find-instabilities", "--trajectory", folder / "trajectory.nc", "--spectrum", folder / "spectrum.nc",
        "--settings", json.dumps(settings), "--output", tmp_path / "events.nc",
    )  # fmt: skip
    spectrum, table = netcdf.read(folder / "spectrum.nc"), netcdf.read(tmp_path / "events.nc")
    regular = spectrum["snapshot_step"].values % 5 == 0
    expected = events_from_sharpness(
        spectrum["snapshot_step"].values[regular],
        spectrum["hessian_eigenvalue"].values[regular, 0],
        period=40,
        oscillation_end=160,
        **options,
    )
    mine = table["event_rule"].values == SHARPNESS_RULE
    for name in ("start", "finish", "sharpness_at_start", "sharpness_at_finish"):
        found = table[f"event_{name}"].values[mine]
        np.testing.assert_allclose(found, [getattr(event, name) for event in expected])
    assert len(expected) > 0


def test_a_period_may_have_a_step_of_rest_as_in_the_notebooks(folder, tmp_path):
    """With T = 40 and one step of rest, 4 cycles of 41 steps fit into 200; the last of them is static."""
    settings = {**TRAJECTORY, "loss": {"rest_steps": 1}}
    command(
        "train-trajectory", "--dataset", folder / "data.nc", "--seed", 3,
        "--settings", json.dumps(settings), "--output", tmp_path / "rest.nc",
    )  # fmt: skip
    stored = netcdf.read(tmp_path / "rest.nc")
    steps = stored["step"].values
    cycles = settings["steps"] // 41
    assert int(stored["oscillation_end"]) == 41 * (cycles - 1)
    found = stored["class_weight"].values
    calm = np.isclose(found, 1.0).all(axis=1)
    within = steps % 41
    expected = (within == 0) | (within == 40) | (steps >= 41 * (cycles - 1))
    np.testing.assert_array_equal(calm, expected)


def test_thresholds_are_gathered_by_learning_rate_width_and_seed(folder, tmp_path):
    command("fit-threshold", folder / "cascade.nc", "--output", tmp_path / "threshold.nc")
    stored = netcdf.read(tmp_path / "threshold.nc")
    source = netcdf.read(folder / "cascade.nc")
    assert stored["threshold"].dims == ("learning_rate", "width", "seed")
    found = stored["threshold"].sel(learning_rate=1.5, width=6, seed=3)
    assert float(found) == pytest.approx(float(source["threshold_all"].sel(rule="sharpness")))
    assert np.isnan(stored["exponent_interval"]).all()  # a power law needs several learning rates
    assert (stored["event_width"] == 6).all() and stored.sizes["event"] == source.sizes["event"]


def test_every_result_records_the_settings_of_its_data(folder, tmp_path):
    command("fit-threshold", folder / "cascade.nc", "--output", tmp_path / "threshold.nc")
    made = [folder / f"{name}.nc" for name in ("data", "trajectory", "spectrum", "cascade")]
    for path in (*made, tmp_path / "threshold.nc"):
        attributes = netcdf.read(path).attrs
        assert attributes["dataset"] == "spiral"
        assert attributes["dataset_settings"] == netcdf.read(made[0]).attrs["settings"]


def block(folder, output, *options, **settings):
    command(
        "train-phase-block", "--dataset", folder / "data.nc", *options,
        "--settings", json.dumps({**PHASE, **settings}), "--output", output,
    )  # fmt: skip
    return netcdf.read(output)


def test_a_block_ends_where_the_trajectory_of_the_same_settings_ends(folder, tmp_path):
    found = block(
        folder, tmp_path / "T40_A20_seeds3-3.nc",
        "--period", 40, "--amplitude", 20, "--first-seed", 3, "--last-seed", 3,
        learning_rate=1.5, steps=200,
    )  # fmt: skip
    trajectory = netcdf.read(folder / "trajectory.nc")
    assert found["step"].values.tolist() == list(range(0, 201, 20))
    for name in ("loss", "weighted_loss", "train_accuracy", "validation_accuracy"):
        np.testing.assert_allclose(found[name][0, 0], trajectory[name].sel(step=found["step"]), rtol=1e-8)


@pytest.mark.parametrize("rest", [0, 1, 7])
def test_the_static_loss_is_trained_whatever_the_rest_between_periods(folder, tmp_path, rest):
    seeds = ("--first-seed", 3, "--last-seed", 3)
    found = block(folder, tmp_path / "static.nc", *seeds, loss={"rest_steps": rest})
    plain = block(folder, tmp_path / "plain.nc", *seeds)
    np.testing.assert_array_equal(found["loss"], plain["loss"])


def test_either_engine_may_be_asked_for_and_is_recorded(folder, tmp_path):
    files = {
        engine: block(folder, tmp_path / f"{engine}.nc", "--first-seed", 3, "--last-seed", 3,
                      engine=engine, steps=100, precision="float64")
        for engine in ("auto", "fused", "xla")
    }  # fmt: skip
    assert {engine: file.attrs["engine"] for engine, file in files.items()} == {
        "auto": "fused", "fused": "fused", "xla": "xla",
    }  # fmt: skip
    assert files["auto"].attrs["computed_by"] == f"numba with vectors of {8 * fused_vectors.BYTES} bits"
    assert "computed_by" not in files["xla"].attrs
    np.testing.assert_array_equal(files["auto"]["loss"], files["fused"]["loss"])
    np.testing.assert_allclose(files["xla"]["loss"], files["fused"]["loss"], rtol=1e-9)


def test_the_fused_engine_is_refused_where_it_does_not_apply(tmp_path, capsys):
    data = tmp_path / "data.nc"
    command("prepare-dataset", "--output", data, "--settings", '{"classes": 11, "points_per_class": 5}')
    settings = '{"engine": "fused", "steps": 10}'
    with pytest.raises(SystemExit):
        cli.main(["train-phase-block", "--dataset", str(data), "--settings", settings,
                  "--output", str(tmp_path / "x.nc")])  # fmt: skip
    message = capsys.readouterr().err.strip()
    assert "engine: fused needs a CPU" in message and "\n" not in message


def test_the_phase_diagram_gathers_cells_and_shares_the_static_one(folder, tmp_path):
    settings = {**PHASE, "periods": [10, 20], "amplitudes": [1, 5], "seeds": 3, "seeds_per_block": 2}
    parts = {}
    for period, amplitude in ((None, 1.0), (10, 5.0), (20, 5.0)):
        for first in (0, 2):
            name = ("static" if period is None else f"T{period}_A5") + f"_seeds{first}-{first + 1}"
            options = [] if period is None else ["--period", period]
            parts[name] = block(
                folder, tmp_path / f"{name}.nc", *options, "--amplitude", amplitude,
                "--first-seed", first, "--last-seed", first + 1,
            )  # fmt: skip
    paths = [tmp_path / f"{name}.nc" for name in parts]
    command("aggregate-phase", *paths, "--settings", json.dumps(settings), "--output", tmp_path / "phase.nc")
    phase = netcdf.read(tmp_path / "phase.nc")
    for name in ("train_accuracy", "validation_accuracy", "diverged"):
        assert phase[name].dims == ("period", "amplitude", "seed")
    assert phase["train_accuracy"].shape == (2, 2, 3)
    static = phase["train_accuracy"].sel(amplitude=1)
    np.testing.assert_array_equal(static.sel(period=10), static.sel(period=20))
    assert float(phase["train_accuracy"].sel(period=20, amplitude=5, seed=2)) == float(
        parts["T20_A5_seeds2-3"]["train_accuracy"].sel(amplitude=5, seed=2, step=100)
    )
    with pytest.raises(UserError, match="no given block holds T = 20, A = 5, seed 0"):
        command(
            "aggregate-phase", *[p for p in paths if "T20" not in p.name],
            "--settings", json.dumps(settings), "--output", tmp_path / "other.nc",
        )  # fmt: skip
    with pytest.raises(UserError, match=r"seeds0-1\.nc was made with other settings"):
        command(
            "aggregate-phase", *paths, "--settings", json.dumps({**settings, "learning_rate": 0.5}),
            "--output", tmp_path / "other.nc",
        )  # fmt: skip
    assert not (tmp_path / "other.nc").exists()


def test_draws_of_the_data_are_gathered(folder, tmp_path):
    grid = {**PHASE, "periods": [10], "amplitudes": [1], "seeds": 2, "seeds_per_block": 2}
    diagrams = []
    for seed in (5, 6):
        data = tmp_path / f"spiral_noise{seed}.nc"
        points = json.dumps({"points_per_class": 12, "turns": 1, "train_seed": seed})
        command("prepare-dataset", "--settings", points, "--output", data)
        name = tmp_path / f"{seed}" / "static_seeds0-1.nc"
        command(
            "train-phase-block", "--dataset", data,
            "--settings", json.dumps({**PHASE, "dataset": f"spiral_noise{seed}"}),
            "--last-seed", 1, "--output", name,
        )  # fmt: skip
        diagrams.append(tmp_path / f"phase_noise{seed}.nc")
        study = json.dumps({**grid, "dataset": f"spiral_noise{seed}"})
        command("aggregate-phase", name, "--settings", study, "--output", diagrams[-1])

    def gather(*paths, **changed):
        settings = json.dumps({**grid, "noise_seeds": [6, 5], **changed})
        command("gather-draws", *paths, "--settings", settings, "--output", tmp_path / "all.nc")
        return netcdf.read(tmp_path / "all.nc")

    found = gather(*diagrams)
    for seed, path in zip((5, 6), diagrams, strict=True):
        one = netcdf.read(path)["loss"]
        np.testing.assert_array_equal(found["loss"].sel(noise_seed=seed).values, one.values)
    assert found["loss"].sel(noise_seed=5).values.tolist() != found["loss"].sel(noise_seed=6).values.tolist()
    assert json.loads(found.attrs["dataset_settings"])["train_seed"] == [6, 5]
    assert found.attrs["dataset_description"].startswith("2 draws of the data (seeds 6, 5), the first")
    (tmp_path / "all.nc").unlink()
    with pytest.raises(UserError, match="noise_seeds is empty"):
        gather(*diagrams, noise_seeds=[])
    with pytest.raises(UserError, match="no file was given for the data drawn with seed 7"):
        gather(*diagrams, noise_seeds=[5, 7])
    with pytest.raises(UserError, match=r"phase_noise6\.nc was made with other settings"):
        gather(*diagrams, learning_rate=0.5)
    other = tmp_path / "phase_noise5b.nc"
    netcdf.write(
        netcdf.read(diagrams[0]).assign_attrs(dataset_settings='{"kind": "spiral", "train_seed": 5}'), other
    )
    with pytest.raises(UserError, match="in more of its data settings than the seed"):
        gather(other, diagrams[1])
    assert not (tmp_path / "all.nc").exists()
    # Draws can be added to a file of several draws, and the order of the draws is that of the settings.
    gather(diagrams[1], noise_seeds=[6])
    (tmp_path / "all.nc").rename(tmp_path / "some.nc")
    xr.testing.assert_identical(gather(diagrams[0], tmp_path / "some.nc").drop_attrs(), found.drop_attrs())
    (tmp_path / "all.nc").unlink()
    with pytest.raises(UserError, match=r"both hold the draw 6"):
        gather(*diagrams, tmp_path / "some.nc")


def test_runs_of_a_study_are_gathered_at_their_snapshots(folder, tmp_path):
    study = json.dumps({**TRAJECTORY, "snapshots": {"every": 5}})
    probes = json.dumps({"hessian": {"modes": 2, "order": 40}})
    files = []
    for seed in (1, 0):
        run, spectrum = tmp_path / f"run{seed}.nc", tmp_path / f"spectrum{seed}.nc"
        command("train-trajectory", "--dataset", folder / "data.nc", "--seed", seed, "--settings", study,
                "--output", run)  # fmt: skip
        command("probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", run, "--settings", probes,
                "--output", spectrum)  # fmt: skip
        files.append((run, spectrum))

    def gather(*runs):
        options = [word for run, spectrum in runs for word in ("--trajectory", run, "--spectrum", spectrum)]
        command("gather-runs", *options, "--output", tmp_path / "all.nc")
        return netcdf.read(tmp_path / "all.nc")

    found = gather(*files)
    assert found["seed"].values.tolist() == [0, 1]
    for seed, (run, spectrum) in zip((1, 0), files, strict=True):
        one, curvature = netcdf.read(run), netcdf.read(spectrum)
        steps = one["snapshot_step"].values
        for name in ("loss", "weighted_loss", "train_accuracy", "validation_accuracy"):
            np.testing.assert_array_equal(
                found[name].sel(seed=seed), one[name].values[steps].astype(np.float32)
            )
        largest = curvature["hessian_eigenvalue"].values[:, 0]
        np.testing.assert_array_equal(found["sharpness"].sel(seed=seed), largest.astype(np.float32))
    assert (
        found["sharpness"].attrs["long_name"].startswith("largest eigenvalue of the Hessian of the weighted")
    )
    (tmp_path / "all.nc").unlink()
    with pytest.raises(UserError, match="do not have the seeds 0 to n-1"):
        gather(files[0])
    with pytest.raises(UserError, match="do not have the seeds 0 to n-1"):
        gather(files[0], files[0])
    with pytest.raises(UserError, match="was not made from"):
        gather((files[0][0], files[1][1]), (files[1][0], files[0][1]))
    with pytest.raises(UserError, match=r"trajectory\.nc belongs to another study than"):
        gather(files[0], (folder / "trajectory.nc", folder / "spectrum.nc"))
    with pytest.raises(UserError, match="2 trajectories and 1 spectra"):
        command("gather-runs", "--trajectory", files[0][0], "--trajectory", files[1][0],
                "--spectrum", files[0][1], "--output", tmp_path / "all.nc")  # fmt: skip
    assert not (tmp_path / "all.nc").exists()


def test_amplitudes_may_share_a_block(folder, tmp_path):
    cell = ("--period", 10, "--first-seed", 0, "--last-seed", 1)
    together = block(folder, tmp_path / "T10_A5_7.5_seeds0-1.nc", *cell, "--amplitude", 5, "--amplitude", 7.5)
    for amplitude, name in ((5, "T10_A5_seeds0-1"), (7.5, "T10_A7.5_seeds0-1")):
        alone = block(folder, tmp_path / f"{name}.nc", *cell, "--amplitude", amplitude)
        for variable in ("loss", "train_accuracy", "diverged"):
            np.testing.assert_array_equal(together[variable].sel(amplitude=[amplitude]), alone[variable])
    static = block(folder, tmp_path / "static_seeds0-1.nc", "--last-seed", 1)
    settings = {**PHASE, "periods": [10], "amplitudes": [1, 5, 7.5], "seeds": 2, "seeds_per_block": 2}
    command(
        "aggregate-phase", tmp_path / "static_seeds0-1.nc", tmp_path / "T10_A5_7.5_seeds0-1.nc",
        "--settings", json.dumps({**settings, "amplitudes_per_block": 2}), "--output", tmp_path / "phase.nc",
    )  # fmt: skip
    aggregated = netcdf.read(tmp_path / "phase.nc")
    assert (aggregated.attrs["engine"], aggregated.attrs["trained_on"]) == ("fused", "cpu")
    phase = aggregated["loss"].sel(period=10)
    np.testing.assert_array_equal(phase.sel(amplitude=[5, 7.5]), together["loss"].isel(step=-1))
    np.testing.assert_array_equal(phase.sel(amplitude=[1]), static["loss"].isel(step=-1))


def test_a_diverged_block_is_recorded_as_such(folder, tmp_path):
    found = block(folder, tmp_path / "b.nc", "--last-seed", 1, learning_rate=1e30, loss={"kind": "mse"})
    assert found["diverged"].values.tolist() == [[1, 1]]
    assert (found["divergence_step"] == 20).all()
    assert (found["train_accuracy"].isel(step=-1) == 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train-phase-block", "--amplitude", "2"], ["--period is missing"]),
        (
            ["train-phase-block", "--period", "9", "--amplitude", "1", "--amplitude", "2"],
            ["1 must be the only one"],
        ),
        (["train-phase-block", "--period", "9", "--amplitude", "nan"], ["--amplitude", "at least 1"]),
        (["train-phase-block", "--first-seed", "2"], ["--last-seed 0 is smaller than --first-seed 2"]),
        (["train-phase-block", "--period", "99999", "--amplitude", "2"], ["leaves no static period"]),
        (["train-phase-block", "--settings", "{stepz: 3}"], ["unknown key 'stepz'", "'steps'"]),
        (["train-phase-block", "--settings", "{a"], ["--settings", "not valid"]),
        (["train-phase-block", "--settings", "nothing.yaml"], ["nothing.yaml", "neither JSON nor a file"]),
        (["train-trajectory", "--settings", '{"amplitude": 0.5}'], ["amplitude", "at least 1"]),
    ],
)
def test_mistakes_end_with_one_line_and_status_2(folder, tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--dataset", str(folder / "data.nc"), "--output", str(tmp_path / "x.nc")])
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ") and "\n" not in message
    for word in words:
        assert word in message
    assert not (tmp_path / "x.nc").exists()


def test_a_trajectory_and_a_dataset_that_do_not_belong_together_are_refused(folder, tmp_path):
    settings = json.dumps({"classes": 4, "points_per_class": 5})
    command("prepare-dataset", "--settings", settings, "--output", tmp_path / "four.nc")
    with pytest.raises(UserError, match=r"trajectory\.nc was not made from .*four\.nc as it is now"):
        command(
            "probe-spectrum", "--dataset", tmp_path / "four.nc",
            "--trajectory", folder / "trajectory.nc", "--output", tmp_path / "s.nc",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ({"hessian": {"modes": 900, "order": 900}}, "hessian.modes: the network has only"),
        ({"ntk": {"modes": 900, "order": 900}}, "ntk.modes: the kernel has no more than"),
        ({"density": {"steps": [10**6]}}, "density.steps: 1000000 lies beyond the run of"),
    ],
)
def test_probes_that_ask_for_more_than_there_is_are_refused(folder, tmp_path, probes, words):
    """The command applies the same rules as a study."""
    with pytest.raises(UserError, match=f"^--settings: {words}"):
        command(
            "probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", folder / "trajectory.nc",
            "--settings", json.dumps(probes), "--output", tmp_path / "s.nc",
        )  # fmt: skip


def test_a_run_that_is_larger_than_the_machine_says_so_before_it_starts(capfd):
    resources.warn_of_memory(resources.Demand(10**9, 1))
    assert capfd.readouterr().err.startswith(
        "this command may need 1000000000 MB of memory, and the machine has "
    )
    resources.warn_of_memory(resources.Demand(1, 1))
    assert capfd.readouterr().err == ""


def test_a_spectrum_of_another_trajectory_is_refused(folder, tmp_path):
    command(
        "train-trajectory", "--dataset", folder / "data.nc", "--seed", 4,
        "--settings", json.dumps(TRAJECTORY), "--output", tmp_path / "other.nc",
    )  # fmt: skip
    with pytest.raises(UserError, match=r"spectrum\.nc was not made from .*other\.nc as it is now"):
        command(
            "find-instabilities", "--trajectory", tmp_path / "other.nc", "--spectrum", folder / "spectrum.nc",
            "--output", tmp_path / "c.nc",
        )  # fmt: skip
    assert not (tmp_path / "c.nc").exists()


def test_an_analysis_counts_once(folder, tmp_path):
    with pytest.raises(UserError, match="has the width, learning rate and seed of another given file"):
        command("fit-threshold", *[folder / "cascade.nc"] * 2, "--output", tmp_path / "threshold.nc")


def test_an_analysis_of_a_network_without_width_is_refused(folder, tmp_path):
    """Only a command by hand can ask for it, because the configuration refuses such a study."""
    analysis = netcdf.read(folder / "cascade.nc")
    settings = recorded.settings_of(analysis)
    settings["trajectory"]["model"] = {"kind": "myrtle5", "channels": 4}
    netcdf.write(analysis.assign_attrs(settings=json.dumps(settings)), tmp_path / "images.nc")
    with pytest.raises(UserError, match=r"images\.nc: this kind of network has no width; give analyses of"):
        command("fit-threshold", tmp_path / "images.nc", "--output", tmp_path / "threshold.nc")


def test_analyses_of_several_readings_are_not_mixed(folder, tmp_path):
    command(
        "find-instabilities", "--trajectory", folder / "trajectory.nc", "--spectrum",
        folder / "spectrum.nc", "--settings", '{"tolerance_at_rate": "fixed"}', "--output", tmp_path / "c.nc",
    )  # fmt: skip
    command("fit-threshold", tmp_path / "c.nc", "--output", tmp_path / "threshold.nc")
    reading = recorded.settings_of(netcdf.read(tmp_path / "threshold.nc"))["reading"]
    assert reading == {**InstabilitySettings().model_dump(), "tolerance_at_rate": "fixed"}
    with pytest.raises(UserError, match="was made with other settings than"):
        command("fit-threshold", folder / "cascade.nc", tmp_path / "c.nc", "--output", tmp_path / "both.nc")


def test_the_loss_rule_needs_every_step(folder, tmp_path):
    settings = {**TRAJECTORY, "record_every": 5, "snapshots": {"every": 5}}
    require_no_instabilities(folder, tmp_path, settings, r"t\.nc: .*step")


def require_no_instabilities(folder, tmp_path, settings, words):
    """Check that the analysis of instabilities refuses a run with these settings, t.nc."""
    command(
        "train-trajectory", "--dataset", folder / "data.nc", "--seed", 3,
        "--settings", json.dumps(settings), "--output", tmp_path / "t.nc",
    )  # fmt: skip
    command(
        "probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", tmp_path / "t.nc",
        "--settings", '{"hessian": {"modes": 1, "order": 5}}', "--output", tmp_path / "s.nc",
    )  # fmt: skip
    with pytest.raises(UserError, match=words):
        command(
            "find-instabilities", "--trajectory", tmp_path / "t.nc", "--spectrum", tmp_path / "s.nc",
            "--output", tmp_path / "c.nc",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "rates"),
    [
        ({"learning_rate_rule": {"kind": "dal", "constant": 0.1, "cap": 0.2}}, (0.2, 0.1)),
        ({"learning_rate_schedule": [[0, 1], [1, 0]]}, (1.0, 0.0)),
    ],
)
def test_instabilities_are_held_against_one_learning_rate(folder, tmp_path, changed, rates):
    """The trajectory's file records η(t); no threshold is compared with a wrong learning rate."""
    settings = {**TRAJECTORY, **changed}
    words = r"t\.nc was trained with a changing learning rate"
    require_no_instabilities(folder, tmp_path, settings, words)
    found = netcdf.read(tmp_path / "t.nc")["learning_rate"].values / settings["learning_rate"]
    assert found.max() == pytest.approx(rates[0])
    assert found.min() <= rates[1]


def test_a_settings_file_may_be_yaml(folder, tmp_path):
    (tmp_path / "settings.yaml").write_text(
        "model: {width: 6}\nsteps: 60\nrecord_every: 20\n", encoding="utf-8"
    )
    command(
        "train-phase-block", "--dataset", folder / "data.nc", "--output", tmp_path / "b.nc",
        "--settings", tmp_path / "settings.yaml",
    )  # fmt: skip
    stored = recorded.settings_of(netcdf.read(tmp_path / "b.nc"))
    assert TrainingSettings.model_validate(
        {key: value for key, value in stored.items() if key != "block"}
    ) == TrainingSettings(model=MLPSettings(width=6), steps=60, record_every=20)


@pytest.mark.parametrize("name", sorted(cli.commands.commands))
def test_help_states_defaults(name):
    text = command(name, "--help")
    for option in cli.commands.commands[name].params:
        if option.param_type_name == "option" and not option.is_eager:
            assert option.help, option.name
            stated = option.required or option.multiple or option.show_default or "leave out" in option.help
            assert stated, option.name
    if name == "train-trajectory":
        assert "period [5000]: T, period" in text
        assert "learning_rate [1.0]: η" in text


def test_documenting_a_configuration_keeps_its_values(tmp_path):
    small = tmp_path / "config.yaml"
    small.write_text(
        (cli.Path(__file__).parents[3] / "config.yaml")
        .read_text(encoding="utf-8")
        .replace("periods: [200]", "periods: [300]"),
        encoding="utf-8",
    )
    command("document-config", small, "--schema", tmp_path / "schema.json")
    assert "periods: [300]" in small.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8"))["title"] == "Config"


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_snapshots_hold_what_the_optimiser_remembers(folder, objective, tmp_path, kind):
    """From any snapshot, the next step of the optimiser leads to the next snapshot."""
    arguments = {"momentum": 0.9, "nesterov": True} if kind == "sgd" else {}
    settings = {
        **TRAJECTORY,
        "learning_rate": 0.05,
        "optimiser": {"kind": kind, "arguments": arguments},
        "steps": 90,
        "snapshots": {"every": 1, "optimiser_state": True},
    }
    command("train-trajectory", "--dataset", folder / "data.nc", "--settings", json.dumps(settings),
            "--output", tmp_path / "run.nc")  # fmt: skip
    probes = json.dumps({"hessian": {"modes": 1, "order": 20}, "optimiser": {"order": 60}})
    command("probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", tmp_path / "run.nc",
            "--settings", probes, "--output", tmp_path / "spectrum.nc")  # fmt: skip
    stored, spectrum = netcdf.read(tmp_path / "run.nc"), netcdf.read(tmp_path / "spectrum.nc")
    with jax.enable_x64(True):
        chosen = optimiser(kind, arguments)(0.05)
        flat = stored["parameters"].values
        example = jnp.asarray(flat[0])
        _, unravel = ravel_pytree((example, chosen.init(example)))
        for step in (0, 1, 50):
            row = stored.sel(step=step)
            both = np.concatenate([flat[step], stored["optimiser_state"].values[step]])
            _, state = unravel(jnp.asarray(both))
            gradient = jax.grad(objective.loss)(flat[step], row["class_weight"].values)
            updates, _ = chosen.update(gradient, state, example)
            np.testing.assert_allclose(flat[step] + updates, flat[step + 1], rtol=1e-9, atol=1e-12)
    assert ("preconditioned_sharpness" in spectrum) == (kind == "adam")
    if kind == "sgd":
        # The largest curvature contributes the smaller root of this polynomial, if its roots are real.  So
        # the smallest multiplier is at most this root.
        sharp = spectrum["hessian_eigenvalue"].values[50, 0]
        shrink = 0.05 * sharp
        root = np.roots([1, -1.9 * (1 - shrink), 0.9 * (1 - shrink)]).real.min()
        assert float(spectrum["flip_multiplier"][50]) <= root + 1e-6
    command("train-trajectory", "--dataset", folder / "data.nc", "--output", tmp_path / "less.nc",
            "--settings", json.dumps({**settings, "snapshots": {"every": 15}}))  # fmt: skip
    with pytest.raises(UserError, match=r"set snapshots\.optimiser_state to true"):
        command("probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", tmp_path / "less.nc",
                "--settings", probes, "--output", tmp_path / "none.nc")  # fmt: skip
