"""Measure what the weighting costs in other frameworks: a step with the dynamical loss over one without.

The network has two convolutions (16 and 32 channels) and learns images of 28 × 28 in batches of 100 by SGD.
Steps with and without the weighting take turns, and each framework has a process of its own.  In
PyTorch and Keras both train the same parameters: another place in memory alone changes a step by 5 %.
``python benchmarks/overhead.py torch 20`` prints the ratios of 20 groups of steps.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from machine import Measurement, measurement
from scipy.stats.mstats import trimmed_mean, trimmed_mean_ci

FRAMEWORKS = {
    "Flax NNX": "nnx",
    "Flax linen": "linen",
    "PyTorch": "torch",
    "Keras on JAX": "keras_jax",
    "Keras on torch": "keras_torch",
}
NEEDS = {
    "nnx": (),
    "linen": (),
    "torch": ("torch",),
    "keras_jax": ("keras",),
    "keras_torch": ("keras", "torch"),
}
"""Packages that each framework needs and that are in no lock file of users."""

QUANTITY = "step with the weighting / without"
_CLASSES = 10
_CUT = 0.05  # share of the ratios left out at each end

Step = Callable[[], None]


def _data() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    images = random.normal(size=(100, 28, 28, 1)).astype(np.float32)
    return images, random.integers(0, _CLASSES, 100)


def _schedule() -> Any:
    from dynamical_loss.api import class_weight_schedule

    return class_weight_schedule(period=100, amplitude=50.0, classes=_CLASSES)


def nnx() -> tuple[Step, Step]:
    """Return a step with the weighting and one without, in Flax NNX."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx as flax

    from dynamical_loss.adapters.flax import optimiser_step
    from dynamical_loss.api import cross_entropy, dynamical

    images, labels = map(jnp.asarray, _data())
    weighted = dynamical(cross_entropy, _schedule())

    class Network(flax.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = flax.Conv(1, 16, (3, 3), rngs=rngs)
            self.second = flax.Conv(16, 32, (3, 3), strides=2, rngs=rngs)
            self.last = flax.Linear(32 * 14 * 14, _CLASSES, rngs=rngs)

        def __call__(self, images: Any) -> Any:
            hidden = jax.nn.relu(self.second(jax.nn.relu(self.first(images))))
            return self.last(hidden.reshape(hidden.shape[0], -1))

    def made(with_weights: bool) -> Step:
        network = Network(flax.Rngs(0))
        optimiser = flax.Optimizer(network, optax.sgd(0.01), wrt=flax.Param)

        @flax.jit
        def step(network: Any, optimiser: Any) -> Any:
            def loss(network: Any) -> Any:
                logits = network(images)
                if with_weights:
                    return jnp.mean(weighted(logits, labels, optimiser_step(optimiser)))
                return jnp.mean(cross_entropy(logits, labels))

            value, gradients = flax.value_and_grad(loss)(network)
            optimiser.update(network, gradients)
            return value

        return lambda: jax.block_until_ready(step(network, optimiser))

    return made(True), made(False)


def linen() -> tuple[Step, Step]:
    """Return a step with the weighting and one without, in Flax linen."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import linen as flax
    from flax.training.train_state import TrainState

    from dynamical_loss.adapters.flax import optimiser_step
    from dynamical_loss.api import cross_entropy, dynamical

    images, labels = map(jnp.asarray, _data())
    weighted = dynamical(cross_entropy, _schedule())
    network = flax.Sequential(
        [
            flax.Conv(16, (3, 3)), flax.relu, flax.Conv(32, (3, 3), strides=2), flax.relu,
            lambda hidden: hidden.reshape(hidden.shape[0], -1), flax.Dense(_CLASSES),
        ]
    )  # fmt: skip

    def made(with_weights: bool) -> Step:
        parameters = network.init(jax.random.key(0), images[:1])
        held = [TrainState.create(apply_fn=network.apply, params=parameters, tx=optax.sgd(0.01))]

        @jax.jit
        def step(state: Any) -> Any:
            def loss(parameters: Any) -> Any:
                logits = network.apply(parameters, images)
                if with_weights:
                    return jnp.mean(weighted(logits, labels, optimiser_step(state)))
                return jnp.mean(cross_entropy(logits, labels))

            return state.apply_gradients(grads=jax.grad(loss)(state.params))

        def run() -> None:
            held[0] = jax.block_until_ready(step(held[0]))

        return run

    return made(True), made(False)


def torch() -> tuple[Step, Step]:
    """Return a step with the weighting and one without, in PyTorch."""
    import torch as pytorch

    from dynamical_loss.adapters.torch import DynamicalLoss

    pytorch.set_num_threads(1)
    arrays = _data()
    images, labels = pytorch.tensor(arrays[0]).permute(0, 3, 1, 2).contiguous(), pytorch.tensor(arrays[1])

    network = pytorch.nn.Sequential(
        pytorch.nn.Conv2d(1, 16, 3, padding=1), pytorch.nn.ReLU(),
        pytorch.nn.Conv2d(16, 32, 3, stride=2, padding=1), pytorch.nn.ReLU(),
        pytorch.nn.Flatten(), pytorch.nn.Linear(32 * 14 * 14, _CLASSES),
    )  # fmt: skip

    def made(with_weights: bool) -> Step:
        optimiser = pytorch.optim.SGD(network.parameters(), lr=0.01)
        criterion = DynamicalLoss(_schedule(), optimiser) if with_weights else pytorch.nn.CrossEntropyLoss()

        def step() -> None:
            optimiser.zero_grad()
            criterion(network(images), labels).backward()
            optimiser.step()

        return step

    return made(True), made(False)


def _keras(backend: str) -> tuple[Step, Step]:
    os.environ["KERAS_BACKEND"] = backend
    import keras

    from dynamical_loss.adapters.keras import DynamicalLoss, StepCounter

    if backend == "torch":
        import torch as pytorch

        pytorch.set_num_threads(1)
    images, labels = _data()

    layers = [
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(_CLASSES),
    ]

    def made(with_weights: bool) -> Step:
        counter = [StepCounter()] if with_weights else []
        loss: Any = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if with_weights:
            loss = DynamicalLoss(_schedule(), counter[0])
        model = keras.Sequential([*layers, *counter])
        model.compile(keras.optimizers.SGD(0.01), loss)

        def step() -> None:
            float(model.train_on_batch(images, labels))

        return step

    return made(True), made(False)


def keras_jax() -> tuple[Step, Step]:
    """Return a step with the weighting and one without, in Keras on JAX."""
    return _keras("jax")


def keras_torch() -> tuple[Step, Step]:
    """Return a step with the weighting and one without, in Keras on torch."""
    return _keras("torch")


def ratios(steps: tuple[Step, Step], groups: int) -> list[float]:
    """Return the processor time with the weighting over that without, in each group of four steps.

    The steps of a group are in the order 0, 1, 1, 0 or 1, 0, 0, 1, so that a drift of speed cancels.

    Args:
        steps: the step with the weighting and the one without.
        groups: number of ratios.
    """
    for step in steps:  # compiles
        for _ in range(3):
            step()
    found = []
    for group in range(groups):
        times = [0.0, 0.0]
        for which in (0, 1, 1, 0) if group % 2 else (1, 0, 0, 1):
            begun = time.process_time()
            steps[which]()
            times[which] += time.process_time() - begun
        found.append(times[0] / times[1])
    return found


def summary(found: Sequence[float]) -> dict[str, float]:
    """Return the geometric mean of ratios without their extreme tenth, with its 95 % interval."""
    logarithms = np.log(found)
    limits = (_CUT, _CUT)
    low, high = trimmed_mean_ci(logarithms, limits=limits, alpha=0.05)
    ends = {"ratio": trimmed_mean(logarithms, limits=limits), "lower": low, "upper": high}
    return {name: math.exp(value) for name, value in ends.items()}


def measure(groups: int, frameworks: Iterable[str] = tuple(FRAMEWORKS)) -> list[Measurement]:
    """Measure every framework that is installed.

    Args:
        groups: number of ratios of each framework, at least 2.
        frameworks: keys of `FRAMEWORKS`.
    """
    result = []
    for words in frameworks:
        name = FRAMEWORKS[words]
        missing = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
        if missing:
            print(f"overhead: {words} is left out, because {' and '.join(missing)} is not installed")
            continue
        done = subprocess.run(
            [sys.executable, __file__, name, str(groups)], stdout=subprocess.PIPE, text=True, check=True
        )
        found = summary(json.loads(done.stdout.splitlines()[-1]))
        ends = {end: found[end] for end in ("lower", "upper")}
        keys = {"framework": words, "groups": groups, **ends}
        result.append(measurement("overhead", QUANTITY, "ratio", found["ratio"], **keys))
    return result


if __name__ == "__main__":
    made: Callable[[], tuple[Step, Step]] = globals()[sys.argv[1]]
    print(json.dumps(ratios(made(), int(sys.argv[2]))))
