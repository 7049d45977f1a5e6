"""Several ways to train Myrtle5 on random images, and the convolutions of a step; `images.py` times them.

All of them train the same network with Nesterov's momentum, from the same initial parameters, in batches of
images of CIFAR-10's shape.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.lax import Precision

from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets import loading
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.models.convolution import convolve, kernel_gradient
from dynamical_loss.models.kind import Arithmetic
from dynamical_loss.models.kinds.myrtle5 import Myrtle5Settings
from dynamical_loss.models.network import Parameters
from dynamical_loss.training import problem as problems
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Problem, Runs, Schedule

COLOURS, CLASSES = 3, 10
LEARNING_RATE, MOMENTUM = 0.02, 0.9

AGREEMENT_STEPS = 5
AGREEMENT = {"full": 1e-4, "tf32": 1e-3, "bfloat16": 1e-2}

# Precision of products that a user of plain JAX would request; the default on a GPU is TF32.
_PRECISION = {"full": Precision.HIGHEST, "tf32": Precision.DEFAULT, "bfloat16": Precision.DEFAULT}

State = tuple[Parameters, Any]
"""Parameters and the state of the optimiser."""

Tree = TypeVar("Tree")


def finished(tree: Tree) -> Tree:
    """Wait until all arrays of a tree are computed, and return the tree."""
    done: Tree = jax.block_until_ready(tree)  # type: ignore[no-untyped-call]  # JAX has no type
    return done


class Case(NamedTuple):
    """Sizes and arithmetic of a training.

    Attributes:
        channels: number of channels of each convolution.
        batch: number of images in a batch.
        arithmetic: arithmetic of the products in convolutions.
        side: number of pixels along an edge of the square images.
        samples: number of training images.
    """

    channels: int
    batch: int
    arithmetic: Arithmetic = "full"
    side: int = 32
    samples: int = 5_000

    @property
    def keys(self) -> dict[str, Any]:
        """Keys that distinguish the measurements of this case from those of other cases."""
        return {"channels": self.channels, "batch": self.batch, "arithmetic": self.arithmetic}

    @property
    def image(self) -> tuple[int, int, int]:
        """Shape of an image: rows, columns, channels."""
        return (self.side, self.side, COLOURS)


class Layer(NamedTuple):
    """A 3×3 convolution that keeps the size of the images.

    Attributes:
        before: number of input channels.
        after: number of output channels.
        side: number of pixels along an edge of the square images.
    """

    before: int
    after: int
    side: int

    @property
    def products(self) -> int:
        """Number of multiply-adds in the forward pass of one image."""
        return 9 * self.before * self.after * self.side**2


def layers(case: Case) -> list[Layer]:
    """Return the four convolutions of Myrtle5."""
    c, s = case.channels, case.side
    return [Layer(COLOURS, c, s), Layer(c, c, s), Layer(c, c, s // 2), Layer(c, c, s // 4)]


def operations(case: Case) -> int:
    """Count the floating-point operations of the products in training on one image; a multiply-add is two.

    The gradient with respect to a layer's kernel costs as much as its forward pass, and so does the gradient
    with respect to its input images.  The first layer needs no gradient with respect to its input.
    """
    model = Myrtle5Settings(kind="myrtle5", channels=case.channels)
    forward = model.size(Shape(case.samples, case.samples, case.image, CLASSES)).products
    return 2 * (3 * forward - layers(case)[0].products)


@functools.cache
def data(side: int, samples: int) -> loading.Data:
    """Return random images and labels; the same images serve for training and validation."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((samples, side, side, COLOURS), np.float32)
    labels = generator.integers(CLASSES, size=samples)
    return loading.Data(images, labels, images, labels, classes=CLASSES)


def settings(case: Case, **changes: Any) -> TrainingSettings:
    """Return the pipeline's settings for this training."""
    return TrainingSettings.model_validate(
        {
            "model": {"kind": "myrtle5", "channels": case.channels},
            "optimiser": {"kind": "sgd", "arguments": {"momentum": MOMENTUM, "nesterov": True}},
            "batch_size": case.batch,
            "arithmetic": case.arithmetic,
            "learning_rate": LEARNING_RATE,
            **changes,
        }
    )


