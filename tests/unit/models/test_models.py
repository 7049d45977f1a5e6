"""Compare the perceptron with plain linear algebra, and its initial weights with the expected moments."""

from typing import get_args

import jax
import numpy as np
import pytest
from pydantic import ValidationError

from dynamical_loss.models.initialisations import PRESETS, Preset
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.network import apply_function, initial_parameters

INPUTS = np.random.default_rng(0).normal(size=(7, 2))


def build(**settings):
    return MLPSettings(**settings).build(classes=3)


@pytest.mark.parametrize("initialisation", sorted(PRESETS))
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
        ("glorot_zero", 2 / 4002, 2 / 4003, 0.0),
        ("glorot_truncated", 2 / 4002, 2 / 4003, 0.01),
        ("glorot_uniform_zero", 2 / 4002, 2 / 4003, 0.0),
        ("he", 1, 2 / 4000, 0.0),
        ("karpathy", 1e-4, 1e-4, 0.0),
        ("no_bias", 1 / 2, 1 / 4000, None),
    ],
)
def test_initialisation_has_its_variances(initialisation, hidden_variance, output_variance, bias_deviation):
    model = build(width=4000, initialisation=initialisation)
    parameters = initial_parameters(model, (2,), [0])
    # With 8000 and 12000 draws, the relative standard error √(2/n) of the variance is 1.6 % and 1.3 %; the
    # tolerance is four times the standard error.
    assert parameters["hidden_0"]["kernel"].var() == pytest.approx(hidden_variance, rel=0.065)
    assert parameters["output"]["kernel"].var() == pytest.approx(output_variance, rel=0.055)
    if bias_deviation is None:
        assert "bias" not in parameters["hidden_0"]
    else:
        assert parameters["hidden_0"]["bias"].std() == pytest.approx(bias_deviation, rel=0.05)


def test_every_preset_has_a_name_that_settings_know():
    assert set(get_args(Preset)) == set(PRESETS)
    for name in PRESETS:
        assert MLPSettings(initialisation=name).start == PRESETS[name]


@pytest.mark.parametrize(
    ("distribution", "most"),
    # `most` is in standard deviations.  The truncated normal is cut at 2 and then stretched to unit variance.
    [("normal", np.inf), ("truncated_normal", 2 / 0.87962566103423978), ("uniform", 3**0.5)],
)
def test_parts_replace_those_of_a_preset(distribution, most):
    model = build(
        width=4000,
        initialisation="glorot_zero",
        kernel_distribution=distribution,
        first_kernel_factor=3.0,
        further_kernel_factor=0.5,
        bias_scale=0.2,
    )
    parameters = initial_parameters(model, (2,), [0])
    for layer, deviation in (("hidden_0", 3 * (2 / 4002) ** 0.5), ("output", 0.5 * (2 / 4003) ** 0.5)):
        kernel = parameters[layer]["kernel"]
        assert kernel.std() == pytest.approx(deviation, rel=0.035)
        assert np.abs(kernel).max() <= most * deviation
        assert np.abs(kernel).max() > 0.99 * min(most, 3) * deviation
    assert parameters["hidden_0"]["bias"].std() == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_in_the_neural_tangent_parametrisation_kernels_move_by_the_square_of_their_deviation(name):
    """The initial functions are equal, and the gradients are related by the chain rule."""
    standard, tangent = (
        build(width=6, initialisation=name, parametrisation=kind) for kind in ("standard", "neural_tangent")
    )
    first, same = (
        jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, (2,), [1]))
        for model in (standard, tangent)
    )

    def gradient(model, parameters):
        return jax.grad(lambda values: (apply_function(model)(values, INPUTS) ** 2).sum())(parameters)

    with jax.enable_x64(True):
        np.testing.assert_allclose(
            apply_function(standard)(first, INPUTS), apply_function(tangent)(same, INPUTS), rtol=1e-12
        )
        usual, other = (
            jax.tree.map(np.asarray, gradient(*item)) for item in ((standard, first), (tangent, same))
        )
    for layer, shape in (("hidden_0", (2, 6)), ("output", (6, 3))):
        deviation = PRESETS[name].standard_deviation(*shape, layer == "hidden_0")
        np.testing.assert_allclose(same[layer]["kernel"] * deviation, first[layer]["kernel"], rtol=1e-12)
        np.testing.assert_allclose(other[layer]["kernel"], deviation * usual[layer]["kernel"], rtol=1e-9)
        if "bias" in usual[layer]:
            np.testing.assert_allclose(other[layer]["bias"], usual[layer]["bias"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"initialisation": "no_bias", "bias_scale": 0.1}, "bias_scale: no_bias has no biases"),
        (
            {"initialisation": "karpathy", "kernel_distribution": "uniform"},
            "kernel_distribution: karpathy draws its weights from a normal",
        ),
    ],
)
def test_parts_that_a_preset_has_not_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        MLPSettings(**settings)


def test_the_fused_loop_is_not_told_of_another_parametrisation():
    assert MLPSettings().hidden_layer is not None
    assert MLPSettings(parametrisation="neural_tangent").hidden_layer is None


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
