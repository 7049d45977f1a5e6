"""Ways of doing the same training steps, from the authors' notebook to a loop in C, side by side.

All train the paper's spiral network by gradient descent on the same dynamical loss, from the same
initial parameters; :func:`check_agreement` holds them to it.  A step's cost is the difference between a
long and a short run, so that starting and compiling cancel.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import floor
import jax
import jax.numpy as jnp
import machine
import numpy as np
import numpy.typing as npt
import optax
import worker
from machine import Measurement, measurement

from dynamical_loss.config.training import TrainingSettings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.datasets.loading import Data
from dynamical_loss.losses.weights import class_weights
from dynamical_loss.models.network import Parameters
from dynamical_loss.training import problem as problems
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Problem, Runs, Schedule

Precision = Literal["float32", "float64"]
Array = npt.NDArray[Any]

PERIOD, AMPLITUDE, LEARNING_RATE = 200, 10.0, 1.0
WIDTHS = (100, 1000)
PRECISIONS: tuple[Precision, ...] = ("float32", "float64")
REFERENCE = "plain vmap"
RULES = {"constant": {}, "dal": {"kind": "dal", "power": 1, "cap": 2}}
"""What makes the learning rate of a step, by name."""

# Gradient descent at η = 1 amplifies rounding: at width 1000 by five orders of magnitude in 50 steps.
AGREEMENT_STEPS = {"float32": 10, "float64": 50}
AGREEMENT = {"float32": 2e-4, "float64": 1e-8}


class Case(NamedTuple):
    """Width of the network and precision of everything."""

    width: int
    precision: Precision


Train = Callable[[int], Array]
"""Number of steps → final dynamical losses, (seed,)."""


@functools.cache
def data() -> Data:
    """The paper's spiral: 300 training and 300 validation samples."""
    stored = SpiralSettings().prepare()
    parts = [f"{part}_{what}" for part in ("train", "validation") for what in ("input", "label")]
    return Data(*(stored[name].values for name in parts), classes=3)


@functools.cache
def build(case: Case, seeds: int, rule: str = "constant") -> tuple[Problem, Parameters]:
    """The problem as a stage of the pipeline builds it, and initial parameters of the first seeds."""
    settings = TrainingSettings.model_validate(
        {"model": {"width": case.width}, "precision": case.precision, "learning_rate_rule": RULES[rule]}
    )
    return problems.build(settings, data(), range(seeds))


def same_runs(parameters: Parameters, steps: int) -> Runs:
    """Runs that differ in their initial parameters alone and oscillate to the end."""
    count = len(jax.tree.leaves(parameters)[0])
    return Runs(
        parameters,
        np.full(count, PERIOD),
        np.full(count, AMPLITUDE),
        np.full(count, LEARNING_RATE),
        np.full(count, steps + 1),
    )


