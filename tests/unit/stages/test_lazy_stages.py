"""Stages with gradient flows, compared with the engine, dense kernels and the paper's definitions."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

from dynamical_loss import cli
from dynamical_loss.config.lazy import LazySettings
from dynamical_loss.datasets import loading
from dynamical_loss.errors import Interrupted, UserError
from dynamical_loss.figures import (
    figL1_regimes,
    figL2_ensembles,
    figL3_kernel_change,
    figL4_dynamics,
    figL5_frozen_kernel,
    figL7_further_data,
    figL8_training_set_size,
    style,
)
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs
from dynamical_loss.training import margin_flow
from dynamical_loss.training.checkpoint import FileCheckpoint
from dynamical_loss.training.gradient_flow import Tolerance
from dynamical_loss.training.margin_flow import NetworkConstants, Samples
from figure_parts import drawn, panel, require_legible_texts
from stage_commands import command

SCALES, WIDTHS, SPLITS, SEEDS = [0.01, 10.0, 1000.0], [8, 12], [1, 2], 2
DATA = {
    "kind": "digits",
    "labels": "parity",
    "split": "pooled",
    "train_samples": 20,
    "validation_samples": 200,
    "normalisation": "sphere",
}
FLOW = {"velocity_tolerance": 1e-2, "frozen": True, "kernel_samples": 30}


def block(path, dataset, width, split, **settings):
    command(
        "train-lazy-block", "--dataset", dataset, "--width", width, "--data-seed", split,
        *(word for scale in SCALES for word in ("--scale", scale)), "--last-seed", SEEDS - 1,
        "--settings", json.dumps({**FLOW, **settings}), "--output", path,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with two splits, the blocks of a small study of both splits, and the study."""
    path = tmp_path_factory.mktemp("lazy")
    blocks = []
    for split in SPLITS:
        settings = json.dumps({**DATA, "sample_seed": split})
        command("prepare-dataset", "--settings", settings, "--output", path / f"data{split}.nc")
        for width in WIDTHS:
            blocks.append(path / f"h{width}_data{split}_s0.01_10_1000_seeds0-1.nc")
            block(blocks[-1], path / f"data{split}.nc", width, split)
    study = {**FLOW, "widths": WIDTHS, "scales": SCALES, "seeds": SEEDS, "data_seeds": SPLITS}
    command("aggregate-lazy", *blocks, "--settings", json.dumps(study), "--output", path / "study.nc")
    return path


def test_a_block_holds_what_the_engine_and_dense_kernels_give(folder):
    found = netcdf.read(folder / "h12_data2_s0.01_10_1000_seeds0-1.nc").sel(scale=10.0, seed=1)
    data = loading.load(folder / "data2.nc", Inputs())
    settings = LazySettings(**FLOW)
    model = settings.model(12).build(1)
    apply = apply_function(model)
    with jax.enable_x64(True):
        starts = initial_parameters(model, data.train_inputs.shape[1:], [1])
        start = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), starts)
        labels, others = (2.0 * given - 1 for given in (data.train_labels, data.validation_labels))
        samples = Samples(jnp.asarray(data.train_inputs), jnp.asarray(labels))
        alpha = 10 / np.sqrt(12)
        programs = margin_flow.network_flow(apply, samples.labels, "soft_hinge", Tolerance(1e-2, 0.1), 1e-3)
        constants = NetworkConstants(samples, alpha, apply(start, samples.inputs)[:, 0])
        state = programs.advance(constants, programs.begin(constants, start, 1.0), 20_000)
        end = state.position
        outputs = alpha * (apply(end, data.validation_inputs) - apply(start, data.validation_inputs))[:, 0]

        def kernel(point):
            jacobian = jax.jacobian(lambda here: apply(here, data.validation_inputs[:30])[:, 0])(point)
            rows = np.concatenate([leaf.reshape(30, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
            return rows @ rows.T

        first, last = kernel(start), kernel(end)
        outputs, margin = np.asarray(outputs), np.min(np.asarray(state.outputs) * labels)
        start, end = (jax.tree.map(np.asarray, point) for point in (start, end))
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(point)]) for point in (start, end)]
    np.testing.assert_allclose(found["output"], outputs, rtol=1e-6, atol=1e-8)
    assert float(found["test_error"]) == np.mean(outputs * others <= 0)
    assert float(found["kernel_change"]) == pytest.approx(
        np.linalg.norm(last - first) / np.linalg.norm(first), rel=1e-6
    )
    assert float(found["weight_change"]) == pytest.approx(
        np.linalg.norm(flat[1] - flat[0]) / np.linalg.norm(flat[0]), rel=1e-6
    )
    for name, value in (
        ("half_time", state.half_time), ("end_time", state.time), ("evaluations", state.trials),
        ("steps", state.steps), ("converged", 1), ("margin", margin),
    ):  # fmt: skip
        assert float(found[name]) == pytest.approx(float(value), rel=1e-6), name
    layers = [
        np.linalg.norm(end[name]["kernel"] - start[name]["kernel"]) / np.linalg.norm(start[name]["kernel"])
        for name in ("hidden_0", "hidden_1", "output")
    ]
    np.testing.assert_allclose(found["layer_change"], layers, rtol=1e-6)


