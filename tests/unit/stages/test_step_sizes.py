"""Runs whose learning rate follows the curvature, and Fig. F6, which shows them."""

import json

import numpy as np
import pytest

from dynamical_loss.figures import figF6_step_sizes, style
from dynamical_loss.results import netcdf
from figure_parts import drawn, panel, points, require_legible_texts
from stage_commands import command, small_spiral

CAP, STEPS = 4.0, 120


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trajectories and spectra of a static and a dynamical run."""
    path = tmp_path_factory.mktemp("step_sizes")
    data, found = small_spiral(path), []
    for study, amplitude in (("static", 1), ("dynamical", 20)):
        run, spectrum = path / f"{study}.nc", path / f"{study}_spectrum.nc"
        settings = {
            "model": {"width": 6},
            "period": 40,
            "amplitude": amplitude,
            "steps": STEPS,
            "record_every": 3,
            "learning_rate": 1,
            "learning_rate_rule": {"kind": "dal", "power": 1, "cap": CAP},
            "snapshots": {"every": 15},
        }
        command(
            "train-trajectory", "--dataset", data, "--seed", 0, "--settings", json.dumps(settings),
            "--output", run,
        )  # fmt: skip
        command(
            "probe-spectrum", "--dataset", data, "--trajectory", run,
            "--settings", json.dumps({"hessian": {"modes": 1, "order": 45}}), "--output", spectrum,
        )  # fmt: skip
        found.append((netcdf.read(run), netcdf.read(spectrum)))
    return found


def test_the_figure_shows_what_the_runs_did(runs):
    inputs = {"trajectory": [run for run, _ in runs], "spectrum": [spectrum for _, spectrum in runs]}
    with style.style():
        figure = drawn(figF6_step_sizes.render(inputs, {}))
    require_legible_texts(figure)
    for letters, (run, spectrum) in zip(("abcd", "efgh"), runs, strict=True):
        rates, curvatures, _, accuracies = (panel(figure, letter) for letter in letters)
        line = rates.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), run["step"].values[:-1])
        np.testing.assert_array_equal(line.get_ydata(), run["learning_rate"].values[:-1])
        assert set(rates.lines[1].get_ydata()) == {CAP}
        steps = spectrum["snapshot_step"].values
        rate = run["learning_rate"].sel(step=steps).values
        shown = points(curvatures, "2/η")
        assert shown == {int(step): pytest.approx(2 / each) for step, each in zip(steps, rate, strict=True)}
        sharpness = points(curvatures, "λ$_{\\mathrm{max}}$")
        assert sharpness == {
            int(step): pytest.approx(float(value))
            for step, value in zip(steps, spectrum["hessian_eigenvalue"].values[:, 0], strict=True)
            if value > 0
        }
        # Below the cap, 2/η equals ‖Hĝ‖, which is at most the largest magnitude of an eigenvalue.
        largest = np.maximum(spectrum["hessian_eigenvalue"][:, 0], -spectrum["hessian_min_eigenvalue"])
        below = (rate < CAP * (1 - 1e-9)) & (steps < STEPS)
        assert below.any()
        assert (2 / rate[below] <= largest.values[below] * (1 + 1e-6)).all()
        last = points(accuracies, "training")[STEPS]
        assert last == pytest.approx(float(run["train_accuracy"][-1]))


def test_the_share_at_the_cap_is_that_of_the_records(runs):
    for run, _ in runs:
        middles, shares = figF6_step_sizes.at_cap(run)
        bound = np.isclose(run["learning_rate"].values[:-1], CAP)
        np.testing.assert_array_equal(middles, run["step"].values[:-1])
        np.testing.assert_array_equal(shares, bound)
        assert 0 < bound.mean() < 1