def notebook(case: Case, seeds: int) -> Train:
    """The way of the authors' notebooks: one run, a loop in Python, four compiled calls a step.

    Update, loss, training accuracy and validation accuracy are compiled on their own; the class weights
    are made on the host; every step's numbers end up in Python lists.
    """
    _, stacked = build(case, seeds)
    initial = jax.tree.map(lambda leaf: jnp.asarray(leaf[0], case.precision), stacked)
    everything = data()
    train, validation = (
        (jnp.asarray(inputs, case.precision), jnp.asarray(everything.one_hot(labels), case.precision))
        for inputs, labels in (
            (everything.train_inputs, everything.train_labels),
            (everything.validation_inputs, everything.validation_labels),
        )
    )

    def logits(p: Parameters, x: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(x @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"])
        return hidden @ p["output"]["kernel"] + p["output"]["bias"]

    def loss(p: Parameters, gamma: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits(p, x)) * y * gamma, axis=1))

    def update(p: Parameters, gamma: jax.Array, x: jax.Array, y: jax.Array) -> Parameters:
        gradient = jax.grad(loss)(p, gamma, x, y)
        return jax.tree.map(lambda value, slope: value - LEARNING_RATE * slope, p, gradient)

    def accuracy(p: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(jnp.argmax(logits(p, x), axis=1) == jnp.argmax(y, axis=1))

    def weights(step: int) -> Array:
        phase = step % PERIOD / PERIOD
        gamma = np.ones(3, case.precision)
        gamma[step // PERIOD % 3] = 1 + (AMPLITUDE - 1) * (1 - abs(2 * phase - 1))
        return 3 * gamma / gamma.sum()

    update, loss_now, accuracy = jax.jit(update), jax.jit(loss), jax.jit(accuracy)

    def run(steps: int) -> Array:
        p = initial
        losses, train_accuracies, validation_accuracies = [], [], []
        for step in range(steps):
            p = update(p, weights(step), *train)
            losses.append(float(loss_now(p, weights(step + 1), *train)))
            train_accuracies.append(float(accuracy(p, *train)))
            validation_accuracies.append(float(accuracy(p, *validation)))
        return np.asarray(losses[-1:])

    return run


def plain_vmap(case: Case, seeds: int) -> Train:
    """What one writes first: ``vmap`` over seeds of automatic differentiation through ``x @ W + b``."""
    _, parameters = build(case, seeds)
    stacked = jax.tree.map(lambda leaf: jnp.asarray(leaf, case.precision), parameters)
    inputs, labels = jnp.asarray(data().train_inputs, case.precision), jnp.asarray(data().train_labels)

    def loss(p: Parameters, gamma: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(inputs @ p["hidden_0"]["kernel"] + p["hidden_0"]["bias"])
        logits = hidden @ p["output"]["kernel"] + p["output"]["bias"]
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(gamma[labels] * each)

    @functools.partial(jax.jit, static_argnums=1)
    def compiled(stacked: Parameters, steps: int) -> jax.Array:
        def one(p: Parameters) -> jax.Array:
            def step(p: Parameters, t: jax.Array) -> tuple[Parameters, None]:
                gradient = jax.grad(loss)(p, class_weights(t, PERIOD, AMPLITUDE, 3))
                return jax.tree.map(lambda value, slope: value - LEARNING_RATE * slope, p, gradient), None

            p, _ = jax.lax.scan(step, p, jnp.arange(steps))
            return loss(p, class_weights(steps, PERIOD, AMPLITUDE, 3))

        return jax.vmap(one)(stacked)

    return lambda steps: np.asarray(compiled(stacked, steps))


def engine(name: Literal["xla", "fused"], case: Case, seeds: int, rule: str = "constant") -> Train:
    """The training engine of the pipeline, with one of `RULES`."""
    problem, parameters = build(case, seeds, rule)

    def run(steps: int) -> Array:
        history = train_ensemble(
            problem,
            same_runs(parameters, steps),
            Schedule.regular(steps, steps),
            precision=case.precision,
            engine=name,
        )
        return history.weighted_loss[:, -1]

    return run


def hand_written(case: Case, seeds: int) -> Train:
    """The loop of floor.c."""
    _, parameters = build(case, seeds)

    def run(steps: int) -> Array:
        settings = {"period": PERIOD, "amplitude": AMPLITUDE, "learning_rate": LEARNING_RATE}
        single = [jax.tree.map(lambda leaf, k=k: leaf[k], parameters) for k in range(seeds)]
        points = (data().train_inputs, data().train_labels)
        return np.asarray(
            [floor.train(*points, p, steps=steps, precision=case.precision, **settings)[0] for p in single]
        )

    return run


def idle(case: Case, seeds: int) -> Train:
    """Nothing but what all contenders share: imports, data and initial parameters."""
    build(case, seeds)
    return lambda steps: np.full(seeds, np.nan)


@dataclass(frozen=True)
class Contender:
    """One way of training.

    Attributes:
        prepare: (case, number of seeds) → its training function.
        seeds: runs in the ensemble at width 100 and at width 1000; 0: does not take part.
        steps: length of the long run at width 100 and at width 1000, the short one being a fifth of it.
        keeps_lengths: whether it compiles each length once, at its first run of that length.
    """

    prepare: Callable[[Case, int], Train]
    seeds: tuple[int, int]
    steps: tuple[int, int]
    keeps_lengths: bool = False

    def seeds_at(self, width: int) -> int:
        """Runs in the ensemble."""
        return self.seeds[width >= 500]

    def steps_at(self, width: int, scale: float) -> int:
        """Length of the long run, a multiple of 5."""
        return max(5, round(self.steps[width >= 500] * scale / 5) * 5)


# Each long run takes a third of a second or more: the noise of a clock and of compiling is small in it.
CONTENDERS = {
    "notebook": Contender(notebook, (1, 1), (1000, 400)),
    REFERENCE: Contender(plain_vmap, (16, 8), (500, 60), keeps_lengths=True),
    "plain vmap, 50 seeds": Contender(plain_vmap, (50, 0), (120, 0), keeps_lengths=True),
    "xla engine": Contender(functools.partial(engine, "xla"), (16, 8), (2500, 300)),
    "fused engine": Contender(functools.partial(engine, "fused"), (16, 8), (6000, 800)),
    "floor": Contender(hand_written, (1, 1), (100_000, 10_000)),
}


def taking_part(width: int) -> dict[str, Contender]:
    """The contenders of that width; without a C compiler the hand-written loop is none."""
    return {
        name: contender
        for name, contender in CONTENDERS.items()
        if contender.seeds_at(width) and (name != "floor" or floor.compiler())
    }


def check_agreement(case: Case, trains: dict[str, Train]) -> float:
    """Hold the contenders to the same computation by the loss of every seed that two have in common.

    Returns:
        the largest relative difference from the reference.

    Raises:
        RuntimeError: naming the contender that differs by more than rounding explains.
    """
    steps = AGREEMENT_STEPS[case.precision]
    expected = trains[REFERENCE](steps)
    largest = 0.0
    for name, train in trains.items():
        found = train(steps)
        common = min(len(found), len(expected))
        # A NaN differs from everything.
        difference = float(np.max(np.abs(found[:common] / expected[:common] - 1)))
        if not difference <= AGREEMENT[case.precision]:
            raise RuntimeError(
                f"{name}: after {steps} steps at width {case.width} in {case.precision} the loss "
                f"differs from that of {REFERENCE} by {difference:.1e} of it"
            )
        largest = max(largest, difference)
    return largest


def step_time(train: Train, lengths: tuple[int, int], seeds: int) -> float:
    """Processor time of a step of a run, µs, from a short and a long training of so many runs."""
    marks = [time.process_time()]
    for steps in lengths:
        train(steps)
        marks.append(time.process_time())
    short, long = np.diff(marks)
    return float(long - short) / ((lengths[1] - lengths[0]) * seeds) * 1e6


def step_times(case: Case, repetitions: int, scale: float) -> tuple[dict[str, list[float]], float]:
    """Processor time of a step of a run, µs, of each contender in each repetition; their disagreement."""
    contenders = taking_part(case.width)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with jax.enable_x64(case.precision == "float64"):
        trains = {
            name: contender.prepare(case, contender.seeds_at(case.width))
            for name, contender in contenders.items()
        }
        disagreement = check_agreement(case, trains)
        lengths = {}
        for name, contender in contenders.items():
            long = contender.steps_at(case.width, scale)
            lengths[name] = (long // 5, long)
            if contender.keeps_lengths:
                for steps in lengths[name]:
                    trains[name](steps)
        for _ in range(repetitions):
            for name, train in trains.items():
                times[name].append(step_time(train, lengths[name], contenders[name].seeds_at(case.width)))
    return times, disagreement


def first_call(name: str, width: int, precision: Precision, seeds: int, steps: int) -> dict[str, float]:
    """Processor seconds of the first call in this process, and the peak memory, MB.  For a worker."""
    case = Case(width, precision)
    prepare = idle if name == "idle" else CONTENDERS[name].prepare
    with jax.enable_x64(precision == "float64"):
        jax.block_until_ready(jnp.ones(3) + 1)  # starting JAX is nobody's compilation
        train = prepare(case, seeds)
        start = sum(os.times()[:4])  # with that of the C compiler
        train(steps)
        return {"seconds": sum(os.times()[:4]) - start, "memory": machine.peak_memory()}


def measure(
    cases: Sequence[Case],
    repetitions: int,
    scale: float,
    alone: Sequence[str] = (*CONTENDERS, "idle"),
) -> list[Measurement]:
    """Cost of a step, ratios, and agreement of all contenders, then their compilation and memory.

    Args:
        cases: widths and precisions.
        repetitions: of the steps.
        scale: of the number of steps, 1 for numbers that mean something.
        alone: those whose compilation and memory are measured, each in a process of its own.
    """
    result: list[Measurement] = []
    for case in cases:
        times, disagreement = step_times(case, repetitions, scale)
        result.append(
            measurement(
                "agreement",
                "largest difference",
                "1",
                disagreement,
                steps=AGREEMENT_STEPS[case.precision],
                **case._asdict(),
            )
        )
        for name, contender in CONTENDERS.items():
            if seeds := contender.seeds_at(case.width):
                keys = {"contender": name, **case._asdict(), "seeds": seeds}
                if name not in times:
                    keys["note"] = "no C compiler was found"
                result += _of_step(times, name, keys)
    return result + _of_fresh_process(result, cases, scale, alone)


def _of_step(times: dict[str, list[float]], name: str, keys: dict[str, Any]) -> list[Measurement]:
    own = times.get(name)
    entries = [
        measurement("step", "time", "µs/step/run", own, **keys),
        measurement("step", "throughput", "step·run/s/core", own and [1e6 / value for value in own], **keys),
    ]
    for quantity, other, faster in (
        ("times faster than plain vmap", REFERENCE, True),
        ("times slower than the floor", "floor", False),
    ):
        ratios = None
        if own and other in times:
            pairs = zip(times[other], own, strict=True)
            ratios = [theirs / mine if faster else mine / theirs for theirs, mine in pairs]
        entries.append(measurement("step", quantity, "1", ratios, **keys))
    return entries


def _of_fresh_process(
    measured: Sequence[Measurement], cases: Sequence[Case], scale: float, alone: Sequence[str]
) -> list[Measurement]:
    """What the first call costs beyond its steps, and the peak memory, each in a process of its own.

    Processor time of compiling is that of a process that finds nothing compiled.  Memory is that of one
    that finds on disk what a contender keeps there: the fused loop; XLA compiles in every process.
    """
    jobs: list[dict[str, Any]] = []
    for case in cases:
        for name, contender in taking_part(case.width).items():
            steps = contender.steps_at(case.width, scale / 5)
            keys = {"name": name, **case._asdict(), "seeds": contender.seeds_at(case.width)}
            jobs.append({**keys, "steps": steps})
        jobs.append({"name": "idle", **case._asdict(), "seeds": 1, "steps": 1})
    jobs = [job for job in jobs if job["name"] in alone]
    cost = {
        (entry["contender"], entry["width"], entry["precision"]): entry["median"]
        for entry in measured
        if (entry["section"], entry["quantity"]) == ("step", "time")
    }
    # This process has already kept what can be kept.
    again = [job for job in jobs if job["name"] == "fused engine"]
    calls = [{**job, "cold": True} for job in jobs] + again
    found = worker.call_all("contenders.first_call", calls, machine.cores())
    memory = {
        (job["name"], job["width"], job["precision"]): answer["memory"]
        for job, answer in zip(jobs + again, found, strict=True)
    }
    result = []
    for job, answer in zip(jobs, found, strict=False):
        name, width, precision, seeds = (job[key] for key in ("name", "width", "precision", "seeds"))
        keys = {"contender": name, "width": width, "precision": precision, "seeds": seeds}
        result.append(measurement("process", "peak memory", "MB", memory[name, width, precision], **keys))
        if name != "idle":
            steady = cost[name, width, precision] * job["steps"] * seeds / 1e6
            compilation = max(0.0, answer["seconds"] - steady)
            result.append(measurement("process", "compilation", "s", compilation, **keys))
    return result
