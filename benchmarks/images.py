"""Images a second in training Myrtle5: the engine beside plain programs and beside its convolutions alone.

On a CPU times are processor time of one thread, on another device wall time.

The engine takes turns with the others.  It tells its progress after each stretch of steps, and in these
pauses the others are timed; the first stretch, which compiles, is not counted.
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
"""A contender that is there if it is asked for."""

REFERENCES = {
    "of plain xla": "plain xla",
    "of the convolutions alone": "convolutions alone",
    "of pytorch": PYTORCH,
}
SCHEDULE = [[0, 0], [0.428571, 1], [1, 0.1]]  # the paper's: 300, 600 and 700 epochs of 700
OSCILLATION_STOP = 0.857143
CELLS = ((100, 1.0), (30, 50.0))  # T and A: the static loss, and a period of one epoch of the digits

IN_A_LOOP = CONTENDERS[2]
_MOST_STEPS = 500  # of a plain program: some tenths of a second on any device
_SHORTEST = 0.05  # seconds in which a convolution is repeated: a clock's noise is small in it

Timer = Callable[[], float]
"""Measures once: seconds of a step."""


def clock() -> float:
    """Seconds: of this process on a CPU, of the wall where something else does the work."""
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


def _seconds(call: Call, calls: int) -> float:
    start = clock()
    for _ in range(calls):
        done = call()
    jax.block_until_ready(done)
    return (clock() - start) / calls


def _torch_seconds(torch: pytorch.Torch, steps: int) -> float:
    start = clock()
    torch.steps(steps)
    return (clock() - start) / steps


class Convolutions:
    """The sum of the times of a step's convolutions, each alone and in its fastest form."""

    def __init__(self, case: Case) -> None:
        self.chosen: list[tuple[Call, int]] = []
        for forms in image_training.convolutions(case).values():
            times = []
            for form in forms:
                jax.block_until_ready(form())
                times.append(min(_seconds(form, 1) for _ in range(3)))
            best = int(np.argmin(times))
            self.chosen.append((forms[best], math.ceil(_SHORTEST / max(times[best], 1e-5))))

    def __call__(self) -> float:
        """Seconds."""
        return sum(_seconds(call, calls) for call, calls in self.chosen)


@functools.cache
def stretch_length(case: Case) -> int:
    """Steps between two reports of the engine's progress."""
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
    """Seconds of a step of each contender in each repetition, and their largest disagreement.

    Raises:
        RuntimeError: if they do not compute the same.
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
    # On a CPU, XLA loses its fast convolutions in a loop: steps take thirty to a hundred times as long, and
    # one of them, once, is enough.
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
            # The first of all stretches; the last is empty, as training ends where it would start.
            if done != 1 / (repetitions + 2):
                raise RuntimeError(f"a stretch of the engine is not {length} steps")
            # Compiled here and not before: what the engine sets in JAX would compile them once more.
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
    """The best speed of a product of float32 matrices, GFLOP/s: XLA's, or numpy's where that is faster."""
    size = 1024 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((size, size), np.float32))
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=Precision.HIGHEST))
    jax.block_until_ready(multiply(matrix, matrix))
    best = min(_seconds(lambda: multiply(matrix, matrix), 10) for _ in range(repetitions))
    speed = 2 * size**3 / best / 1e9
    return max(speed, roofline.matrix_product("float32", repetitions)) if size == 1024 else speed


class Moved(NamedTuple):
    """Bytes that a stretch moves between host and device, at its ends; within it nothing can."""

    to_device: int
    to_host: int


def stretch_program(case: Case, length: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The engine's compiled program of a stretch, and its arguments.

    Returns:
        the program; (data, run, state, stops), of which data and state live on the device from stretch to
        stretch.
    """
    problem, parameters = image_training.build(case)
    run = jax.tree.map(lambda leaf: np.asarray(leaf[0]), image_training.runs(parameters, *CELLS[-1], length))
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), run.parameters)
    state = (first, problem.optimiser(jnp.float32(image_training.LEARNING_RATE)).init(first), {}, (), ())
    schedule = Schedule((0, length))
    stops = xla._stops(schedule, schedule.stretches(length)[0], 2)
    program = jax.jit(xla._stretch_program(problem, np.dtype("float32"), 1, length))
    return program, (_on_device(problem), run, state, stops)


def moved(case: Case, length: int) -> Moved:
    """What the compiled program takes and gives beside data and state, by its own account."""
    program, arguments = stretch_program(case, length)
    samples, _, state, _ = arguments
    account = program.lower(*arguments).compile().memory_analysis()

    def size(tree: Any) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

    return Moved(
        account.argument_size_in_bytes - size(samples) - size(state),
        account.output_size_in_bytes - size(state),
    )


def of_case(case: Case, times: Mapping[str, Sequence[float]], peak: float, **keys: Any) -> list[Measurement]:
    """Throughput of each contender and what it is of others' and of the matrix product's.

    Args:
        case: what was trained.
        times: seconds of a step by contender, one a repetition; some may have fewer, the first.
        peak: of the matrix product, GFLOP/s.
        keys: what else distinguishes these numbers.
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
        # Other arithmetic has another peak, which is not measured.
        rate = image_training.operations(case) / (peak * 1e9) if case.arithmetic == "full" else None
        shares = rate and [speed * rate for speed in speeds]
        found.append(measurement("images", "of the matrix product", "1", shares, **own_keys))
    return found


def throughput(cases: Sequence[Case], repetitions: int, with_pytorch: bool = False) -> list[Measurement]:
    """All contenders on the device that JAX has, and what a stretch moves."""
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
    """The same on the first GPU, nothing where there is none.  For a worker."""
    if jax.default_backend() == "cpu":
        return []
    return throughput([Case(*case) for case in cases], repetitions)


def digits() -> loading.Data:
    """The handwritten digits as the pipeline prepares them: 1500 for training, 297 for validation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.nc"
        prepare_dataset.run(DigitsSettings(kind="digits"), path)
        return loading.load(path, Inputs())


def accuracies(
    samples: loading.Data, case: Case, epochs: int, seeds: int, period: int, amplitude: float
) -> list[float]:
    """Final validation accuracy of each seed, by the paper's schedule."""
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
    """Accuracies of each arithmetic, and their mean difference from `full`, seed by seed, with its interval.

    Args:
        found: final accuracies by arithmetic, one a seed.
        keys: what else distinguishes these numbers.
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
    """How well Myrtle5 learns the digits in either arithmetic that differs on a CPU: TF32 does not."""
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
    """Throughput on one core, beside PyTorch if it is asked for, and, where there is one, on a GPU."""
    # The rest of the benchmark keeps JAX off the GPU; this process is left to find one.
    changes = {"JAX_PLATFORMS": None, "PJRT_NPROC": None}
    arguments = {"cases": [list(case) for case in gpu_cases], "repetitions": repetitions}
    found: list[Measurement] = worker.call("images.on_gpu", changes=changes, **arguments)
    return throughput(cases, repetitions, with_pytorch) + found


def measure(repetitions: int, with_pytorch: bool) -> list[Measurement]:
    """Throughput, and what lower precision does to accuracy."""
    return everywhere(repetitions, CPU_CASES, GPU_CASES, with_pytorch) + agreement_of_accuracies()


def quick(with_pytorch: bool) -> list[Measurement]:
    """The same at toy size."""
    return everywhere(1, [TOY], [TOY], with_pytorch) + agreement_of_accuracies(2, 1, 2, CELLS[:1])
