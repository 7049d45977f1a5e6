"""Measure the speed of training Myrtle5, in images per second, for the engine and other contenders.

The others are plain programs, and the convolutions of a step alone.  On a CPU, times are processor time of
one thread; on another device they are wall time.

The engine and the other contenders are timed alternately.  The engine reports its progress after each stretch
of steps, and the others are timed in these pauses.  The first stretch is not counted, because it compiles.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import image_training
import jax
import jax.numpy as jnp
import numpy as np
import pytorch
import roofline
import worker
from image_training import Call, Case
from jax.lax import Precision
from machine import Measurement, measurement

from dynamical_loss.analysis.intervals import student_interval
from dynamical_loss.datasets import loading
from dynamical_loss.datasets.kinds.digits import DigitsSettings
from dynamical_loss.results.record import Inputs
from dynamical_loss.stages import prepare_dataset
from dynamical_loss.training import problem as problems
from dynamical_loss.training import types, xla
from dynamical_loss.training.ensemble import train_ensemble
from dynamical_loss.training.types import Problem, Schedule

CONTENDERS = ("engine", "plain xla", "plain xla in a loop", "convolutions alone")
PYTORCH = "pytorch"
"""Name of a contender that is timed only with the option ``--pytorch``."""

REFERENCES = {
    "of plain xla": "plain xla",
    "of the convolutions alone": "convolutions alone",
    "of pytorch": PYTORCH,
}
# The paper's schedule: its points are at epochs 0, 300 and 700 of 700.
SCHEDULE: list[list[float]] = [[0, 0], [0.428571, 1], [1, 0.1]]
OSCILLATION_STOP = 0.857143  # epoch 600 of 700
CELLS = ((100, 1.0), (30, 50.0))  # T and A: the static loss, and a period of one epoch of the digits

IN_A_LOOP = CONTENDERS[2]
_MOST_STEPS = 500  # most steps of a plain program per timing: some tenths of a second on any device
_SHORTEST = 0.05  # shortest time for which a convolution is repeated, s: the clock's noise is then small

Timer = Callable[[], float]
"""A function that measures the time of a step once, s."""


def clock() -> float:
    """Return the processor time of this process on a CPU, or the wall time on another device, s."""
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


def _seconds(call: Callable[[], Any], calls: int) -> float:
    start = clock()
    for _ in range(calls):
        done = call()
    image_training.finished(done)
    return (clock() - start) / calls


def _torch_seconds(torch: pytorch.Torch, steps: int) -> float:
    start = clock()
    torch.steps(steps)
    return (clock() - start) / steps


class Convolutions:
    """A timer for the sum of a step's convolutions, each run alone and in its fastest form."""

    def __init__(self, case: Case) -> None:
        self.chosen: list[tuple[Call, int]] = []
        for forms in image_training.convolutions(case).values():
            times = []
            for form in forms:
                image_training.finished(form())
                times.append(min(_seconds(form, 1) for _ in range(3)))
            best = int(np.argmin(times))
            self.chosen.append((forms[best], math.ceil(_SHORTEST / max(times[best], 1e-5))))

    def __call__(self) -> float:
        """Return the sum of the times, s."""
        return sum(_seconds(call, calls) for call, calls in self.chosen)


@functools.cache
def stretch_length(case: Case) -> int:
    """Return the number of steps between two reports of the engine's progress."""
    problem, _ = image_training.build(case)
    return xla._stretch_length(problem, 1)


def _on_device(problem: Problem) -> types.Data:
    arrays = (
        problem.train_inputs,
        problem.train_targets,
        problem.validation_inputs,
        problem.validation_targets,
    )
    return types.Data(*(jnp.asarray(array, jnp.float32) for array in arrays))


