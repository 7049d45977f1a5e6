"""Measure the cost of gradient flow: a trial step of the compiled loop, divided by a plain gradient.

The problem is that of the default study of feature and lazy training (docs/lazy.md): 200 samples of 64
numbers, two hidden layers of Softplus, float64.  A plain gradient is a call of ``jax.jit(jax.grad(loss))``
from Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from machine import Measurement, measurement

from dynamical_loss.config.lazy import LazySettings
from dynamical_loss.models.network import apply_function, initial_parameters
from dynamical_loss.training import margin_flow
from dynamical_loss.training.gradient_flow import Tolerance
from dynamical_loss.training.margin_flow import NetworkConstants, Samples

SAMPLES, FEATURES, ALPHA = 200, 64, 0.01

Run = Callable[[int], Any]


def contenders(width: int) -> dict[str, Run]:
    """Return two functions that do a given number of evaluations of the flow, or of plain gradients.

    JAX must be in double precision when this function is called.
    """
    random = np.random.RandomState(0)
    inputs = random.normal(size=(SAMPLES, FEATURES))
    inputs *= np.sqrt(FEATURES) / np.linalg.norm(inputs, axis=1, keepdims=True)
    labels = jnp.asarray(np.where(np.arange(SAMPLES) % 2, 1.0, -1.0))
    data = Samples(jnp.asarray(inputs), labels)
    model = LazySettings().model(width).build(1)
    apply = apply_function(model)
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), initial_parameters(model, (FEATURES,), [0]))
    first = margin_flow.outputs_of(apply, start, data.inputs)
    programs = margin_flow.network_flow(apply, labels, "soft_hinge", Tolerance(1e-4, 0.1), 1e-3)
    constants = NetworkConstants(data, ALPHA, first)
    state = programs.begin(constants, start, 1.0)

    def loss(parameters: Any) -> jax.Array:
        margins = ALPHA * (margin_flow.outputs_of(apply, parameters, data.inputs) - first) * labels
        return jnp.mean(jax.nn.softplus(20.0 * (1.0 - margins)) / 20.0) / ALPHA**2

    gradient = jax.jit(jax.grad(loss))
    check_agreement(state.velocity, gradient(start))

    def plain(count: int) -> None:
        for _ in range(count):
            found = gradient(start)
        jax.block_until_ready(found)  # type: ignore[no-untyped-call]  # JAX has no type

    return {
        "flow": lambda count: programs.advance(constants, state, 1 + count).loss.block_until_ready(),
        "gradient": plain,
    }


def check_agreement(velocity: Any, gradient: Any) -> None:
    """Verify that the flow's velocity is the negative gradient, as otherwise the times could not be compared.

    Raises:
        RuntimeError: if the two differ by more than rounding explains.
    """
    flat = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (velocity, gradient)
    ]
    difference = np.linalg.norm(flat[0] + flat[1]) / np.linalg.norm(flat[1])
    if not difference < 1e-10:
        raise RuntimeError(f"the flow's velocity and the gradient differ by {difference:.1e} of their length")


def measure(widths: Sequence[int], repetitions: int, evaluations: int) -> list[Measurement]:
    """Measure the times of an evaluation and of a plain gradient, alternately, and their ratios.

    Args:
        widths: numbers h of units in a hidden layer.
        repetitions: number of times that each of the two is timed.
        evaluations: number of evaluations per repetition; it must be smaller than a complete flow needs.
    """
    result = []
    with jax.enable_x64(True):
        for width in widths:
            runs = contenders(width)
            times: dict[str, list[float]] = {name: [] for name in runs}
            for run in runs.values():
                run(2)
            for _ in range(repetitions):
                for name, run in runs.items():
                    began = time.process_time()
                    run(evaluations)
                    times[name].append((time.process_time() - began) / evaluations * 1e6)
            ratios = [one / other for one, other in zip(times["flow"], times["gradient"], strict=True)]
            result.append(measurement("flow", "time", "µs", times["flow"], width=width))
            result.append(measurement("flow", "times a plain gradient", "1", ratios, width=width))
    return result
