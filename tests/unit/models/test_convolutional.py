"""Compare convolutional networks with those of neural-tangents, with numpy, and with expected moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamical_loss.models.convolution import average_pool, convolve
from dynamical_loss.models.kinds.mlp import MLPSettings
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.models.kinds.wide_resnet import WideResNetSettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.models.network import network as network_of
from dynamical_loss.probes import _neural_tangents

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3))


def myrtle5(channels=4, arithmetic="full"):
    return Myrtle5Settings(kind="myrtle5", channels=channels).build(10, arithmetic)


WIDE_RESNET = WideResNetSettings(kind="wide_resnet")


def wide_resnet(**settings):
    sizes = {"depth": 10, "widening": 1, **settings}
    return WideResNetSettings(kind="wide_resnet", **sizes).build(10)


def parameters(model, shape=(8, 8, 3), seed=0):
    return jax.tree.map(lambda leaf: leaf[0], initial_parameters(model, shape, [seed]))


def count(model):
    """Number of parameters for images of 32 × 32 pixels; none is drawn."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"])
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def by_hand(images, kernel, padding):
    """Compute a convolution as a sum over the kernel's pixels of shifted images times matrices."""
    edges = (0, 0), (padding, padding), (padding, padding), (0, 0)
    padded = np.pad(images, edges)
    side = kernel.shape[0]
    rows, columns = (padded.shape[axis] - side + 1 for axis in (1, 2))
    return sum(
        padded[:, i : i + rows, j : j + columns] @ kernel[i, j] for i in range(side) for j in range(side)
    )


@pytest.mark.parametrize(("side", "padding"), [(1, 0), (3, 1), (3, 0), (5, 2)])
def test_convolution_and_all_its_derivatives(side, padding):
    """Values equal those of numpy; first and second derivatives in both modes equal those of XLA."""
    generator = np.random.default_rng(side)
    images, image_direction = generator.normal(size=(2, 3, 6, 5, 2))
    kernel, kernel_direction = generator.normal(size=(2, side, side, 2, 4))
    arguments, directions = (images, kernel), (image_direction, kernel_direction)

    def own(images, kernel):
        return jnp.sum(jnp.sin(convolve(images, kernel, padding)))

    def xla(images, kernel):
        edges = ((padding, padding),) * 2
        numbers = ("NHWC", "HWIO", "NHWC")
        found = jax.lax.conv_general_dilated(images, kernel, (1, 1), edges, dimension_numbers=numbers)
        return jnp.sum(jnp.sin(found))

    with jax.enable_x64(True):
        np.testing.assert_allclose(
            convolve(*map(jnp.asarray, arguments), padding),
            by_hand(*arguments, padding),
            rtol=1e-12,
            atol=1e-12,
        )
        for derive in (
            lambda function, at, along: jax.jvp(function, at, along),
            lambda function, at, along: jax.grad(function, (0, 1))(*at),
            lambda function, at, along: jax.jvp(jax.grad(function, (0, 1)), at, along),
            lambda function, at, along: jax.grad(lambda *a: jax.jvp(function, a, along)[1], (0, 1))(*at),
            lambda function, at, along: jax.linearize(jax.grad(function, (0, 1)), *at)[1](*along),
        ):
            found, expected = (
                jax.tree.leaves(jax.jit(derive, static_argnums=0)(function, arguments, directions))
                for function in (own, xla)
            )
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_convolutions_of_a_batch_are_those_of_its_parts():
    generator = np.random.default_rng(0)
    images, kernels = generator.normal(size=(2, 3, 6, 6, 2)), generator.normal(size=(3, 3, 2, 2, 4))
    with jax.enable_x64(True):
        both = jax.vmap(lambda x, k: convolve(x, k, 1), (0, 3))(images, kernels)
        shared = jax.vmap(lambda x: convolve(x, jnp.asarray(kernels[:, :, :, 0]), 1))(images)
    for index in range(2):
        np.testing.assert_allclose(
            both[index], by_hand(images[index], kernels[:, :, :, index], 1), rtol=1e-12
        )
        np.testing.assert_allclose(shared[index], by_hand(images[index], kernels[:, :, :, 0], 1), rtol=1e-12)


@pytest.mark.parametrize(("channels", "expected"), [(64, 112_960), (16, 27 * 16 + 3 * 9 * 16**2 + 160)])
def test_number_of_parameters_of_myrtle5(channels, expected):
    assert count(myrtle5(channels)) == expected


@pytest.mark.parametrize("size", [8, 32])
def test_myrtle5_is_the_network_of_neural_tangents(size):
    """Our network equals one of the library's layers (W_std = √2, no biases) with the same weights."""
    stax = _neural_tangents.load_module("stax")
    channels = 5

    def layers(count):
        convolution = stax.Conv(
            channels, (3, 3), padding="SAME", W_std=2**0.5, b_std=None, parameterization="standard"
        )
        return [convolution, stax.Relu()] * count

    pool = stax.AvgPool((2, 2), strides=(2, 2))
    readout = stax.Dense(10, W_std=2**0.5, b_std=None, parameterization="standard")
    with jax.enable_x64(True):
        _, apply, _ = stax.serial(
            *layers(2), pool, *layers(1), pool, *layers(1), stax.GlobalAvgPool(), readout
        )
        weights = parameters(myrtle5(channels), (size, size, 3), seed=3)
        kernels = [((weights[f"convolution_{index}"]["kernel"], 0.0), ()) for index in range(4)]
        theirs = [*kernels[0], *kernels[1], (), *kernels[2], (), *kernels[3], (), (weights["readout"], 0.0)]
        images = np.random.default_rng(1).normal(size=(4, size, size, 3))
        found = jax.jit(apply_function(myrtle5(channels)))(weights, images)
        np.testing.assert_allclose(found, jax.jit(apply)(theirs, images), rtol=1e-12, atol=1e-13)


