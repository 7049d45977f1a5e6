"""Flows on losses known in closed form: the values in the file, and the figure that shows them."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from dynamical_loss import cli
from dynamical_loss.figures import figF1_known_losses, style
from dynamical_loss.results import netcdf
from figure_parts import drawn, letters, panel, require_legible_texts


@pytest.fixture(name="stored", scope="module")
def _stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "known_losses.nc"
    arguments = ["trace-known-losses", "--settings", '{"tolerance": 1e-8}', "--output", str(path)]
    result = CliRunner().invoke(cli.commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return netcdf.read(path)


def test_on_the_quadratic_the_principal_flow_is_gradient_descent(stored):
    """The positions of gradient descent are (1 − hλ)ⁿ times the start."""
    start, ratios = np.array([-0.35, -0.2]), np.array([1.0, 0.01])
    steps = np.arange(stored.sizes["step"])
    for index, sharpness in enumerate(stored["path_sharpness"].values):
        wanted = start * (1 - sharpness * ratios) ** steps[:, None]
        np.testing.assert_allclose(stored["path_descent"][index], wanted, atol=1e-12)
        np.testing.assert_allclose(stored["path_real"].sel(flow="principal")[index], wanted, atol=1e-6)
        others = stored["path_real"].sel(flow=["gradient", "regularised", "third_order"])[:, index]
        assert (np.abs(others.values[:, 1:] - wanted[1:]).max(axis=(1, 2)) > 3e-3).all()
    np.testing.assert_allclose(stored["path_imaginary"], 0.0, atol=1e-6)
    apart = np.linalg.norm(stored["path_real"] - stored["path_descent"], axis=-1)
    np.testing.assert_array_equal(stored["path_error"], apart)
    # The limit is a hundred times the tolerance of the integrator in this test.
    assert (stored["path_error"].sel(flow="principal") < 1e-6).all()


def test_the_gradient_flow_decays_as_it_must(stored):
    start, sharpness = -0.35, stored["path_sharpness"].values
    wanted = start * np.exp(-sharpness[:, None] * np.arange(stored.sizes["step"]))
    found = stored["path_real"].sel(flow="gradient").isel(coordinate=0)
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_on_curved_losses_it_is_the_nearest_and_may_be_stuck(stored):
    error, stuck = stored["error"], stored["stuck"].astype(bool)
    np.testing.assert_array_equal(np.isnan(error), stuck)
    principal, known = error.sel(flow="principal"), ~stuck.sel(flow="principal")
    for other in ("gradient", "regularised"):
        assert (error.sel(flow=other) > principal).where(known, True).all()
    assert not stuck.sel(flow=["gradient", "regularised", "third_order"]).any()
    assert not stuck.sel(loss="banana").any()
    assert stuck.sel(loss="cosine", flow="principal", sharpness=2.65)


def test_coefficients_are_those_of_the_theory(stored):
    x = stored["curvature"].values
    assert abs(x - 1).min() > 1e-3
    real, imaginary = (stored[f"coefficient_{part}"] for part in ("real", "imaginary"))
    expected = np.log(np.abs(1 - x)) / np.where(np.abs(x) < 1e-9, 1.0, x)
    far = np.abs(x) > 1e-3
    np.testing.assert_allclose(real.sel(flow="principal")[far], expected[far], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        imaginary.sel(flow="principal"), np.where(x > 1, np.pi / np.where(x > 1, x, 1), 0), atol=1e-12
    )
    np.testing.assert_allclose(real.sel(flow="regularised"), -(1 + x / 2))


def test_the_figure_shows_all_of_it(stored):
    with style.style():
        figure = drawn(figF1_known_losses.render({"known": [stored]}, {}))
        assert letters(figure) == "abcdef"
        require_legible_texts(figure)
        (legend,) = figure.legends
        words = [text.get_text() for text in legend.get_texts()]
        assert words[0] == "gradient descent"
        assert len(words) == 6
        circles = next(line for line in panel(figure, "d").lines if line.get_label() == "gradient descent")
        np.testing.assert_array_equal(circles.get_ydata(), stored["path_descent"][2, :, 0])
        errors = {line.get_label(): line for line in panel(figure, "e").lines}
        np.testing.assert_array_equal(
            errors["third order"].get_ydata(), stored["error"].sel(loss="banana", flow="third_order")
        )
    from matplotlib import pyplot as plt

    plt.close("all")
