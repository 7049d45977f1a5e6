"""Ways of training Myrtle5 on random images, and what their steps are made of; `images.py` times them.

All train the same network by Nesterov's momentum in batches of images of CIFAR-10's shape, from the same
initial parameters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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

# What a user of plain JAX would ask for: on a GPU, its default is TF32.
_PRECISION = {"full": Precision.HIGHEST, "tf32": Precision.DEFAULT, "bfloat16": Precision.DEFAULT}

State = tuple[Parameters, Any]
"""Parameters and what the optimiser remembers."""


class Case(NamedTuple):
    """What is trained.

    Attributes:
        channels: of each convolution.
        batch: images a step.
        arithmetic: of the convolutions' products.
        side: pixels of a square image's edge.
        samples: images of the training set.
    """

    channels: int
    batch: int
    arithmetic: Arithmetic = "full"
    side: int = 32
    samples: int = 5_000

    @property
    def keys(self) -> dict[str, Any]:
        """What distinguishes its measurements from those of other cases."""
        return {"channels": self.channels, "batch": self.batch, "arithmetic": self.arithmetic}

    @property
    def image(self) -> tuple[int, int, int]:
        """Shape of an image: rows, columns, channels."""
        return (self.side, self.side, COLOURS)


class Layer(NamedTuple):
    """A 3×3 convolution that leaves the size of its images.

    Attributes:
        before: channels of its inputs.
        after: channels of its outputs.
        side: pixels of an edge.
    """

    before: int
    after: int
    side: int

    @property
    def products(self) -> int:
        """Multiplications with an addition each, of one image's forward pass."""
        return 9 * self.before * self.after * self.side**2


def layers(case: Case) -> list[Layer]:
    """The four convolutions of Myrtle5."""
    c, s = case.channels, case.side
    return [Layer(COLOURS, c, s), Layer(c, c, s), Layer(c, c, s // 2), Layer(c, c, s // 4)]


def operations(case: Case) -> int:
    """Floating-point operations of the products of training on one image, a multiply-add counted as two.

    The gradient of each layer's kernel and that of its images cost as much as its forward pass; the first
    layer's images need none.
    """
    model = Myrtle5Settings(kind="myrtle5", channels=case.channels)
    forward = model.size(Shape(case.samples, case.samples, case.image, CLASSES)).products
    return 2 * (3 * forward - layers(case)[0].products)


@functools.cache
def data(side: int, samples: int) -> loading.Data:
    """Random images and labels, as many for validation."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((samples, side, side, COLOURS), np.float32)
    labels = generator.integers(CLASSES, size=samples)
    return loading.Data(images, labels, images, labels, classes=CLASSES)


def settings(case: Case, **changes: Any) -> TrainingSettings:
    """The pipeline's settings of this training."""
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
    """The problem as a stage of the pipeline builds it, and the initial parameters of one run.

    Records look at one sample, as next to nothing but training is to be timed.
    """
    return problems.build(settings(case, evaluation_samples=1), data(case.side, case.samples), range(1))


def runs(parameters: Parameters, period: int, amplitude: float, end: int) -> Runs:
    """Runs that differ in their seeds alone, and stop oscillating at step `end`."""
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
    """XLA's own, in the layout that it knows best."""
    edge = (padding, padding)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), (edge, edge), dimension_numbers=layout, precision=precision
    )


class Plain:
    """What a good user of JAX would write for this one network: no schedule, no order, no records.

    Attributes:
        state: before the first step.
        images: the one batch, on the device.
        labels: integers, (sample,).
        steps_alone: (state, number of steps) → state, one compiled call a step.
        steps_in_a_loop: the same in one compiled call.
        loss: (parameters) → mean cross-entropy of the batch.
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
                hidden = nn.avg_pool(hidden, (2, 2), (2, 2)) if pooled else hidden
            features = hidden.astype(jnp.float32).mean((1, 2))
            logits = jnp.matmul(features, parameters["readout"], precision=Precision.HIGHEST)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        def step(state: State, images: jax.Array, labels: jax.Array) -> State:
            parameters, memory = state
            gradient = jax.grad(loss)(parameters, images, labels)
            updates, memory = optimiser.update(gradient, memory, parameters)
            return optax.apply_updates(parameters, updates), memory

        def loop(state: State, steps: int, images: jax.Array, labels: jax.Array) -> State:
            return jax.lax.fori_loop(0, steps, lambda _, state: step(state, images, labels), state)

        self._step, self._loop, self._loss = jax.jit(step, donate_argnums=0), jax.jit(loop), jax.jit(loss)

    def steps_alone(self, steps: int) -> State:
        """The state after so many steps, one compiled call each."""
        state = jax.tree.map(jnp.copy, self.state)  # the first call takes its memory
        for _ in range(steps):
            state = self._step(state, self.images, self.labels)
        return jax.block_until_ready(state)

    def steps_in_a_loop(self, steps: int) -> State:
        """The state after so many steps, all in one compiled call."""
        return jax.block_until_ready(self._loop(self.state, steps, self.images, self.labels))

    def loss(self, state: State) -> float:
        """Mean cross-entropy of the batch."""
        return float(self._loss(state[0], self.images, self.labels))


def engine_loss(case: Case, steps: int) -> float:
    """The static loss of the one batch of `Plain` after so many steps of the engine on it."""
    problem, parameters = build(case)
    # As many samples as a batch has: each epoch is one step, whatever the order of its samples.
    alone = dataclasses.replace(
        problem,
        train_inputs=problem.train_inputs[: case.batch],
        train_targets=problem.train_targets[: case.batch],
        evaluation_samples=None,
    )
    history = train_ensemble(alone, runs(parameters, 10, 1.0, 0), Schedule((steps,)), precision="float32")
    return float(history.loss[0, -1])


def disagreement(case: Case, name: str, found: float, plain: Plain) -> float:
    """By how much a contender's loss after some steps differs from that of plain xla, as a share of it.

    Raises:
        RuntimeError: if it is more than rounding explains.
    """
    difference = abs(found / plain.loss(plain.steps_alone(AGREEMENT_STEPS)) - 1)
    if not difference <= AGREEMENT[case.arithmetic]:  # a NaN is no agreement
        raise RuntimeError(
            f"{name}: after {AGREEMENT_STEPS} steps of {case.channels} channels in {case.arithmetic} the "
            f"loss differs from that of plain xla by {difference:.1e} of it"
        )
    return difference


def check_agreement(case: Case, plain: Plain) -> float:
    """Hold engine and plain program to the same computation; see `disagreement`."""
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
    """The convolutions of a training step by name, each in the forms in which it may be fastest.

    These are what automatic differentiation of XLA's convolution makes of it, one of the same layout as the
    forward pass, its operands arranged beforehand, and the engine's own, in C where that is possible.
    """
    precision = _PRECISION[case.arithmetic]
    dtype = jnp.bfloat16 if case.arithmetic == "bfloat16" else jnp.float32
    forward = jax.jit(convolution, static_argnames=("precision", "padding"))
    of_kernel = jax.jit(_kernel_gradient, static_argnames="precision")
    of_images = jax.jit(_image_gradient, static_argnames="precision")
    own = jax.jit(lambda *pair: convolve(*pair, 1))
    own_of_kernel = jax.jit(lambda *pair: kernel_gradient(*pair, 1))
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
        # Channels in the place of samples, samples in the place of channels.
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
