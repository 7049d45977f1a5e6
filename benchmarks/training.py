"""What a training step costs, beside the obvious way of writing it, in one and the same process.

    python benchmarks/training.py [--width 100] [--precision float32] [--steps 1500] [--seeds 50]

The engine runs its seeds one after the other in the (feature, sample) layout; the plain version is what
one writes first: ``vmap`` over seeds of automatic differentiation through ``x @ W + b``.  Both train the
same networks from the same parameters with the same Γ(t), and the script checks that their losses agree.
One thread, processor time (not wall time), several repetitions taken in turns: other work on the machine
disturbs it little.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dynamical_loss import datasets, losses, models
from dynamical_loss.config.datasets import SpiralSettings
from dynamical_loss.config.training import ModelSettings
from dynamical_loss.datasets import Data
from dynamical_loss.optimisers import optimiser
from dynamical_loss.training import Problem, Runs, Schedule, train_ensemble
from dynamical_loss.weights import class_weights

PERIOD, AMPLITUDE, LEARNING_RATE = 200, 10.0, 1.0
REPETITIONS = 3


def plain(data: Data, parameters: models.Parameters, steps: int, dtype: str) -> Callable[[], jax.Array]:
    """The obvious program: final dynamical losses, (seed,)."""
    inputs, labels = jnp.asarray(data.train_inputs, dtype), jnp.asarray(data.train_labels)

    def loss(p: models.Parameters, gamma: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(inputs @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"])
        logits = hidden @ p["output"]["kernel"] + p["output"]["bias"]
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(gamma[labels] * each)

    def run(p: models.Parameters) -> jax.Array:
        def step(p: models.Parameters, t: jax.Array) -> tuple[models.Parameters, None]:
            gradient = jax.grad(loss)(p, class_weights(t, PERIOD, AMPLITUDE, 3))
            return jax.tree.map(lambda x, g: x - LEARNING_RATE * g, p, gradient), None

        p, _ = jax.lax.scan(step, p, jnp.arange(steps))
        return loss(p, class_weights(steps, PERIOD, AMPLITUDE, 3))

    stacked = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), parameters)
    compiled = jax.jit(jax.vmap(run)).lower(stacked).compile()
    return lambda: jax.block_until_ready(compiled(stacked))


def engine(
    data: Data, parameters: models.Parameters, steps: int, dtype: str, width: int
) -> Callable[[], np.ndarray]:
    """The project's engine: final dynamical losses, (seed,)."""
    model = models.build(ModelSettings(width=width), 3)
    problem = Problem(
        apply=models.apply_function(model),
        loss=losses.cross_entropy,
        waveform="triangle",
        optimiser=optimiser("sgd", {}),
        train_inputs=data.train_inputs,
        train_targets=data.one_hot(data.train_labels),
        validation_inputs=data.validation_inputs,
        validation_targets=data.one_hot(data.validation_labels),
    )
    seeds = len(jax.tree.leaves(parameters)[0])
    runs = Runs(
        parameters,
        np.full(seeds, PERIOD),
        np.full(seeds, AMPLITUDE),
        np.full(seeds, LEARNING_RATE),
        np.full(seeds, steps + 1),
    )
    schedule = Schedule.regular(steps, steps)
    return lambda: train_ensemble(problem, runs, schedule, precision=dtype).weighted_loss[:, -1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=100, help="hidden units [100]")
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--steps", type=int, default=1500, help="steps a run [1500]")
    parser.add_argument(
        "--seeds", type=int, default=50, help="runs in the ensemble; the paper has 50 a cell [50]"
    )
    arguments = parser.parse_args()
    stored = datasets.generate(SpiralSettings())
    parts = [f"{part}_{what}" for part in ("train", "validation") for what in ("input", "label")]
    data = Data(*(stored[name].values for name in parts), classes=3)
    model = models.build(ModelSettings(width=arguments.width), 3)
    parameters = models.initial_parameters(model, (2,), range(arguments.seeds))
    runs = arguments.steps * arguments.seeds
    with jax.enable_x64(arguments.precision == "float64"):
        obvious = plain(data, parameters, arguments.steps, arguments.precision)
        ours = engine(data, parameters, arguments.steps, arguments.precision, arguments.width)
        # Compilation is the engine's own business: what two lengths differ by is the cost of steps.
        short = engine(data, parameters, arguments.steps // 2, arguments.precision, arguments.width)
        times: dict[str, list[float]] = {"plain": [], "engine": [], "ratio": []}
        for _ in range(REPETITIONS):
            marks = [time.process_time()]
            for call in (obvious, ours, short):
                result = call()
                marks.append(time.process_time())
                if call is obvious:
                    reference = np.asarray(result)
                if call is ours:
                    # The runs are chaotic for late times: agreement is asked of a share of the seeds.
                    close = np.isclose(result, reference, rtol=0.05).mean()
            plain_time, full, half = np.diff(marks)
            times["plain"].append(plain_time / runs * 1e6)
            times["engine"].append((full - half) / (runs - arguments.steps // 2 * arguments.seeds) * 1e6)
            times["ratio"].append(times["plain"][-1] / times["engine"][-1])
    print(f"width {arguments.width}, {arguments.precision}, 300 samples, {arguments.seeds} seeds, one thread")
    for name, unit in (
        ("plain", "µs a step a run"),
        ("engine", "µs a step a run"),
        ("ratio", "times faster"),
    ):
        values = times[name]
        spread = f"best {min(values):.1f}, worst {max(values):.1f}"
        print(f"{name:>7}: median {np.median(values):6.1f} {unit} ({spread})")
    print(f"same final loss within 5 % in {close:.0%} of the runs")


if __name__ == "__main__":
    main()
