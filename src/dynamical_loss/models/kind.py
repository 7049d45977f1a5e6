"""What every kind of network says of itself.

A kind is one module of `models/kinds`: its settings, its size for data of some shape, what builds it, its
name for readers and its measured cost.  Nothing here builds a network or imports JAX: a scheduler is told of
a job's size before JAX is ever imported.
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
"""Of a convolution's products: at the precision of the parameters, with 10 or with 7 bits of fraction."""


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


class Layer(NamedTuple):
    """Sizes of one layer; see `NetworkSize`."""

    parameters: int
    products: int
    outputs: int


def size_of(layers: Sequence[Layer]) -> NetworkSize:
    """The size of a network of these layers."""
    return NetworkSize(
        parameters=sum(layer.parameters for layer in layers),
        products=sum(layer.products for layer in layers),
        activations=sum(layer.outputs for layer in layers),
        widest=max(layer.outputs for layer in layers),
    )


def dense(before: int, after: int, bias: bool) -> Layer:
    """A matrix product with so many numbers before and after."""
    weights = (before + bias) * after
    return Layer(weights, weights, after)


def convolution(before: int, after: int, pixels: int, size: int = 3) -> Layer:
    """A square kernel without bias, for so many channels before and after, and pixels of the output."""
    weights = size**2 * before * after
    return Layer(weights, weights * pixels, after * pixels)


class Cost(NamedTuple):
    """What computing with a kind of network costs on one core, of single precision and one sample.

    Attributes:
        product: training, µs for each product of the forward pass.
        activation: training, µs for each activation.
        double: how much more a step costs in double precision.
        record: evaluating a sample, in training steps of that sample.
        probe: a product with the Hessian or the NTK, in training steps, by precision.
    """

    product: float
    activation: float
    double: float
    record: float
    probe: dict[str, float]


MEASURED: dict[str, dict[str, float]] = json.loads(
    Path(__file__).with_name("costs.json").read_text(encoding="utf-8")
)
"""Fields of `Cost` by the kind of layer, which ``python benchmarks/table.py`` takes from stored results."""

# A product with the Hessian took 3.8 training steps.
CONVOLUTIONS = Cost(**MEASURED["convolutional"], record=1 / 3, probe={"float32": 4.0, "float64": 4.0})
"""Of networks of convolutions."""


class HiddenLayer(NamedTuple):
    """A perceptron with one hidden ReLU layer, which the fused loop can train.

    Attributes:
        width: hidden units.
        bias: whether the layers have biases.
    """

    width: int
    bias: bool


class ModelSettings(Settings):
    """Settings of one network, and what all others ask of its kind.

    A kind that computes nothing unusual gives a field `kind`, `size`, `build`, `label` and a `cost`.

    Attributes:
        convolutional: whether it takes images (row, column, channel) and has products that may be rounded.
            It is then trained one run after the other even on an accelerator, where runs side by side would
            become slow grouped convolutions.
        has_state: whether it collects statistics while it trains: its module is then called with `training`
            and `present` too (`models.network`), and its variables other than parameters are that state.
        cost: what computing with it costs.
    """

    convolutional: ClassVar[bool] = False
    has_state: ClassVar[bool] = False
    cost: ClassVar[Cost]

    kind: str

    @abstractmethod
    def size(self, shape: Shape) -> NetworkSize:
        """How large it is and how much it computes, for data of that shape."""

    @abstractmethod
    def build(self, classes: int, arithmetic: Arithmetic = "full") -> nn.Module:
        """The network as a flax module.

        Args:
            classes: C, number of outputs.
            arithmetic: of the products of convolutions; others take the full precision.
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name and size, for the readers of a figure."""

    def computed_by(self, arithmetic: Arithmetic, precision: str) -> str:
        """What computes its products on this machine's CPU; empty where that is the training engine itself.

        Args:
            arithmetic: as `build` takes it.
            precision: of the parameters.
        """
        del arithmetic, precision
        return ""

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        """What the fused loop needs to know of it; None for a network that is one for XLA alone."""
        return None

    @property
    def analytic(self) -> bool:
        """Whether its outputs are analytic functions of its parameters, which may then be complex."""
        return False

    def unit_of(self, parameters: Any) -> Any:
        """Which hidden unit each parameter belongs to; None for a network whose units share parameters.

        Args:
            parameters: of the network, a pytree of arrays.

        Returns:
            a pytree of the same structure and shapes, of whole numbers from 0; −1 where there is no unit.
        """
        del parameters
        return None