def test_kernels_have_the_variance_of_a_weight_deviation_of_root_two():
    weights = parameters(myrtle5(64), (32, 32, 3))
    for name, fan_in in (("convolution_0", 27), ("convolution_1", 576), ("convolution_3", 576)):
        kernel = weights[name]["kernel"]
        # The relative standard error of the variance of n draws is √(2/n); the tolerance is four times as
        # large.
        assert kernel.var() == pytest.approx(2 / fan_in, rel=4 * (2 / kernel.size) ** 0.5)
    assert weights["readout"].var() == pytest.approx(2 / 64, rel=4 * (2 / 640) ** 0.5)


@pytest.mark.parametrize(("side", "kept"), [(8, 8), (7, 6)])
def test_average_pool_is_the_mean_of_four_pixels(side, kept):
    images = np.random.default_rng(2).normal(size=(2, side, side, 3))
    expected = sum(images[:, i:kept:2, j:kept:2] for i in (0, 1) for j in (0, 1)) / 4
    np.testing.assert_allclose(average_pool(jnp.asarray(images, jnp.float32)), expected, rtol=1e-5, atol=1e-6)


def test_images_of_an_mlp_are_rows_of_numbers():
    model = MLPSettings(width=5).build(10)
    weights = parameters(model)
    with jax.enable_x64(True):
        apply = apply_function(model)
        np.testing.assert_array_equal(apply(weights, IMAGES), apply(weights, IMAGES.reshape(3, -1)))


@pytest.mark.parametrize("arithmetic", ["tf32", "bfloat16"])
def test_lower_precision_is_of_products_alone(arithmetic):
    """Logits stay float32 and agree within the precision of the products, 7 bits of fraction or more."""
    weights = jax.tree.map(lambda leaf: leaf.astype(np.float32), parameters(myrtle5(16)))
    images = IMAGES.astype(np.float32)
    full = jax.jit(apply_function(myrtle5(16)))(weights, images)
    lower = jax.jit(apply_function(myrtle5(16, arithmetic)))(weights, images)
    assert lower.dtype == np.float32
    error = np.abs(lower - full).max() / np.abs(full).max()
    assert error < 4 * 2**-8
    if arithmetic == "bfloat16":
        assert error > 2**-24
    elif jax.default_backend() == "cpu":
        assert error < 2**-24  # a CPU has no TF32 and computes with full precision


def test_number_of_parameters_of_a_wide_resnet():
    """WRN-28-10 has 36.5 million parameters (its authors' table); the small network is counted here."""
    model = WideResNetSettings(kind="wide_resnet", depth=28, widening=10).build(10)
    assert count(model) == pytest.approx(36.5e6, rel=2e-3)
    convolutions = 9 * (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 16 * 32 + 32 * 64
    readout = 64 * 10 + 10
    assert count(wide_resnet(normalisation="none")) == convolutions + readout
    norms = 2 * (16 + 16 + 16 + 32 + 32 + 64 + 64)
    assert count(wide_resnet()) == convolutions + readout + norms


def test_batch_norm_counts_present_samples_alone():
    """Samples that only pad a batch change neither the logits nor the statistics."""
    model = wide_resnet()
    network = network_of(WIDE_RESNET, model, (8, 8, 3))
    weights = jax.tree.map(lambda leaf: leaf.astype(np.float32), parameters(model))
    images = IMAGES.astype(np.float32)
    train = jax.jit(network.train)
    alone, expected = train(weights, network.statistics, images, None)
    filled = np.concatenate([images, 100 * images[:2]])
    logits, statistics = train(weights, network.statistics, filled, np.arange(5) < 3)
    np.testing.assert_allclose(logits[:3], alone, rtol=2e-4, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), statistics, expected)


def test_batch_norm_collects_moving_averages():
    """After one batch, the statistics are 0.9 times the initial ones plus 0.1 times those of the batch."""
    model = wide_resnet()
    network = network_of(WIDE_RESNET, model, (8, 8, 3))
    weights = jax.tree.map(lambda leaf: leaf.astype(np.float32), parameters(model))
    _, statistics = jax.jit(network.train)(weights, network.statistics, IMAGES.astype(np.float32), None)
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = weights["first"]["kernel"]
    hidden = sum(padded[:, i : i + 8, j : j + 8] @ kernel[i, j] for i in range(3) for j in range(3))
    found = statistics["batch_stats"]["block_0_0_norm_0"]
    np.testing.assert_allclose(found["mean"], 0.1 * hidden.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["var"], 0.9 + 0.1 * hidden.var(axis=(0, 1, 2)), rtol=1e-4)
    evaluate = jax.jit(network.evaluate)
    assert not np.allclose(
        evaluate(weights, statistics, IMAGES.astype(np.float32)),
        evaluate(weights, network.statistics, IMAGES.astype(np.float32)),
    )


@pytest.mark.parametrize("depth", [10, 40])
def test_without_batch_norm_logits_stay_of_order_one_at_any_depth(depth):
    model = wide_resnet(depth=depth, normalisation="none")
    logits = jax.jit(apply_function(model))(parameters(model), IMAGES.astype(np.float32))
    assert 0.1 < float(jnp.std(logits)) < 10
    assert jax.tree.leaves(network_of(WIDE_RESNET, model, (8, 8, 3)).statistics) == []