def test_the_frozen_kernel_of_the_start_is_the_limit_of_large_scales(folder):
    found = netcdf.read(folder / "study.nc")
    distance = found["frozen_start_distance"].mean(("width", "data_seed", "seed"))
    assert float(distance.sel(scale=1000.0)) < 0.02 < 0.2 < float(distance.sel(scale=0.01))
    assert (found["frozen_start_error"] == found["frozen_start_error"].isel(scale=0)).all()
    # If the kernel does not move, the kernels of the start and the end are the same.
    lazy = found.sel(scale=1000.0)
    assert float(abs(lazy["frozen_end_error"] - lazy["frozen_start_error"]).max()) < 0.0101
    assert (found["frozen_converged"] == 1).all()


def test_a_study_holds_its_runs_and_their_ensembles(folder):
    found = netcdf.read(folder / "study.nc")
    assert found["test_error"].dims == ("width", "scale", "data_seed", "seed")
    for width in WIDTHS:
        for split in SPLITS:
            stored = netcdf.read(folder / f"h{width}_data{split}_s0.01_10_1000_seeds0-1.nc")
            here = found.sel(width=width, data_seed=split)
            for name in ("test_error", "kernel_change", "layer_change", "end_time"):
                np.testing.assert_array_equal(here[name], stored[name])
            outputs, labels = stored["output"].values, stored["test_label"].values
            mean = outputs.mean(axis=1)
            np.testing.assert_allclose(here["ensemble_error"], np.mean(mean * labels <= 0, axis=-1))
            np.testing.assert_allclose(
                here["output_variance"], ((outputs - mean[:, None]) ** 2).sum(axis=1).mean(axis=-1)
            )
            np.testing.assert_allclose(
                here["ensemble_error_without"].isel(seed=0), np.mean(outputs[:, 1] * labels <= 0, axis=-1)
            )
    first = netcdf.read(folder / "h8_data1_s0.01_10_1000_seeds0-1.nc")
    known = np.isfinite(first["record_loss"].isel(scale=0, seed=0).values)
    np.testing.assert_array_equal(
        found["record_loss"].isel(width=0, scale=0).values[: known.sum()],
        first["record_loss"].isel(scale=0, seed=0).values[known],
    )
    assert (found["converged"] == 1).all()


def test_a_flow_that_does_not_get_there_is_kept_and_counted(folder, tmp_path):
    path = tmp_path / "h8_data1_s0.01_10_1000_seeds0-1.nc"
    block(path, folder / "data1.nc", 8, 1, max_steps=40)
    found = netcdf.read(path)
    assert (found["evaluations"] == 40).all() and (found["converged"] == 0).all()
    assert np.isfinite(found["test_error"]).all() and (found["margin"] < 1).all()
    study = {**FLOW, "max_steps": 40, "widths": [8], "scales": SCALES, "seeds": SEEDS, "data_seeds": [1]}
    command("aggregate-lazy", path, "--settings", json.dumps(study), "--output", tmp_path / "study.nc")
    with style.style():
        figure = drawn(figL3_kernel_change.render({"study": [netcdf.read(tmp_path / "study.nc")]}, {}))
    words = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert any("6 of 6 flows did not converge" in line for line in words)


