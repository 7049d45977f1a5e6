"""Multilayer perceptron, in the standard and in the neural-tangent parametrisation."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from dynamical_loss.models.initialisations import PRESETS, Initialisation

_BETA = 5.0
_SOFTPLUS_FACTOR = 1.4043833476318723  # E[softplus_β(z)²]^(−1/2) over z ~ N(0, 1), by quadrature


def softplus(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return σ(z) = c·ln(1 + e^{βz})/β with β = 5 and c such that E[σ(z)²] = 1 over z ~ N(0, 1).

    This is the activation function of arXiv 1906.08034.  Its authors estimate c from random numbers; here c
    is computed by quadrature.
    """
    scaled = _BETA * values
    # On a CPU this form is up to 1.7 times as fast as flax's softplus, which also checks for NaN.
    return _SOFTPLUS_FACTOR / _BETA * (jnp.maximum(scaled, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(scaled))))


_ACTIVATIONS = {"relu": nn.relu, "tanh": jnp.tanh, "softplus": softplus}

_FANS: dict[str, Literal["fan_in", "fan_avg"]] = {"in": "fan_in", "average": "fan_avg"}


class Dense(nn.Module):
    """Affine layer on activations laid out (feature, sample).

    With the samples along the fast axis, the activations of a run stay in cache, and the bias and the kernel
    share one matrix product.  For width 100 on a CPU, a training step takes about half the time that it takes
    in the usual layout (sample, feature).

    Attributes:
        features: number of outputs.
        kernel_init: initialiser of the kernel (feature_in, feature_out).
        bias_init: initialiser of the bias (feature_out,); None for a layer without bias.
        scale: factor that multiplies the stored kernel; 1 in the standard parametrisation.
    """

    features: int
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer | None
    scale: float = 1.0

    @nn.compact
    def __call__(self, inputs: Num[Array, "feature_in sample"]) -> Num[Array, "feature_out sample"]:
        """Map activations (feature_in, sample) to (feature_out, sample)."""
        shape = (inputs.shape[0], self.features)
        dtype = inputs.dtype
        kernel = self.param("kernel", self.kernel_init, shape, dtype)
        if self.scale != 1.0:
            kernel = self.scale * kernel
        if self.bias_init is None:
            return kernel.T @ inputs
        bias = self.param("bias", self.bias_init, (self.features,), dtype)
        if shape[0] > shape[1]:
            return kernel.T @ inputs + bias[:, None]
        augmented = jnp.concatenate([inputs, jnp.ones((1, inputs.shape[1]), dtype)])
        return jnp.concatenate([kernel, bias[None]]).T @ augmented


class MLP(nn.Module):
    """Fully connected network.

    In the neural-tangent parametrisation, a kernel is stored with an initial standard deviation of 1, and the
    layer multiplies it by the intended standard deviation s.  The initial function of the network is the
    same as in the standard parametrisation, but gradient descent moves the kernels s² times as far.  Biases
    are stored in the same way in both parametrisations.

    Attributes:
        width: number of units in each hidden layer.
        classes: number of outputs.
        depth: number of hidden layers; the paper uses 1.
        initialisation: distribution of the initial kernels and biases.
        neural_tangent: whether kernels are stored with an initial standard deviation of 1.
        activation: activation function of the hidden units, ``relu``, ``tanh`` or ``softplus``.
    """

    width: int
    classes: int
    depth: int = 1
    initialisation: Initialisation = PRESETS["lecun"]
    neural_tangent: bool = False
    activation: str = "relu"

    @nn.compact
    def __call__(self, inputs: Float[Array, "sample ..."]) -> Num[Array, "sample class_index"]:
        """Map inputs (sample, …) to logits (sample, class_index).  Images are flattened."""
        hidden = inputs.reshape(len(inputs), -1).T
        for index in range(self.depth):
            layer = self._layer(f"hidden_{index}", hidden, self.width, first=index == 0)
            hidden = _ACTIVATIONS[self.activation](layer(hidden))
        return self._layer("output", hidden, self.classes, first=False)(hidden).T

    def _layer(self, name: str, inputs: jax.Array, outputs: int, first: bool) -> Dense:
        start = self.initialisation
        bias = None
        if start.bias is not None:
            bias = nn.initializers.normal(start.bias) if start.bias else nn.initializers.zeros_init()
        scale = start.standard_deviation(inputs.shape[0], outputs, first) if self.neural_tangent else 1.0
        return Dense(outputs, _kernel(start, first, scale), bias, scale, name=name)


def _kernel(start: Initialisation, first: bool, scale: float) -> nn.initializers.Initializer:
    """Return the initialiser of a kernel that its layer multiplies by `scale`."""
    factor = start.first_factor if first else start.further_factor
    if start.fan == "none":
        draw = nn.initializers.normal(start.variance**0.5)
    else:
        draw = nn.initializers.variance_scaling(start.variance, _FANS[start.fan], start.distribution)
    if factor == scale:
        return draw

    def scaled(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
        return draw(key, shape, dtype) * (factor / scale)

    return scaled
