"""Stages on images: the same commands and files as for points, with convolutional networks and batches."""

import json

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from jax.flatten_util import ravel_pytree

from dynamical_loss import cli, losses
from dynamical_loss.config.training import PhaseSettings
from dynamical_loss.datasets import loading
from dynamical_loss.errors import UserError
from dynamical_loss.grid import Block
from dynamical_loss.models import native
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.probes import spectra
from dynamical_loss.results import netcdf, recorded
from dynamical_loss.results.record import Inputs
from stage_commands import command

DIGITS = {"kind": "digits", "train_samples": 33, "validation_samples": 21}
RUN = {
    "model": {"kind": "myrtle5", "channels": 2},
    "optimiser": {"arguments": {"momentum": 0.9, "nesterov": True}},
    "precision": "float64",
    "batch_size": 10,
    "learning_rate": 0.05,
    "learning_rate_schedule": [[0, 0], [0.5, 1], [1, 0.1]],
    "oscillation_stop": 0.75,
    "epochs": 5,
}
TRAJECTORY = {
    **RUN,
    "evaluation_samples": 15,
    "period": 4,
    "amplitude": 5,
    "record_every": 1,
    "snapshots": {"every": 5},
}
PROBES = {"hessian": {"losses": ["weighted", "static"], "modes": 2, "order": 146}}
STEPS = 20  # five epochs of four batches; the last batch has three samples


