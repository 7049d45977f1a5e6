"""Runs with a scaled output through the commands: changes of the network, and curvature of the loss."""

import json

import jax
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from dynamical_loss import losses
from dynamical_loss.config.probes import ProbeSettings, ResidualSettings
from dynamical_loss.config.training import TrajectorySettings
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.errors import UserError
from dynamical_loss.figures import figL6_dynamical_loss, style
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.results import netcdf
from figure_parts import drawn, panel, require_free_legend, require_legible_texts
from stage_commands import command, small_spiral

MODEL = {"width": 6, "initialisation": "glorot", "bias_scale": 0.3}
BLOCK = {"model": MODEL, "steps": 60, "record_every": 20, "precision": "float64", "learning_rate": 0.5}
CHANGES = ("kernel_change", "weight_change")
RUN = {
    "model": MODEL,
    "output_scale": 0.5,
    "learning_rate": 0.3,
    "period": 40,
    "amplitude": 20,
    "steps": 200,
    "snapshots": {"every": 5},
}
PROBES = {
    "hessian": {"losses": ["weighted", "static"], "modes": 3, "order": 45},
    "ntk": {"modes": 2, "order": 45},
    "density": {"steps": [100], "order": 45, "probes": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with a dataset, a trajectory and its spectra."""
    path = tmp_path_factory.mktemp("scaled")
    data = small_spiral(path)
    command(
        "train-trajectory", "--dataset", data, "--seed", 3,
        "--settings", json.dumps(RUN), "--output", path / "run.nc",
    )  # fmt: skip
    command(
        "probe-spectrum", "--dataset", data, "--trajectory", path / "run.nc",
        "--settings", json.dumps(PROBES), "--output", path / "spectrum.nc",
    )  # fmt: skip
    return path


def block(folder, output, cells, **settings):
    command(
        "train-phase-block", "--dataset", folder / "data.nc", *cells,
        "--settings", json.dumps({**BLOCK, **settings}), "--output", output,
    )  # fmt: skip
    return netcdf.read(output)


def network(folder):
    """Outputs as a function of flat parameters, the targets, and the initial parameters of seed 3."""
    data = netcdf.read(folder / "data.nc")
    model = MLPSettings.model_validate(MODEL).build(3)
    start, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (2,), [3])))
    apply, inputs = apply_function(model), data["train_input"].values
    return (lambda flat: apply(unravel(flat), inputs)), np.eye(3)[data["train_label"].values], start


def test_a_block_keeps_how_far_kernel_and_parameters_went(folder, tmp_path):
    """The changes agree with dense Jacobians at the start and end of a trajectory with the same settings."""
    cells = ("--period", 10, "--amplitude", 4, "--first-seed", 3, "--last-seed", 4)
    found = block(folder, tmp_path / "T10_A4_seeds3-4.nc", cells, output_scale=0.3, kernel_samples=20)
    assert found["kernel_change"].dims == found["weight_change"].dims == ("amplitude", "seed")
    run = {**BLOCK, "output_scale": 0.3, "period": 10, "amplitude": 4, "snapshots": {"every": 61}}
    command(
        "train-trajectory", "--dataset", folder / "data.nc", "--seed", 3,
        "--settings", json.dumps(run), "--output", tmp_path / "run.nc",
    )  # fmt: skip
    ends = netcdf.read(tmp_path / "run.nc")["parameters"].values
    with jax.enable_x64(True):
        outputs, _, _ = network(folder)
        rows = [np.asarray(jax.jacobian(outputs)(flat))[:20].reshape(60, -1) for flat in ends]
    start, end = (row @ row.T for row in rows)
    one = found.sel(amplitude=4, seed=3)
    expected = np.linalg.norm(end - start) / np.linalg.norm(start)
    assert float(one["kernel_change"]) == pytest.approx(expected, rel=1e-8)
    assert float(one["kernel_change"]) > 0.05
    expected = np.linalg.norm(ends[1] - ends[0]) / np.linalg.norm(ends[0])
    assert float(one["weight_change"]) == pytest.approx(expected, rel=1e-8)
    assert float(found["weight_change"].sel(amplitude=4, seed=4)) != float(one["weight_change"])


def test_in_the_lazy_regime_changes_are_those_of_one_over_the_scale(folder, tmp_path):
    cells = ("--period", 10, "--amplitude", 4)
    changes = [
        block(folder, tmp_path / f"{alpha}.nc", cells, output_scale=alpha) for alpha in (2e3, 4e3, 8e3)
    ]
    for name in CHANGES:
        values = np.array([float(found[name].squeeze()) for found in changes])
        np.testing.assert_allclose(values[:-1] / values[1:], 2, rtol=0.02, err_msg=name)
    np.testing.assert_allclose(changes[0]["loss"], changes[1]["loss"], rtol=2e-3)


def test_a_phase_diagram_and_its_published_copy_hold_the_changes(folder, tmp_path):
    grid = {"periods": [10, 20], "amplitudes": [1, 4], "seeds": 2, "seeds_per_block": 2, "output_scale": 0.3}
    parts, paths = {}, []
    for name, cells in {
        "static_seeds0-1": (),
        "T10_A4_seeds0-1": ("--period", 10, "--amplitude", 4),
        "T20_A4_seeds0-1": ("--period", 20, "--amplitude", 4),
    }.items():
        paths.append(tmp_path / f"{name}.nc")
        parts[name] = block(folder, paths[-1], (*cells, "--last-seed", 1), output_scale=0.3)
    study = json.dumps({**BLOCK, **grid})
    command("aggregate-phase", *paths, "--settings", study, "--output", tmp_path / "phase.nc")
    command("publish-result", "--result", tmp_path / "phase.nc", "--output", tmp_path / "small.nc")
    whole, small = (netcdf.read(tmp_path / f"{name}.nc") for name in ("phase", "small"))
    for name in CHANGES:
        assert whole[name].dims == ("period", "amplitude", "seed")
        for period in (10, 20):
            cell = whole[name].sel(period=period)
            np.testing.assert_array_equal(cell.sel(amplitude=1), parts["static_seeds0-1"][name].squeeze())
            np.testing.assert_array_equal(
                cell.sel(amplitude=4), parts[f"T{period}_A4_seeds0-1"][name].squeeze()
            )
        np.testing.assert_allclose(small[name], whole[name], rtol=1e-4)
    plain = block(folder, tmp_path / "plain.nc", ("--period", 10, "--amplitude", 4))
    assert not set(CHANGES) & set(plain)


@pytest.mark.parametrize("suffix", ["", "_static"])
def test_eigenvalues_are_those_of_the_loss_that_is_descended(folder, suffix):
    run, spectrum = (netcdf.read(folder / f"{name}.nc") for name in ("run", "spectrum"))
    alpha = RUN["output_scale"]
    with jax.enable_x64(True):
        outputs, targets, start = network(folder)
        np.testing.assert_array_equal(run["parameters"][0], start)
        before = outputs(start)

        @jax.jit
        def loss(flat, weight):
            found = alpha * (outputs(flat) - before)
            return losses.weighted_loss(losses.cross_entropy, found, targets, weight)

        hessian = jax.jit(jax.hessian(loss))
        for step in (0, 100, 200):
            row, found = run.sel(step=step, snapshot_step=step), spectrum.sel(snapshot_step=step)
            flat = row["parameters"].values
            weight = row["class_weight"].values if suffix == "" else np.ones(3)
            dense = np.linalg.eigvalsh(hessian(flat, weight))[::-1] / alpha**2
            np.testing.assert_allclose(found[f"hessian_eigenvalue{suffix}"], dense[:3], rtol=1e-8)
            # The kernel is that of f, and the recorded loss is that of the scaled prediction.
            jacobian = np.asarray(jax.jacobian(outputs)(flat)).reshape(3 * 36, -1)
            kernel = np.linalg.eigvalsh(jacobian @ jacobian.T)[::-1]
            np.testing.assert_allclose(found["ntk_eigenvalue"][:2], kernel[:2], rtol=1e-8)
            assert float(loss(flat, row["class_weight"].values)) == pytest.approx(float(row["weighted_loss"]))
            if step == 100 and suffix == "":
                assert float(spectrum["density_node"].max()) == pytest.approx(dense[0], rel=1e-6)
    assert float(run["loss"][0]) == pytest.approx(np.log(3), rel=1e-15)


@pytest.mark.parametrize(
    ("probes", "key"),
    [
        ({"alignment": True}, "alignment"),
        ({"batches": {}}, "batches"),
        ({"optimiser": {}}, "optimiser"),
        ({"small_steps": {"start": 0, "steps": 11}}, "small_steps"),
    ],
)
def test_probes_of_the_network_s_own_output_are_refused(folder, tmp_path, probes, key):
    with pytest.raises(UserError, match=rf"--settings: {key}: this probe does not support") as error:
        command(
            "probe-spectrum", "--dataset", folder / "data.nc", "--trajectory", folder / "run.nc",
            "--settings", json.dumps(probes), "--output", tmp_path / "spectrum.nc",
        )  # fmt: skip
    assert "\n" not in str(error.value)


def test_the_residual_of_a_scaled_output_is_refused():
    run = TrajectorySettings.model_validate({**RUN, "loss": {"kind": "mse"}})
    with pytest.raises(ValueError, match="residual: this probe does not support the run's output_scale"):
        ProbeSettings(residual=ResidualSettings()).require_possible(
            run.probed(Shape(36, 36, (2,), 3), remembers=True)
        )


# Figures ------------------------------------------------------------------------------------------


def study(folder, path, output_scale, **settings):
    """Make a phase file of three runs with the static loss and three with the dynamical loss."""
    given = {**BLOCK, "output_scale": output_scale, **settings}
    cells = [["--last-seed", 2], ["--period", 20, "--amplitude", 20, "--last-seed", 2]]
    blocks = []
    for name, more in zip(("static_seeds0-2", "T20_A20_seeds0-2"), cells, strict=True):
        blocks.append(path / f"{output_scale}" / f"{name}.nc")
        block(folder, blocks[-1], more, **given)
    whole = {**given, "periods": [20], "amplitudes": [1, 20], "seeds": 3, "seeds_per_block": 3}
    output = path / f"{output_scale}.nc"
    command("aggregate-phase", *blocks, "--settings", json.dumps(whole), "--output", output)
    return netcdf.read(output)


def test_the_figure_of_regimes_shows_what_is_stored(folder, tmp_path):
    parametrised = {"model": {**MODEL, "parametrisation": "neural_tangent"}}
    usual = [study(folder, tmp_path, scale) for scale in (0.3, 1.0, 30.0)]
    other = study(folder, tmp_path, 2.0, **parametrised)
    null = xr.Dataset(
        {
            "static_distance": (
                ("width", "scale", "data_seed", "seed"),
                np.logspace(-1, -4, 6).reshape(1, 2, 1, 3),
            ),
            "converged": (("width", "scale", "data_seed", "seed"), np.ones((1, 2, 1, 3))),
        },
        coords={"width": [8], "scale": [0.1, 1000.0], "data_seed": [1], "seed": range(3)},
    )
    spectrum = netcdf.read(folder / "spectrum.nc")
    with style.style():
        inputs = {"study": [*usual, other], "spectrum": [spectrum], "null": [null]}
        figure = drawn(figL6_dynamical_loss.render(inputs, {}))
        require_legible_texts(figure)
        for letter in "df":
            require_free_legend(panel(figure, letter))
    (legend,) = figure.legends
    words = " ".join(text.get_text() for text in legend.get_texts()).replace("\n", " ")
    assert "width 6, $T=20$, $A=20$, 3 seeds" in words and "all 6 flows converged" in words
    means = [item.isel(period=0).mean("seed") for item in usual]

    def line(letter, label):
        lines = panel(figure, letter).lines
        return next(item for item in lines if item.get_label() == label).get_data()

    for label, amplitude in (("static", 1.0), ("dynamical", 20.0)):
        for letter, name in (("a", "validation_accuracy"), ("b", "kernel_change")):
            x, y = line(letter, label)
            np.testing.assert_allclose(x, [0.3, 1.0, 30.0])
            np.testing.assert_allclose(y, [float(mean[name].sel(amplitude=amplitude)) for mean in means])
    points = np.concatenate([item.get_offsets() for item in panel(figure, "c").collections])
    moved = np.concatenate([item["kernel_change"].isel(period=0).sel(amplitude=20.0) for item in usual])
    gains = [item["validation_accuracy"].isel(period=0) for item in usual]
    gained = np.concatenate([item.sel(amplitude=20.0) - item.sel(amplitude=1.0) for item in gains])
    np.testing.assert_allclose(points, np.column_stack([moved, gained]))
    x, y = line("e", r"$\alpha=0.5$")
    np.testing.assert_allclose(1000 * x, spectrum["snapshot_step"])
    np.testing.assert_allclose(y, spectrum["hessian_eigenvalue"].isel(mode=0) * RUN["learning_rate"] / 2)
    kernel = spectrum["ntk_eigenvalue"].isel(mode=0)
    np.testing.assert_allclose(line("f", r"$\alpha=0.5$")[1], kernel / kernel[0])
    bars = panel(figure, "g").containers[0]
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [2 * np.sqrt(6)])
    shown = panel(figure, "h").lines[0].get_ydata()
    np.testing.assert_allclose(shown, null["static_distance"].mean("seed").values.ravel())
