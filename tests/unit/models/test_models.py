"""The network: its function against plain linear algebra, its initialisations against their moments."""

import jax
import numpy as np
import pytest

from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters

INPUTS = np.random.default_rng(0).normal(size=(7, 2))


def build(**settings):
    return MLPSettings(**settings).build(classes=3)


@pytest.mark.parametrize("initialisation", ["lecun", "glorot", "no_bias"])
@pytest.mark.parametrize("depth", [1, 3])
def test_network_is_affine_relu_affine(initialisation, depth):
    model = build(width=5, depth=depth, initialisation=initialisation)
    parameters = jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (2,), [4]))
    for layer in parameters.values():
        if "bias" in layer:
            layer["bias"] = np.random.default_rng(1).normal(size=layer["bias"].shape)
    with jax.enable_x64(True):
        found = apply_function(model)(parameters, INPUTS)
    hidden = INPUTS
    names = [*(f"hidden_{index}" for index in range(depth)), "output"]
    for name in names:
        hidden = hidden @ parameters[name]["kernel"] + parameters[name].get("bias", 0.0)
        if name != "output":
            hidden = np.maximum(hidden, 0.0)
    np.testing.assert_allclose(found, hidden, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("initialisation", "hidden_variance", "output_variance", "bias_deviation"),
    [
        ("lecun", 1 / 2, 1 / 4000, 0.0),
        ("glorot", 2 / 4002, 2 / 4003, 0.01),
        ("no_bias", 1 / 2, 1 / 4000, None),
    ],
)
def test_initialisation_has_its_variances(initialisation, hidden_variance, output_variance, bias_deviation):
    model = build(width=4000, initialisation=initialisation)
    parameters = initial_parameters(model, (2,), [0])
    # 8000 and 12000 draws: the variance is known to √(2/n) ≈ 1.6 % and 1.3 %, allow four times that.
    assert parameters["hidden_0"]["kernel"].var() == pytest.approx(hidden_variance, rel=0.065)
    assert parameters["output"]["kernel"].var() == pytest.approx(output_variance, rel=0.055)
    if bias_deviation is None:
        assert "bias" not in parameters["hidden_0"]
    else:
        assert parameters["hidden_0"]["bias"].std() == pytest.approx(bias_deviation, rel=0.05)


def test_number_of_parameters_of_the_papers_networks():
    for width, count in ((100, 603), (1000, 6003)):
        parameters = initial_parameters(build(width=width), (2,), [0])
        assert sum(leaf.size for leaf in jax.tree.leaves(parameters)) == count


def test_a_seed_means_the_same_network_in_any_company():
    model = build(width=6)
    alone = initial_parameters(model, (2,), [7])
    among = initial_parameters(model, (2,), [3, 7, 1])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[1]), alone, among)
    kernels = among["hidden_0"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])