def as_dataset(folder, settings, name="data.nc"):
    command("prepare-dataset", "--settings", json.dumps(settings), "--output", folder / name)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a dataset of digits, a trajectory on it, and the spectrum of the trajectory."""
    path = tmp_path_factory.mktemp("images")
    as_dataset(path, DIGITS)
    command(
        "train-trajectory", "--dataset", path / "data.nc", "--seed", 3,
        "--settings", json.dumps(TRAJECTORY), "--output", path / "trajectory.nc",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        # Fifteen samples, six at a time: two full parts and a rest.
        patch.setattr(spectra, "_SAMPLES", 6)
        command(
            "probe-spectrum", "--dataset", path / "data.nc", "--trajectory", path / "trajectory.nc",
            "--settings", json.dumps(PROBES), "--output", path / "spectrum.nc",
        )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def block(folder):
    """Block with two amplitudes and two seeds of the same training."""
    cells = ["--period", 4, "--amplitude", 5, "--amplitude", 9, "--first-seed", 3, "--last-seed", 4]
    command(
        "train-phase-block", "--dataset", folder / "data.nc", *cells,
        "--settings", json.dumps({**RUN, "record_every": 5}), "--output", folder / "T4_A5_A9_seeds3-4.nc",
    )  # fmt: skip
    return netcdf.read(folder / "T4_A5_A9_seeds3-4.nc")


@pytest.fixture(scope="module")
def loss(folder):
    """Weighted loss as a function of flat parameters and class weights, implemented again for the test."""
    samples = 15
    data = loading.load(folder / "data.nc", Inputs())
    model = Myrtle5Settings(kind="myrtle5", channels=2).build(10)
    example = jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (8, 8, 1), [0]))
    _, unravel = ravel_pytree(example)
    inputs = np.asarray(data.train_inputs[:samples], np.float64)
    targets = data.one_hot(data.train_labels)[:samples]
    apply = apply_function(model)
    return lambda flat, class_weight: losses.weighted_loss(
        losses.cross_entropy, apply(unravel(flat), inputs), targets, class_weight
    )


@pytest.fixture(scope="module")
def dense_hessian(loss):
    return jax.jit(jax.hessian(loss))


def test_lengths_in_epochs_become_steps(folder):
    stored = netcdf.read(folder / "trajectory.nc")
    origin = recorded.settings_of(stored)
    assert (origin["epochs"], origin["steps"]) == (5, STEPS)
    assert stored.attrs["steps_per_epoch"] == 4
    assert stored["step"].values.tolist() == list(range(STEPS + 1))


def test_the_learning_rate_and_the_oscillation_follow_the_settings(folder):
    stored = netcdf.read(folder / "trajectory.nc")
    expected = 0.05 * np.interp(np.arange(STEPS + 1) / STEPS, [0, 0.5, 1], [0, 1, 0.1])
    np.testing.assert_allclose(stored["learning_rate"], expected, rtol=1e-12)
    assert int(stored["oscillation_end"]) == 15
    weights = stored["class_weight"].values
    assert (weights[15:] == 1).all()
    assert (weights[14] != 1).any()
    # η = 0 at the first step, which therefore changes nothing.
    parameters = stored["parameters"].sel(snapshot_step=[0, 5]).values
    assert (parameters[0] != parameters[1]).any()
    assert stored["loss"][1] == stored["loss"][0]
    assert stored["loss"][2] != stored["loss"][1]


def test_results_say_what_they_were_trained_on(folder, block):
    wanted = {
        "dataset": "digits",
        "train_samples": 33,
        "validation_samples": 21,
        "steps_per_epoch": 4,
    }
    for stored in (netcdf.read(folder / "trajectory.nc"), netcdf.read(folder / "spectrum.nc"), block):
        assert wanted.items() <= stored.attrs.items()
        assert "33 + 21 images" in stored.attrs["dataset_description"]


def test_records_look_at_the_samples_asked_for(folder, loss):
    stored, compiled = netcdf.read(folder / "trajectory.nc"), jax.jit(loss)
    for step in stored["snapshot_step"].values:
        here = stored.sel(step=step, snapshot_step=step)
        with jax.enable_x64(True):
            for name, weights in (("weighted_loss", here["class_weight"].values), ("loss", np.ones(10))):
                expected = float(compiled(here["parameters"].values, weights))
                assert float(here[name]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", ["", "_static"])
def test_hessian_eigenvalues_in_parts_are_those_of_the_dense_hessian(folder, dense_hessian, kind):
    trajectory, spectrum = (netcdf.read(folder / f"{name}.nc") for name in ("trajectory", "spectrum"))
    assert trajectory.sizes["parameter"] == 9 * 2 + 3 * 9 * 4 + 20
    for step in (5, 10):
        here = trajectory.sel(step=step, snapshot_step=step)
        weights = np.ones(10) if kind else here["class_weight"].values
        with jax.enable_x64(True):
            dense = dense_hessian(here["parameters"].values, weights)
            values = np.linalg.eigvalsh(dense)
        found = spectrum.sel(snapshot_step=step)[f"hessian_eigenvalue{kind}"].values
        np.testing.assert_allclose(found, values[::-1][:2], rtol=1e-8)


@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_a_mean_in_parts_is_the_mean(size):
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(9, 4)), generator.normal(size=(9,))
    flat = generator.normal(size=4)

    def mean(flat, inputs, targets):
        return jax.numpy.mean(jax.numpy.tanh(inputs @ flat - targets) ** 2)

    with jax.enable_x64(True):
        whole = jax.hessian(lambda flat: mean(flat, *samples))(flat)
        parts = jax.hessian(
            lambda flat: spectra.mean_in_parts(mean, flat, tuple(map(jax.numpy.asarray, samples)), size)
        )(flat)
    np.testing.assert_allclose(parts, whole, rtol=1e-10, atol=1e-14)

    def means(flat, inputs, targets):
        each = jax.numpy.tanh(inputs @ flat - targets)
        return jax.numpy.stack([jax.numpy.mean(each**2), jax.numpy.mean(each)])

    with jax.enable_x64(True):
        arrays = tuple(map(jax.numpy.asarray, samples))
        several = jax.jacobian(lambda flat: spectra.mean_in_parts(means, flat, arrays, size))(flat)
        expected = jax.jacobian(lambda flat: means(flat, *arrays))(flat)
    np.testing.assert_allclose(several, expected, rtol=1e-10, atol=1e-14)


def test_a_block_ends_where_the_trajectory_of_the_same_training_ends(folder, block):
    """Training is the same if all or some samples are recorded; the trajectory is a run of the block."""
    command(
        "train-trajectory", "--dataset", folder / "data.nc", "--seed", 3,
        "--settings", json.dumps({**TRAJECTORY, "evaluation_samples": None, "record_every": 5}),
        "--output", folder / "whole.nc",
    )  # fmt: skip
    alone, some = (netcdf.read(folder / f"{name}.nc") for name in ("whole", "trajectory"))
    np.testing.assert_array_equal(alone["parameters"], some["parameters"])
    same = block.sel(amplitude=5, seed=3)
    for name in ("weighted_loss", "loss", "train_accuracy", "validation_accuracy"):
        np.testing.assert_array_equal(same[name], alone[name].sel(step=same["step"]))


def test_the_phase_diagram_keeps_learning_curves_if_asked(folder, tmp_path):
    run = {**RUN, "record_every": 5}
    blocks = {}
    for block in (Block(None, (1.0,), 0, 1), Block(4, (5.0, 9.0), 0, 1)):
        blocks[block] = tmp_path / f"{block.name}.nc"
        command(
            "train-phase-block", "--dataset", folder / "data.nc", "--settings", json.dumps(run),
            *([] if block.period is None else ["--period", block.period]),
            *(word for amplitude in block.amplitudes for word in ("--amplitude", amplitude)),
            "--last-seed", 1, "--output", blocks[block],
        )  # fmt: skip
    study = {
        "periods": [4],
        "amplitudes": [1, 5, 9],
        "seeds": 2,
        "learning_curves": True,
    }
    settings = json.dumps({**run, **study})
    command("aggregate-phase", "--settings", settings, "--output", tmp_path / "all.nc", *blocks.values())
    gathered = netcdf.read(tmp_path / "all.nc")
    assert gathered["step"].values.tolist() == [0, 5, 10, 15, 20]
    assert gathered.attrs["steps_per_epoch"] == 4
    for block, path in blocks.items():
        made, here = netcdf.read(path), gathered.sel(period=4, amplitude=list(block.amplitudes))
        for name in ("train_accuracy", "validation_accuracy", "loss"):
            np.testing.assert_array_equal(here[f"{name}_curve"], made[name].astype(np.float32))
            np.testing.assert_array_equal(here[name], made[name].isel(step=-1))


@pytest.mark.parametrize(
    ("dataset", "changes", "words"),
    [
        (DIGITS, {"batch_size": 34}, "batch_size: 34 is more than the 33 training samples"),
        (DIGITS, {"steps": 21}, "steps: 5 epochs are 20 steps; give only one of the two"),
        ({}, {}, "model: myrtle5 needs images"),
        (DIGITS, {"oscillation_stop": None}, "period: T = 11 leaves no static period"),
    ],
)
def test_settings_that_do_not_go_with_the_data_are_one_line(tmp_path, dataset, changes, words):
    path = as_dataset(tmp_path, dataset)
    with pytest.raises(UserError) as error:
        command(
            "train-trajectory", "--dataset", path, "--output", tmp_path / "out.nc",
            "--settings", json.dumps({**TRAJECTORY, "period": 11, **changes}),
        )  # fmt: skip
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.nc").exists()


def test_paired_draws_are_one_diagram_over_seeds(tmp_path):
    """Seed k is trained on draw k alone, with another selection of images and other initial weights."""
    run = {**RUN, "record_every": 20}
    grid = {"periods": [4], "amplitudes": [1, 5], "seeds": 2, "seeds_per_block": 1}
    draws = {"dataset": "digits", "noise_seeds": [7, 8], "draws": "paired"}
    study = PhaseSettings.model_validate({**run, **grid, **draws}).with_length(33)
    diagrams = []
    for index, draw in enumerate((7, 8)):
        data = as_dataset(tmp_path, {**DIGITS, "sample_seed": draw}, f"digits_noise{draw}.nc")
        alone = study.drawn(draw)
        assert [block.name for block in alone.blocks] == [
            f"static_seeds{index}-{index}",
            f"T4_A5_seeds{index}-{index}",
        ]
        files = []
        for block in alone.blocks:
            files.append(tmp_path / f"{draw}" / f"{block.name}.nc")
            command(
                "train-phase-block", "--dataset", data, "--settings", alone.training.model_dump_json(),
                *([] if block.period is None else ["--period", 4, "--amplitude", 5]),
                "--first-seed", index, "--last-seed", index, "--output", files[-1],
            )  # fmt: skip
        diagrams.append(tmp_path / f"study_noise{draw}.nc")
        command("aggregate-phase", "--settings", alone.model_dump_json(), "--output", diagrams[-1], *files)
    command(
        "gather-draws",
        "--settings",
        study.model_dump_json(),
        "--output",
        tmp_path / "all.nc",
        *diagrams[::-1],
    )
    gathered = netcdf.read(tmp_path / "all.nc")
    assert gathered["loss"].dims == ("period", "amplitude", "seed")
    assert gathered["seed"].values.tolist() == [0, 1]
    assert json.loads(gathered.attrs["dataset_settings"])["sample_seed"] == [7, 8]
    assert "one for each initial seed" in gathered.attrs["dataset_description"]
    for index, path in enumerate(diagrams):
        np.testing.assert_array_equal(gathered["loss"][..., index], netcdf.read(path)["loss"][..., 0])
    assert len(np.unique(gathered["loss"])) == 4
    # A published copy of some draws can be extended by further draws, although their runs are gone.
    some = study.model_copy(update={"noise_seeds": [7], "seeds": 1})
    for name, settings, files in (
        ("some.nc", some, diagrams[:1]),
        ("again.nc", study, [tmp_path / "published.nc", diagrams[1]]),
    ):
        command("gather-draws", "--settings", settings.model_dump_json(), "--output", tmp_path / name, *files)
        if name == "some.nc":
            command("publish-result", "--result", tmp_path / name, "--output", tmp_path / "published.nc")
    again = netcdf.read(tmp_path / "again.nc")
    np.testing.assert_allclose(again["loss"], gathered["loss"], rtol=1e-4)
    for name in ("dataset_settings", "dataset_description", "settings"):
        assert again.attrs[name] == gathered.attrs[name]


def test_results_say_what_computed_convolutions(folder, tmp_path):
    def computed(name, **changes):
        run = {**RUN, "epochs": 1, "precision": "float32", **changes}
        result = CliRunner().invoke(
            cli.commands,
            ["train-phase-block", "--dataset", str(folder / "data.nc"), "--settings", json.dumps(run),
             "--output", str(tmp_path / name)],
            catch_exceptions=False,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        made = netcdf.read(tmp_path / name).attrs
        return made["computed_by"], "bfloat16 is not faster than full" in result.output

    here = native.computed_by(np.float32)
    assert computed("usual.nc") == (f"convolutions by {here}", False)
    assert computed("double.nc", precision="float64") == ("convolutions by XLA", False)
    with native.xla_alone():
        assert computed("lower.nc", arithmetic="bfloat16") == ("convolutions by XLA", True)
    assert "computed_by" in netcdf.read(folder / "spectrum.nc").attrs
