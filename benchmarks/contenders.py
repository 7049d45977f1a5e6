"""Several ways to do the same training steps, from the authors' notebook to a loop in C.

All contenders train the paper's spiral network by gradient descent on the same dynamical loss, and from the
same initial parameters; :func:`check_agreement` verifies that their losses agree.  The cost of a step is the
difference between a long and a short run, so that the time of start-up and compilation cancels.
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
RULES: dict[str, dict[str, Any]] = {"constant": {}, "dal": {"kind": "dal", "power": 1, "cap": 2}}
"""Rules that set the learning rate of a step, by name."""

# Gradient descent at η = 1 amplifies rounding errors: at width 1000 they grow by five orders of magnitude in
# 50 steps.
AGREEMENT_STEPS = {"float32": 10, "float64": 50}
AGREEMENT = {"float32": 2e-4, "float64": 1e-8}


class Case(NamedTuple):
    """Width of the network, and the precision of its parameters and data."""

    width: int
    precision: Precision


Engine = Literal["xla", "fused"]

Train = Callable[[int], Array]
"""A function that takes the number of steps and returns the final dynamical losses, (seed,)."""


@functools.cache
def data() -> Data:
    """Return the paper's spiral: 300 training and 300 validation samples."""
    stored = SpiralSettings().prepare()
    parts = [f"{part}_{what}" for part in ("train", "validation") for what in ("input", "label")]
    inputs, labels, validation_inputs, validation_labels = (stored[name].values for name in parts)
    return Data(inputs, labels, validation_inputs, validation_labels, classes=3)


@functools.cache
def build(case: Case, seeds: int, rule: str = "constant") -> tuple[Problem, Parameters]:
    """Build the problem as a stage of the pipeline does, with the initial parameters of the first seeds."""
    settings = TrainingSettings.model_validate(
        {"model": {"width": case.width}, "precision": case.precision, "learning_rate_rule": RULES[rule]}
    )
    return problems.build(settings, data(), range(seeds))


def same_runs(parameters: Parameters, steps: int) -> Runs:
    """Return runs that differ only in their initial parameters and oscillate until the last step."""
    count = len(jax.tree.leaves(parameters)[0])
    return Runs(
        parameters,
        np.full(count, PERIOD),
        np.full(count, AMPLITUDE),
        np.full(count, LEARNING_RATE),
        np.full(count, steps + 1),
    )


def notebook(case: Case, seeds: int) -> Train:
    """Train as the authors' notebooks do: one run, a loop in Python, four compiled calls per step.

    Update, loss, training accuracy and validation accuracy are compiled separately.  The class weights are
    computed on the host, and the numbers of every step are stored in Python lists.
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
        found: jax.Array = hidden @ p["output"]["kernel"] + p["output"]["bias"]
        return found

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
        normalised: Array = 3 * gamma / gamma.sum()
        return normalised

    update_now, loss_now, accuracy_now = jax.jit(update), jax.jit(loss), jax.jit(accuracy)

    def run(steps: int) -> Array:
        p = initial
        losses, train_accuracies, validation_accuracies = [], [], []
        for step in range(steps):
            p = update_now(p, weights(step), *train)
            losses.append(float(loss_now(p, weights(step + 1), *train)))
            train_accuracies.append(float(accuracy_now(p, *train)))
            validation_accuracies.append(float(accuracy_now(p, *validation)))
        return np.asarray(losses[-1:])

    return run


def plain_vmap(case: Case, seeds: int) -> Train:
    """Train with the most obvious program: ``vmap`` over seeds and automatic differentiation of ``x @ W``."""
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


def engine(name: Engine, case: Case, seeds: int, rule: str = "constant") -> Train:
    """Train with one of the pipeline's engines, under one of `RULES`."""
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
    """Train with the loop of floor.c."""
    _, parameters = build(case, seeds)

    def run(steps: int) -> Array:
        settings: dict[str, Any] = {"period": PERIOD, "amplitude": AMPLITUDE, "learning_rate": LEARNING_RATE}
        single = [jax.tree.map(lambda leaf, k=k: leaf[k], parameters) for k in range(seeds)]
        points = (data().train_inputs, data().train_labels)
        return np.asarray(
            [floor.train(*points, p, steps=steps, precision=case.precision, **settings)[0] for p in single]
        )

    return run


def idle(case: Case, seeds: int) -> Train:
    """Do only what all contenders share: imports, data and initial parameters."""
    build(case, seeds)
    return lambda steps: np.full(seeds, np.nan)


@dataclass(frozen=True)
class Contender:
    """One way of training.

    Attributes:
        prepare: function that takes the case and the number of seeds, and returns the training function.
        seeds: number of runs in the ensemble at width 100 and at width 1000; 0: the contender is left out.
        steps: length of the long run at width 100 and at width 1000; the short run is a fifth as long.
        keeps_lengths: whether the contender compiles again for each new length of a run.
    """

    prepare: Callable[[Case, int], Train]
    seeds: tuple[int, int]
    steps: tuple[int, int]
    keeps_lengths: bool = False

    def seeds_at(self, width: int) -> int:
        """Return the number of runs in the ensemble."""
        return self.seeds[width >= 500]

    def steps_at(self, width: int, scale: float) -> int:
        """Return the length of the long run, a multiple of 5."""
        return max(5, round(self.steps[width >= 500] * scale / 5) * 5)