TILTED = {"loss": "mse", "closeness": 0.1, "frozen": False, "tilt": {"period": 1, "amplitude": 10}}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"velocity_tolerance": 1e-4}, marks=pytest.mark.long, id="frozen"),
        pytest.param(TILTED, id="tilted"),
    ],
)
def test_a_block_that_is_stopped_goes_on_to_the_same_bits(folder, tmp_path, monkeypatch, more):
    whole, broken = (tmp_path / name / "h8_data1_s0.01_10_1000_seeds0-1.nc" for name in ("whole", "broken"))
    block(whole, folder / "data1.nc", 8, 1, **more)
    monkeypatch.setattr("dynamical_loss.stages.train_lazy_block._STRETCH", 100)
    offer, calls = FileCheckpoint.offer, []

    def stopping(self, unfinished):
        calls.append(None)
        if len(calls) in (3, 7):
            self._signal = signal.SIGTERM
        offer(self, unfinished)

    monkeypatch.setattr(FileCheckpoint, "offer", stopping)
    for _ in range(2):
        with pytest.raises(Interrupted):
            block(broken, folder / "data1.nc", 8, 1, **more)
        assert not broken.exists()
    block(broken, folder / "data1.nc", 8, 1, **more)
    one, other = netcdf.read(whole), netcdf.read(broken)
    assert other.attrs["resumed"] == 2
    for name in one.variables:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_tilt_is_followed_beside_the_flow_without_it(folder, tmp_path):
    path = tmp_path / "h12_data1_s0.01_10_1000_seeds0-1.nc"
    block(
        path, folder / "data1.nc", 12, 1, loss="mse", closeness=0.02, frozen=False, max_steps=60_000,
        tilt={"period": 1, "amplitude": 10},
    )  # fmt: skip
    found = netcdf.read(path)
    assert (found["converged"] == 1).all()
    distance = found["static_distance"].mean("seed")
    # If the kernel stays constant, every tilt ends in the same interpolant, up to the closeness.
    assert float(distance.sel(scale=1000.0)) < 0.01 < float(distance.sel(scale=0.01))
    plain = tmp_path / "plain.nc"
    block(plain, folder / "data1.nc", 12, 1, loss="mse", closeness=0.02, frozen=False, max_steps=60_000)
    np.testing.assert_array_equal(netcdf.read(plain)["test_error"], found["static_error"])


def mistake(*arguments):
    with pytest.raises(UserError) as error:
        CliRunner().invoke(cli.commands, [str(argument) for argument in arguments], catch_exceptions=False)
    return str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precision": "float32"}, ["scales", "1000", "float32", "float64"]),
        ({"kernel_samples": 500}, ["kernel_samples", "200 test samples"]),
        ({"velocity_tolerance": 1e-26}, ["velocity_tolerance", "raise them"]),
        ({"depth": 0}, ["depth", "at least 1"]),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(folder, tmp_path, settings, words):
    said = mistake(
        "train-lazy-block", "--dataset", folder / "data1.nc", "--width", 8, "--scale", 0.01, "--scale", 1000,
        "--data-seed", 1,
        "--settings", json.dumps({**FLOW, **settings}), "--output", tmp_path / "out.nc",
    )  # fmt: skip
    assert all(word in said for word in words) and "\n" not in said
    assert not (tmp_path / "out.nc").exists()


def test_another_split_than_the_block_is_named_by_is_refused(folder, tmp_path):
    said = mistake(
        "train-lazy-block", "--dataset", folder / "data1.nc", "--width", 8, "--scale", 1, "--data-seed", 2,
        "--settings", json.dumps(FLOW), "--output", tmp_path / "out.nc",
    )  # fmt: skip
    assert "sample_seed 1" in said and "--data-seed is 2" in said


def test_blocks_of_other_data_make_no_study(folder, tmp_path):
    settings = json.dumps({**DATA, "sample_seed": 2, "train_samples": 40})
    command("prepare-dataset", "--settings", settings, "--output", tmp_path / "data.nc")
    other = tmp_path / "h8_data2_s0.01_10_1000_seeds0-1.nc"
    block(other, tmp_path / "data.nc", 8, 2)
    study = {**FLOW, "widths": [8], "scales": SCALES, "seeds": SEEDS, "data_seeds": SPLITS}
    said = mistake(
        "aggregate-lazy", folder / "h8_data1_s0.01_10_1000_seeds0-1.nc", other,
        "--settings", json.dumps(study), "--output", tmp_path / "out.nc",
    )  # fmt: skip
    assert "was made from other data than" in said


def test_a_study_says_what_its_splits_share(folder):
    found = netcdf.read(folder / "study.nc")
    stated = json.loads(found.attrs["dataset_settings"])
    assert stated["sample_seed"] == SPLITS and stated["train_samples"] == found.attrs["train_samples"] == 20