@functools.cache
def build(case: Case) -> tuple[Problem, Parameters]:
    """Build the problem as a stage of the pipeline does, with the initial parameters of one run.

    Loss and accuracy are recorded on a single sample, so that the times are almost only those of training.
    """
    return problems.build(settings(case, evaluation_samples=1), data(case.side, case.samples), range(1))


def runs(parameters: Parameters, period: int, amplitude: float, end: int) -> Runs:
    """Return runs that differ only in their seeds and stop oscillating at step `end`."""
    count = len(jax.tree.leaves(parameters)[0])
    return Runs(
        parameters,
        np.full(count, period, np.int32),
        np.full(count, amplitude, np.float32),
        np.full(count, LEARNING_RATE, np.float32),
        np.full(count, end, np.int32),
        np.arange(count, dtype=np.uint32),
    )


def convolution(images: jax.Array, kernel: jax.Array, precision: Precision, padding: int = 1) -> jax.Array:
    """Compute a convolution with XLA, in the memory layout for which XLA is fastest."""
    edge = (padding, padding)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), (edge, edge), dimension_numbers=layout, precision=precision
    )


class Plain:
    """A program that a good user of JAX would write for this network alone.

    The learning rate is constant, every step uses the same batch, and nothing is recorded.

    Attributes:
        state: state before the first step.
        images: images of the batch, on the device, (sample, row, column, channel).
        labels: classes of the images, integers, (sample,).
    """

    def __init__(self, case: Case, parameters: Parameters) -> None:
        everything = data(case.side, case.samples)
        self.images = jnp.asarray(everything.train_inputs[: case.batch])
        self.labels = jnp.asarray(everything.train_labels[: case.batch])
        optimiser = optax.sgd(LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
        first = jax.tree.map(lambda leaf: jnp.asarray(leaf[0], jnp.float32), parameters)
        self.state: State = (first, optimiser.init(first))
        precision = _PRECISION[case.arithmetic]
        dtype = jnp.bfloat16 if case.arithmetic == "bfloat16" else jnp.float32

        def loss(parameters: Parameters, images: jax.Array, labels: jax.Array) -> jax.Array:
            hidden = images.astype(dtype)
            for index, pooled in enumerate((False, True, True, False)):
                kernel = parameters[f"convolution_{index}"]["kernel"].astype(dtype)
                hidden = nn.relu(convolution(hidden, kernel, precision))
                if pooled:
                    hidden = nn.avg_pool(hidden, (2, 2), (2, 2))  # type: ignore[no-untyped-call]  # no type
            features = hidden.astype(jnp.float32).mean((1, 2))
            logits = jnp.matmul(features, parameters["readout"], precision=Precision.HIGHEST)
            each: jax.Array = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return each.mean()

        def step(state: State, images: jax.Array, labels: jax.Array) -> State:
            parameters, memory = state
            gradient = jax.grad(loss)(parameters, images, labels)
            updates, memory = optimiser.update(gradient, memory, parameters)
            return optax.apply_updates(parameters, updates), memory

        def loop(state: State, steps: int, images: jax.Array, labels: jax.Array) -> State:
            last: State = jax.lax.fori_loop(0, steps, lambda _, state: step(state, images, labels), state)
            return last

        self._step, self._loop, self._loss = jax.jit(step, donate_argnums=0), jax.jit(loop), jax.jit(loss)

    def steps_alone(self, steps: int) -> State:
        """Return the state after a number of steps, with one compiled call per step."""
        # The first compiled call reuses the memory of its argument, so it gets a copy.
        state: State = jax.tree.map(jnp.copy, self.state)
        for _ in range(steps):
            state = self._step(state, self.images, self.labels)
        return finished(state)

    def steps_in_a_loop(self, steps: int) -> State:
        """Return the state after a number of steps, all in one compiled call."""
        last: State = self._loop(self.state, steps, self.images, self.labels)
        return finished(last)

    def loss(self, state: State) -> float:
        """Return the mean cross-entropy of the batch."""
        return float(self._loss(state[0], self.images, self.labels))


def engine_loss(case: Case, steps: int) -> float:
    """Train the engine on the batch of `Plain`, and return the batch's static loss after the last step."""
    problem, parameters = build(case)
    # The training set is one batch, so that an epoch is one step and the order of the samples does not
    # matter.
    alone = dataclasses.replace(
        problem,
        train_inputs=problem.train_inputs[: case.batch],
        train_targets=problem.train_targets[: case.batch],
        evaluation_samples=None,
    )
    history = train_ensemble(alone, runs(parameters, 10, 1.0, 0), Schedule((steps,)), precision="float32")
    return float(history.loss[0, -1])


def disagreement(case: Case, name: str, found: float, plain: Plain) -> float:
    """Return the relative difference of a contender's loss from that of plain xla after `AGREEMENT_STEPS`.

    Raises:
        RuntimeError: if the difference is larger than rounding explains.
    """
    difference = abs(found / plain.loss(plain.steps_alone(AGREEMENT_STEPS)) - 1)
    if not difference <= AGREEMENT[case.arithmetic]:  # written with `not`, so that NaN counts as a difference
        raise RuntimeError(
            f"{name}: after {AGREEMENT_STEPS} steps of {case.channels} channels in {case.arithmetic} the "
            f"loss differs from that of plain xla by a relative {difference:.1e}"
        )
    return difference


def check_agreement(case: Case, plain: Plain) -> float:
    """Verify that the engine and the plain program compute the same; see `disagreement`."""
    return disagreement(case, "engine", engine_loss(case, AGREEMENT_STEPS), plain)


Call = Callable[[], jax.Array]


def _kernel_gradient(
    images: jax.Array, kernel: jax.Array, cotangent: jax.Array, precision: Precision
) -> jax.Array:
    _, pull_back = jax.vjp(lambda kernel: convolution(images, kernel, precision), kernel)
    found: jax.Array = pull_back(cotangent)[0]
    return found


def _image_gradient(
    images: jax.Array, kernel: jax.Array, cotangent: jax.Array, precision: Precision
) -> jax.Array:
    _, pull_back = jax.vjp(lambda images: convolution(images, kernel, precision), images)
    found: jax.Array = pull_back(cotangent)[0]
    return found


def convolutions(case: Case) -> dict[str, list[Call]]:
    """Return the convolutions of a training step by name, each in several forms of which one is the fastest.

    The forms of a gradient are: automatic differentiation of XLA's convolution; a convolution in the layout
    of the forward pass, whose operands are rearranged beforehand; and the engine's own function, which is
    in C where that is possible.
    """
    precision = _PRECISION[case.arithmetic]
    dtype = jnp.bfloat16 if case.arithmetic == "bfloat16" else jnp.float32
    forward = jax.jit(convolution, static_argnames=("precision", "padding"))
    of_kernel = jax.jit(_kernel_gradient, static_argnames="precision")
    of_images = jax.jit(_image_gradient, static_argnames="precision")
    own = jax.jit(lambda images, kernel: convolve(images, kernel, 1))
    own_of_kernel = jax.jit(lambda images, cotangent: kernel_gradient(images, cotangent, 1))
    generator = np.random.default_rng(0)

    def random(*shape: int) -> jax.Array:
        return jnp.asarray(generator.standard_normal(shape, np.float32), dtype)

    found: dict[str, list[Call]] = {}
    for index, (before, after, side) in enumerate(layers(case)):
        images, kernel = random(case.batch, side, side, before), random(3, 3, before, after)
        cotangent = random(case.batch, side, side, after)
        operands = (images, kernel, cotangent)
        found[f"{index} forward"] = [
            functools.partial(forward, images, kernel, precision),
            functools.partial(own, images, kernel),
        ]
        # The kernel's gradient is a convolution in which samples and channels have changed places.
        swapped = jnp.copy(images.transpose(3, 1, 2, 0)), jnp.copy(cotangent.transpose(1, 2, 0, 3))
        found[f"{index} kernel gradient"] = [
            functools.partial(of_kernel, *operands, precision=precision),
            functools.partial(forward, *swapped, precision),
            functools.partial(own_of_kernel, images, cotangent),
        ]
        if index > 0:
            flipped = jnp.copy(jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2))
            found[f"{index} image gradient"] = [
                functools.partial(of_images, *operands, precision=precision),
                functools.partial(forward, cotangent, flipped, precision),
                functools.partial(own, cotangent, flipped),
            ]
    return found