def step_times(case: Case, repetitions: int, with_pytorch: bool) -> tuple[dict[str, list[float]], float]:
    """Measure the seconds per step of each contender in each repetition, and their largest disagreement.

    Raises:
        RuntimeError: if the contenders do not compute the same.
    """
    length = stretch_length(case)
    steps = length * (repetitions + 1)
    problem, parameters = image_training.build(case)
    points = tuple((place * steps, factor) for place, factor in SCHEDULE)
    plain = image_training.Plain(case, parameters)
    disagreement = image_training.check_agreement(case, plain)
    torch = pytorch.Torch(case, parameters) if with_pytorch else None
    if torch is not None:
        torch.steps(image_training.AGREEMENT_STEPS)
        disagreement = max(disagreement, image_training.disagreement(case, PYTORCH, torch.loss(), plain))
    # On a CPU, XLA has no fast convolutions within a loop: a step takes thirty to a hundred times as long.
    # There the loop is short and is timed only once.
    slow = jax.default_backend() == "cpu"
    several = min(length, _MOST_STEPS)
    few = max(1, length // 100) if slow else several
    others: dict[str, Timer] = {}
    found: dict[str, list[float]] = {name: [] for name in (*CONTENDERS, *([PYTORCH] if torch else []))}
    mark = 0.0

    def pause(done: float) -> None:
        nonlocal mark
        now = clock()
        if not others:
            # This is the first stretch.  The last stretch is empty, because training ends where it would
            # start.
            if done != 1 / (repetitions + 2):
                raise RuntimeError(f"a stretch of the engine is not {length} steps")
            # The contenders are compiled here: compiled earlier, they would have to be compiled again,
            # because the engine changes settings of JAX.
            alone = Convolutions(case)
            plain.steps_alone(1)
            plain.steps_in_a_loop(0)
            others["plain xla"] = lambda: _seconds(lambda: plain.steps_alone(several), 1) / several
            others[IN_A_LOOP] = lambda: _seconds(lambda: plain.steps_in_a_loop(few), 1) / few
            others["convolutions alone"] = alone
            if torch is not None:
                torch.steps(1)
                others[PYTORCH] = lambda: _torch_seconds(torch, several)
        elif len(found["engine"]) < repetitions:
            found["engine"].append((now - mark) / length)
        if len(found["plain xla"]) < repetitions:
            for name, measure_once in others.items():
                if not (slow and name == IN_A_LOOP and found[name]):
                    found[name].append(measure_once())
        mark = clock()

    train_ensemble(
        dataclasses.replace(problem, learning_rate_points=points),
        image_training.runs(parameters, *CELLS[-1], round(OSCILLATION_STOP * steps)),
        Schedule((steps,)),
        precision="float32",
        progress=pause,
    )
    return found, disagreement


def matrix_product(repetitions: int) -> float:
    """Measure the best speed of a product of float32 matrices, GFLOP/s.

    On a CPU this is the faster of XLA's and numpy's products, on another device XLA's.
    """
    size = 1024 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((size, size), np.float32))
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=Precision.HIGHEST))
    image_training.finished(multiply(matrix, matrix))
    best = min(_seconds(lambda: multiply(matrix, matrix), 10) for _ in range(repetitions))
    speed = 2 * size**3 / best / 1e9
    return max(speed, roofline.matrix_product("float32", repetitions)) if size == 1024 else speed


class Moved(NamedTuple):
    """Bytes that are moved between host and device at the start and the end of a stretch.

    Within a stretch nothing is moved.
    """

    to_device: int
    to_host: int


def stretch_program(case: Case, length: int) -> tuple[jax.stages.Wrapped, tuple[Any, ...]]:
    """Compile the engine's program of a stretch.

    Returns:
        the program; its arguments (data, run, state, stops).  Data and state stay on the device from one
        stretch to the next.
    """
    problem, parameters = image_training.build(case)
    run = jax.tree.map(lambda leaf: np.asarray(leaf[0]), image_training.runs(parameters, *CELLS[-1], length))
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), run.parameters)
    memory = problem.optimiser(jnp.float32(image_training.LEARNING_RATE)).init(first)
    state: tuple[Any, ...] = (first, memory, {}, (), ())
    schedule = Schedule((0, length))
    stops = xla._stops(schedule, schedule.stretches(length)[0], 2)
    program = jax.jit(xla._stretch_program(problem, np.dtype("float32"), 1, length))
    return program, (_on_device(problem), run, state, stops)


def moved(case: Case, length: int) -> Moved:
    """Return the bytes of arguments and results without data and state, as XLA reports them."""
    program, arguments = stretch_program(case, length)
    samples, _, state, _ = arguments
    account: Any = program.lower(*arguments).compile().memory_analysis()

    def size(tree: Any) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

    return Moved(
        account.argument_size_in_bytes - size(samples) - size(state),
        account.output_size_in_bytes - size(state),
    )


def of_case(case: Case, times: Mapping[str, Sequence[float]], peak: float, **keys: Any) -> list[Measurement]:
    """Return the throughput of each contender, and its ratios to other contenders and to the matrix product.

    Args:
        case: sizes and arithmetic of the training.
        times: seconds per step by contender, one per repetition; a contender may lack the later repetitions.
        peak: speed of the matrix product, GFLOP/s.
        keys: further keys that distinguish these measurements.
    """
    found = []
    for name, own in times.items():
        own_keys = {"contender": name, **case.keys, **keys}
        speeds = [case.batch / seconds for seconds in own]
        found.append(measurement("images", "throughput", "image/s", speeds, **own_keys))
        for quantity, other in REFERENCES.items():
            if other not in times:
                continue
            ratios = [theirs / mine for theirs, mine in zip(times[other], own, strict=False)]
            found.append(measurement("images", quantity, "1", ratios, **own_keys))
        # The peak is that of float32; the peaks of other arithmetic are not measured.
        rate = image_training.operations(case) / (peak * 1e9) if case.arithmetic == "full" else None
        shares = rate and [speed * rate for speed in speeds]
        found.append(measurement("images", "of the matrix product", "1", shares, **own_keys))
    return found


