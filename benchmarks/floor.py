"""The hand-written loop of floor.c, compiled for this machine's processor and called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SOURCE = Path(__file__).with_name("floor.c")
_OPTIONS = ["-std=gnu11", "-O3", "-shared", "-fPIC"]
# Alternatives, tried one after another: not every compiler accepts the first one on every processor.
# -ffast-math is left out, because a library linked with it makes the whole process treat denormal numbers as
# zeros, and the loop is no faster with it.
_PROCESSOR: tuple[list[str], ...] = (["-march=native"], ["-mcpu=native"], [])


def compiler() -> list[str] | None:
    """Return the C compiler's command, from the variable `CC` or else ``cc``; None if it is not installed."""
    words = shlex.split(os.environ.get("CC", "cc"))
    return words if words and shutil.which(words[0]) else None


@functools.cache
def library(precision: str) -> ctypes.CDLL:
    """Compile the functions of floor.c for one precision, and load them.

    Raises:
        RuntimeError: if there is no compiler, or if floor.c does not compile.
    """
    words = compiler()
    if words is None:
        raise RuntimeError("no C compiler was found")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "floor.so"
        for processor in _PROCESSOR:
            double = f"-DDOUBLE={int(precision == 'float64')}"
            command = [*words, *_OPTIONS, *processor, double, str(SOURCE), "-o", str(output), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                loaded = ctypes.CDLL(str(output))
                loaded.train.restype = loaded.multiply_adds.restype = ctypes.c_double
                return loaded
    raise RuntimeError(f"{words[0]} does not compile floor.c:\n{done.stderr}")


def train(
    inputs: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    parameters: dict[str, dict[str, npt.NDArray[Any]]],
    *,
    steps: int,
    period: int,
    amplitude: float,
    learning_rate: float,
    precision: str,
) -> tuple[float, dict[str, dict[str, npt.NDArray[Any]]]]:
    """Train one run by gradient descent on a network with one hidden layer.

    Args:
        inputs: training inputs, (sample, 2).
        labels: classes 0, 1 or 2, (sample,).
        parameters: initial layers ``hidden_0`` and ``output``, each with ``kernel`` and ``bias``.
        steps: length of the run.
        period: period T of the oscillation, steps.
        amplitude: amplitude A of the oscillation.
        learning_rate: learning rate η.
        precision: ``float32`` or ``float64``.

    Returns:
        the dynamical loss and the parameters after the last step.

    Raises:
        ValueError: if the problem does not have two features, one hidden layer and three classes.
        RuntimeError: if the loop cannot be compiled.
    """
    # The loop overwrites its arguments, so it gets copies.
    final = {
        layer: {name: np.array(value, precision, order="C") for name, value in leaves.items()}
        for layer, leaves in parameters.items()
    }
    hidden, output = final["hidden_0"], final["output"]
    units = len(hidden["bias"])
    if inputs.shape[1:] != (2,) or output["kernel"].shape != (units, 3):
        raise ValueError("floor.c handles two features, three classes and one hidden layer only")
    arrays = (
        np.ascontiguousarray(inputs, precision),
        np.ascontiguousarray(labels, np.int32),
        hidden["kernel"],
        hidden["bias"],
        output["kernel"],
        output["bias"],
    )
    loss = library(precision).train(
        ctypes.c_int(steps),
        ctypes.c_int(period),
        ctypes.c_double(amplitude),
        ctypes.c_double(learning_rate),
        ctypes.c_int(units),
        ctypes.c_int(len(inputs)),
        *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays),
    )
    return loss, final


def multiply_add_peak(precision: str, repetitions: int) -> float:
    """Measure the best speed of multiply-adds on vectors in registers, GFLOP/s.

    Raises:
        RuntimeError: if the loop cannot be compiled.
    """
    function, real = library(precision).multiply_adds, np.ctypeslib.as_ctypes_type(np.dtype(precision))
    sink, best = real(0), 0.0
    for _ in range(repetitions):
        start = time.process_time()
        operations = function(ctypes.c_int(1_000_000), real(0.5), ctypes.byref(sink))
        best = max(best, operations / (time.process_time() - start) / 1e9)
    return float(best)
