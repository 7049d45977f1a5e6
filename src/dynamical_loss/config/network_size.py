"""How large a network is and how much it computes, from its settings and the shape of its data alone.

Nothing here builds a network: a scheduler is told of a job's size before JAX is ever imported.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from dynamical_loss.config.datasets import Shape
from dynamical_loss.config.models import MLPSettings, ModelSettings, Myrtle5Settings, WideResNetSettings


class NetworkSize(NamedTuple):
    """Sizes of a network, those of a sample for its forward pass.

    Attributes:
        parameters: all that are trained; statistics of batch norm are not.
        products: multiplications with an addition each, two floating-point operations; zeros of the padding
            count too, additions of biases as one each.
        activations: outputs of all layers, numbers.
        widest: outputs of the layer that has the most, numbers.
    """

    parameters: int
    products: int
    activations: int
    widest: int


class _Layer(NamedTuple):
    parameters: int
    products: int
    outputs: int


def network_size(model: ModelSettings, shape: Shape) -> NetworkSize:
    """The size of a network for data of that shape."""
    layers = _layers(model, shape)
    return NetworkSize(
        parameters=sum(layer.parameters for layer in layers),
        products=sum(layer.products for layer in layers),
        activations=sum(layer.outputs for layer in layers),
        widest=max(layer.outputs for layer in layers),
    )


def _layers(model: ModelSettings, shape: Shape) -> list[_Layer]:
    if isinstance(model, MLPSettings):
        return _perceptron(model, math.prod(shape.sample), shape.classes)
    if isinstance(model, Myrtle5Settings):
        return _myrtle5(model, shape)
    return _wide_resnet(model, shape)


def _dense(before: int, after: int, bias: bool) -> _Layer:
    weights = (before + bias) * after
    return _Layer(weights, weights, after)


def _convolution(before: int, after: int, pixels: int, size: int = 3) -> _Layer:
    """Without bias; `pixels` are those of the output."""
    weights = size**2 * before * after
    return _Layer(weights, weights * pixels, after * pixels)


def _perceptron(model: MLPSettings, features: int, classes: int) -> list[_Layer]:
    sizes = [features, *[model.width] * model.depth, classes]
    bias = model.initialisation != "no_bias"
    return [_dense(before, after, bias) for before, after in itertools.pairwise(sizes)]


def _myrtle5(model: Myrtle5Settings, shape: Shape) -> list[_Layer]:
    rows, columns, before = shape.sample
    layers = []
    for pooled in (False, True, True, False):
        layers.append(_convolution(before, model.channels, rows * columns))
        before = model.channels
        if pooled:
            rows, columns = rows // 2, columns // 2
    return [*layers, _dense(before, shape.classes, bias=False)]


def _wide_resnet(model: WideResNetSettings, shape: Shape) -> list[_Layer]:
    rows, columns, colours = shape.sample
    layers = [_convolution(colours, 16, rows * columns)]

    def normalise(channels: int) -> None:
        if model.normalisation == "batch":
            layers.append(_Layer(2 * channels, 0, channels * rows * columns))

    before = 16
    for stage, block in itertools.product(range(3), range((model.depth - 4) // 6)):
        after = 16 * model.widening * 2**stage
        halved = stage > 0 and block == 0
        normalise(before)
        if halved:
            rows, columns = -(-rows // 2), -(-columns // 2)
        layers.append(_convolution(before, after, rows * columns))
        normalise(after)
        layers.append(_convolution(after, after, rows * columns))
        if halved or before != after:
            layers.append(_convolution(before, after, rows * columns, size=1))
        before = after
    normalise(before)
    return [*layers, _dense(before, shape.classes, bias=True)]