def throughput(cases: Sequence[Case], repetitions: int, with_pytorch: bool = False) -> list[Measurement]:
    """Measure all contenders on JAX's default device, and the bytes that a stretch moves."""
    device = "one core" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    peak = matrix_product(max(3, repetitions))
    found = [measurement("images", "matrix product", "GFLOP/s", peak, device=device)]
    for case in cases:
        times, disagreement = step_times(case, repetitions, with_pytorch)
        keys = {**case.keys, "device": device}
        found.append(measurement("images", "disagreement", "1", disagreement, **keys))
        found.append(
            measurement("images", "operations", "FLOP/image", image_training.operations(case), **keys)
        )
        found += of_case(case, times, peak, device=device)
    length = stretch_length(cases[0])
    ends = moved(cases[0], length)
    keys = {**cases[0].keys, "device": device, "steps": length, "samples": cases[0].samples}
    return [
        *found,
        measurement("images", "bytes to the device in a stretch", "B", ends.to_device, **keys),
        measurement("images", "bytes to the host in a stretch", "B", ends.to_host, **keys),
    ]


def on_gpu(cases: Sequence[Sequence[Any]], repetitions: int) -> list[Measurement]:
    """Measure the throughput on the first GPU; the list is empty if there is no GPU.

    A worker calls this function in a fresh process.
    """
    if jax.default_backend() == "cpu":
        return []
    return throughput([Case(*case) for case in cases], repetitions)


def digits() -> loading.Data:
    """Return the handwritten digits as the pipeline prepares them: 1500 for training, 297 for validation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.nc"
        prepare_dataset.run(DigitsSettings(kind="digits"), path)
        return loading.load(path, Inputs())


def accuracies(
    samples: loading.Data, case: Case, epochs: int, seeds: int, period: int, amplitude: float
) -> list[float]:
    """Train with the paper's schedule, and return the final validation accuracy of each seed."""
    steps = epochs * image_training.settings(case).steps_per_epoch(len(samples.train_labels))
    problem, parameters = problems.build(
        image_training.settings(case, steps=steps, learning_rate_schedule=SCHEDULE), samples, range(seeds)
    )
    history = train_ensemble(
        problem,
        image_training.runs(parameters, period, amplitude, round(OSCILLATION_STOP * steps)),
        Schedule((steps,)),
        precision="float32",
    )
    return [float(value) for value in history.validation_accuracy[:, -1]]


def of_accuracies(found: Mapping[str, Sequence[float]], **keys: Any) -> list[Measurement]:
    """Return the accuracies of each arithmetic, and their mean difference from `full` with its interval.

    The differences are taken seed by seed.

    Args:
        found: final accuracies by arithmetic, one per seed.
        keys: further keys that distinguish these measurements.
    """
    result = []
    for arithmetic, values in found.items():
        own = {"arithmetic": arithmetic, **keys}
        result.append(measurement("images", "accuracy", "1", list(values), **own))
        if arithmetic != "full":
            mean, half = student_interval(np.subtract(values, found["full"]))
            result += [
                measurement("images", "mean difference of accuracy", "1", float(mean), **own),
                measurement("images", "half its 95 % interval", "1", float(half), **own),
            ]
    return result


def agreement_of_accuracies(
    channels: int = 16, epochs: int = 30, seeds: int = 20, cells: Sequence[tuple[int, float]] = CELLS
) -> list[Measurement]:
    """Measure how well Myrtle5 learns the digits in `full` and in bfloat16; a CPU has no TF32."""
    samples = digits()
    result = []
    for period, amplitude in cells:
        found = {
            arithmetic: accuracies(samples, Case(channels, 50, arithmetic), epochs, seeds, period, amplitude)
            for arithmetic in ("full", "bfloat16")
        }
        keys = {"channels": channels, "batch": 50, "epochs": epochs, "period": period, "amplitude": amplitude}
        result += of_accuracies(found, **keys)
    return result


CPU_CASES = (Case(16, 100), Case(64, 100), Case(16, 100, "bfloat16"), Case(64, 100, "bfloat16"))
TOY = Case(4, 10, side=8, samples=40)
GPU_CASES = tuple(
    Case(channels, 512, arithmetic, samples=50_000)
    for channels in (16, 64)
    for arithmetic in ("full", "tf32", "bfloat16")
)


def everywhere(
    repetitions: int, cases: Sequence[Case], gpu_cases: Sequence[Case], with_pytorch: bool
) -> list[Measurement]:
    """Measure the throughput on one core, with PyTorch if requested, and on a GPU if there is one."""
    # The rest of the benchmark keeps JAX off the GPU; in this process JAX may use one.
    changes = {"JAX_PLATFORMS": None, "PJRT_NPROC": None}
    arguments: dict[str, Any] = {"cases": [list(case) for case in gpu_cases], "repetitions": repetitions}
    found: list[Measurement] = worker.call("images.on_gpu", changes=changes, **arguments)
    return throughput(cases, repetitions, with_pytorch) + found


def measure(repetitions: int, with_pytorch: bool) -> list[Measurement]:
    """Measure the throughput, and the effect of lower precision on the accuracy."""
    return everywhere(repetitions, CPU_CASES, GPU_CASES, with_pytorch) + agreement_of_accuracies()


def quick(with_pytorch: bool) -> list[Measurement]:
    """Measure throughput and accuracy at toy size."""
    return everywhere(1, [TOY], [TOY], with_pytorch) + agreement_of_accuracies(2, 1, 2, CELLS[:1])
