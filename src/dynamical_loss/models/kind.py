"""The interface of a kind of network.

A kind is one module of `models/kinds`.  It defines the kind's settings, its size for data of a given shape,
the function that builds the network, its label in figures, and its measured cost.  This module builds no
network and does not import JAX, because the size of a job is computed before JAX is imported.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from dynamical_loss.datasets.kind import Shape
from dynamical_loss.settings import Settings

if TYPE_CHECKING:
    import flax.linen as nn

Arithmetic = Literal["full", "tf32", "bfloat16"]
"""Precision of the products in a convolution.

``full`` is the precision of the parameters, ``tf32`` has 10 bits of fraction, and ``bfloat16`` has 7.
"""


class NetworkSize(NamedTuple):
    """Sizes of a network, and of a forward pass on one sample.

    Attributes:
        parameters: number of trained parameters; the statistics of batch norm are not counted.
        products: number of multiply-adds of a forward pass on one sample; each is two floating-point
            operations.  Products with the zeros of the padding are counted.  Adding a bias counts as one.
        activations: number of outputs of all layers together, for one sample.
        widest: number of outputs of the layer with the most outputs, for one sample.
    """

    parameters: int
    products: int
    activations: int
    widest: int


class Layer(NamedTuple):
    """Sizes of one layer; see `NetworkSize`."""

    parameters: int
    products: int
    outputs: int


def size_of(layers: Sequence[Layer]) -> NetworkSize:
    """Return the size of a network that consists of these layers."""
    return NetworkSize(
        parameters=sum(layer.parameters for layer in layers),
        products=sum(layer.products for layer in layers),
        activations=sum(layer.outputs for layer in layers),
        widest=max(layer.outputs for layer in layers),
    )


def dense(before: int, after: int, bias: bool) -> Layer:
    """Return the sizes of a dense layer with `before` inputs and `after` outputs."""
    weights = (before + bias) * after
    return Layer(weights, weights, after)


def convolution(before: int, after: int, pixels: int, size: int = 3) -> Layer:
    """Return the sizes of a convolution without bias.

    Args:
        before: number of input channels.
        after: number of output channels.
        pixels: number of pixels of the output.
        size: side of the square kernel, in pixels.
    """
    weights = size**2 * before * after
    return Layer(weights, weights * pixels, after * pixels)


class Cost(NamedTuple):
    """Time that one sample costs a kind of network on one core, in single precision.

    Attributes:
        product: time of a training step, in µs per product of the forward pass.
        activation: time of a training step, in µs per activation.
        double: factor by which a training step takes longer in double precision.
        record: time to evaluate a sample, in units of a training step on that sample.
        probe: time of a product with the Hessian or the neural tangent kernel, in units of a training step,
            by precision.
    """

    product: float
    activation: float
    double: float
    record: float
    probe: dict[str, float]


MEASURED: dict[str, dict[str, float]] = json.loads(
    Path(__file__).with_name("costs.json").read_text(encoding="utf-8")
)
"""Fields of `Cost` by kind of layer; ``python benchmarks/table.py`` derives them from stored results."""

# A product with the Hessian was measured to take as long as 3.8 training steps; `probe` rounds this up.
CONVOLUTIONS = Cost(**MEASURED["convolutional"], record=1 / 3, probe={"float32": 4.0, "float64": 4.0})
"""Cost of convolutional networks."""


class HiddenLayer(NamedTuple):
    """A perceptron with one hidden ReLU layer, which the fused loop can train.

    Attributes:
        width: number of hidden units.
        bias: whether the layers have biases.
    """

    width: int
    bias: bool


class ModelSettings(Settings):
    """Settings of one network, and the interface of its kind.

    A kind must define the field `kind`, the methods `size` and `build`, the property `label` and the
    attribute `cost`.  All other members have defaults.

    Attributes:
        convolutional: whether the network takes images (row, column, channel) and supports a reduced
            `Arithmetic`.  The runs of such a network are trained one after another, even on an accelerator:
            runs that are batched would become slow grouped convolutions.
        has_state: whether the network collects statistics during training, such as those of batch norm.  Its
            module is then also called with the arguments `training` and `present` (`models.network`), and all
            its variables other than the parameters are its state.
        cost: measured cost of training and evaluating the network.
    """

    convolutional: ClassVar[bool] = False
    has_state: ClassVar[bool] = False
    cost: ClassVar[Cost]

    kind: str

    @abstractmethod
    def size(self, shape: Shape) -> NetworkSize:
        """Return the number of parameters and of operations of the network, for data of this shape."""

    @abstractmethod
    def build(self, classes: int, arithmetic: Arithmetic = "full") -> nn.Module:
        """Build the network as a flax module.

        Args:
            classes: C, number of outputs.
            arithmetic: precision of the products in convolutions; all other products have full precision.
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """Name and size of the network, as figures show them."""

    def computed_by(self, arithmetic: Arithmetic, precision: str) -> str:
        """Name the library that computes the network's products on this CPU.

        Args:
            arithmetic: see `build`.
            precision: precision of the parameters.

        Returns:
            The name, or an empty string if the training engine itself computes the products.
        """
        del arithmetic, precision
        return ""

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        """Description of the network for the fused loop; None if only XLA can train the network."""
        return None

    @property
    def analytic(self) -> bool:
        """Whether the outputs are analytic functions of the parameters, which may then be complex."""
        return False

    def unit_of(self, parameters: Any) -> Any:
        """Assign each parameter to the hidden unit that it belongs to.

        Args:
            parameters: parameters of the network, a pytree of arrays.

        Returns:
            A pytree of the same structure and shapes that holds the index of the unit, counted from 0, or −1
            for a parameter that belongs to no unit.  None if the units of the network share parameters.
        """
        del parameters
        return None