_PAIRS = 10

# Each long run takes at least a third of a second, so that the noise of the clock and of compilation is
# small.
CONTENDERS = {
    "notebook": Contender(notebook, (1, 1), (1000, 400)),
    REFERENCE: Contender(plain_vmap, (16, 8), (500, 60), keeps_lengths=True),
    "plain vmap, 50 seeds": Contender(plain_vmap, (50, 0), (120, 0), keeps_lengths=True),
    "xla engine": Contender(functools.partial(engine, "xla"), (16, 8), (2500, 300)),
    "fused engine": Contender(functools.partial(engine, "fused"), (16, 8), (6000, 800)),
    "floor": Contender(hand_written, (1, 1), (100_000, 10_000)),
}


def taking_part(width: int) -> dict[str, Contender]:
    """Return the contenders at a width; the hand-written loop needs a C compiler."""
    return {
        name: contender
        for name, contender in CONTENDERS.items()
        if contender.seeds_at(width) and (name != "floor" or floor.compiler())
    }


def check_agreement(case: Case, trains: dict[str, Train]) -> float:
    """Verify that all contenders compute the same, by the losses of the seeds they share with the reference.

    Returns:
        the largest relative difference from the reference.

    Raises:
        RuntimeError: if a contender differs by more than rounding explains; the message names the contender.
    """
    steps = AGREEMENT_STEPS[case.precision]
    expected = trains[REFERENCE](steps)
    largest = 0.0
    for name, train in trains.items():
        found = train(steps)
        common = min(len(found), len(expected))
        # Written with `not`, so that NaN counts as a difference.
        difference = float(np.max(np.abs(found[:common] / expected[:common] - 1)))
        if not difference <= AGREEMENT[case.precision]:
            raise RuntimeError(
                f"{name}: after {steps} steps at width {case.width} in {case.precision} the loss "
                f"differs from that of {REFERENCE} by a relative {difference:.1e}"
            )
        largest = max(largest, difference)
    return largest


def step_time(train: Train, lengths: tuple[int, int], seeds: int) -> float:
    """Return the processor time per step and run, µs, from a short and a long training of `seeds` runs.

    A disturbance can make the short training the longer one.  Such a pair is measured again.

    Raises:
        RuntimeError: if the long training takes no longer than the short one in each of several pairs.
    """
    for _ in range(_PAIRS):
        marks = [time.process_time()]
        for steps in lengths:
            train(steps)
            marks.append(time.process_time())
        short, long = np.diff(marks)
        if long > short:
            return float(long - short) / ((lengths[1] - lengths[0]) * seeds) * 1e6
    raise RuntimeError(
        f"{lengths[1]} steps took no longer than {lengths[0]} in {_PAIRS} pairs; this machine is too busy to "
        "measure a step"
    )


def step_times(case: Case, repetitions: int, scale: float) -> tuple[dict[str, list[float]], float]:
    """Time all contenders at one width and precision.

    Returns:
        processor times per step and run, µs, one per repetition, by contender; the largest relative
        difference between their losses.
    """
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
            # The first call compiles, and finds caches and memory cold.
            for steps in lengths[name] if contender.keeps_lengths else lengths[name][:1]:
                trains[name](steps)
        for _ in range(repetitions):
            for name, train in trains.items():
                times[name].append(step_time(train, lengths[name], contenders[name].seeds_at(case.width)))
    return times, disagreement


def first_call(name: str, width: int, precision: Precision, seeds: int, steps: int) -> dict[str, float]:
    """Measure the processor seconds of the first call in this process, and its peak memory in MB.

    A worker calls this function in a fresh process.
    """
    case = Case(width, precision)
    prepare = idle if name == "idle" else CONTENDERS[name].prepare
    with jax.enable_x64(precision == "float64"):
        (jnp.ones(3) + 1).block_until_ready()  # starts JAX, whose start-up is not part of the compilation
        train = prepare(case, seeds)
        start = sum(os.times()[:4])  # includes child processes: the C compiler
        train(steps)
        return {"seconds": sum(os.times()[:4]) - start, "memory": machine.peak_memory()}


def measure(
    cases: Sequence[Case],
    repetitions: int,
    scale: float,
    alone: Sequence[str] = (*CONTENDERS, "idle"),
) -> list[Measurement]:
    """Measure cost of a step, ratios and agreement of all contenders; then compilation and memory.

    Args:
        cases: widths and precisions.
        repetitions: number of times that each contender is timed.
        scale: factor on the numbers of steps; below 1 the times are too short to be meaningful.
        alone: names of the contenders whose compilation and memory are measured, each in a fresh process.
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
    """Measure the cost of the first call beyond its steps, and the peak memory, each in a fresh process.

    The time of compilation comes from a process that finds nothing compiled on disk.  The memory comes from
    a process that finds what the contender keeps on disk.  Only the fused engine keeps its compiled loop
    there; XLA compiles in every process.
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
    # By now this process has written the compiled loop to disk, where the second call finds it.
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