def test_data_of_many_classes_are_refused(tmp_path):
    settings = {key: value for key, value in DATA.items() if key != "labels"}
    command("prepare-dataset", "--settings", json.dumps(settings), "--output", tmp_path / "data.nc")
    said = mistake(
        "train-lazy-block", "--dataset", tmp_path / "data.nc", "--width", 8, "--scale", 1,
        "--settings", json.dumps(FLOW), "--output", tmp_path / "out.nc",
    )  # fmt: skip
    assert "10 classes" in said and "labels: parity" in said


@pytest.mark.parametrize(
    ("changes", "blocks", "words"),
    [
        ({"scales": [0.01, 10.0, 100.0]}, [0, 1, 2, 3], ["√h·α = 100", "snakemake"]),
        ({"depth": 3}, [0, 1, 2, 3], ["other settings", "make it again"]),
        ({}, [0, 1, 2], ["no given block holds", "data seed 2"]),
    ],
)
def test_blocks_that_do_not_make_the_study_are_refused(folder, tmp_path, changes, blocks, words):
    files = sorted(folder.glob("h*_data*.nc"), key=lambda path: (path.name[1:3], path.name))
    study = {**FLOW, "widths": WIDTHS, "scales": SCALES, "seeds": SEEDS, "data_seeds": SPLITS, **changes}
    said = mistake(
        "aggregate-lazy", *(files[index] for index in blocks), "--settings", json.dumps(study),
        "--output", tmp_path / "out.nc",
    )  # fmt: skip
    assert all(word in said for word in words) and "\n" not in said


def test_the_figures_show_what_is_stored(folder):
    found = netcdf.read(folder / "study.nc")
    inputs = {"study": [found]}
    shown = {}
    with style.style():
        for module in (
            figL1_regimes, figL2_ensembles, figL3_kernel_change, figL4_dynamics, figL5_frozen_kernel,
            figL7_further_data,
        ):  # fmt: skip
            shown[module.__name__.rpartition(".")[2]] = figure = drawn(module.render(inputs, {}))
            require_legible_texts(figure)

    def line(figure, letter, label):
        lines = panel(shown[figure], letter).lines
        return next(item for item in lines if item.get_label() == label).get_data()

    means = found.mean(("data_seed", "seed"))
    for width in WIDTHS:
        here = means.sel(width=width)
        x, y = line("figL1_regimes", "b", f"$h={width}$")
        np.testing.assert_allclose(x, np.array(SCALES) / np.sqrt(width))
        np.testing.assert_allclose(y, here["test_error"])
        np.testing.assert_allclose(
            line("figL3_kernel_change", "a", f"$h={width}$"), (SCALES, here["kernel_change"])
        )
        np.testing.assert_allclose(
            line("figL3_kernel_change", "b", f"$h={width}$")[1], np.sqrt(width) * here["weight_change"]
        )
        np.testing.assert_allclose(
            line("figL4_dynamics", "c", f"$h={width}$")[1], here["half_time"] / here["scale"]
        )
        np.testing.assert_allclose(
            line("figL2_ensembles", "b", f"$h={width}$")[1], width * here["output_variance"]
        )
    np.testing.assert_allclose(
        line("figL2_ensembles", "d", "mean of networks")[1], means["ensemble_error"].sel(scale=1000.0)
    )
    np.testing.assert_allclose(
        line("figL5_frozen_kernel", "a", "kernel of the end, frozen")[1],
        means["frozen_end_error"].isel(width=-1),
    )
    cells = panel(shown["figL1_regimes"], "a").collections
    values = np.concatenate([item.get_array().ravel() for item in cells if item.get_array() is not None])
    np.testing.assert_allclose(np.sort(values), np.sort(means["test_error"].values.ravel()))


def test_the_figure_of_sizes_shows_the_variance_times_the_width(folder):
    found = netcdf.read(folder / "study.nc").isel(width=[1])
    larger = found.assign_attrs(train_samples=80).assign(output_variance=3.0 * found["output_variance"])
    with style.style():
        figure = drawn(figL8_training_set_size.render({"study": [larger, found]}, {}))
        require_legible_texts(figure)
    lines = {line.get_label(): line.get_data() for line in figure.axes[0].lines}
    for scale in SCALES:
        x, y = lines[f"$s={scale:g}$"]
        mean = 12 * float(found["output_variance"].sel(scale=scale).mean())
        np.testing.assert_allclose(x, [20, 80])
        np.testing.assert_allclose(y, [mean, 3 * mean])
