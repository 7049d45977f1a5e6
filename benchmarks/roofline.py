"""The roofline of one core: operations and bytes of a training step, divided by measured peak speeds.

The peak of the operations is that of numpy's matrix product or of multiply-adds in registers, whichever is
higher: a BLAS that does not know the processor may use narrower vectors than the processor has.

The formulas use N samples, D features, H hidden units and C classes.  A fused multiply-add counts as two
operations; a comparison, a maximum, an exponential, a logarithm or a division counts as one.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import floor
import numpy as np
from machine import Measurement, measurement, second_level_cache


class Shape(NamedTuple):
    """Sizes of the problem: samples N, features D, hidden units H, classes C."""

    samples: int
    features: int
    units: int
    classes: int

    @property
    def parameters(self) -> int:
        """Number of parameters, biases included."""
        return self.units * (self.features + 1 + self.classes) + self.classes


def _per_sample(shape: Shape) -> int:
    """Count the operations of the softmax and its error for one sample, which do not depend on the width.

    Largest logit: C − 1.  Shift by it: C.  Exponentials: C.  Their sum: C − 1.  Scale: 1.  Product of the
    exponentials with the scale: C.  Subtraction of the targets: C.  Gradient of the output bias: C.
    """
    return 7 * shape.classes - 1


def textbook_operations(shape: Shape) -> int:
    """Count the operations of the textbook's step: forward pass, backward pass by the chain rule, and update.

    Forward, each pair of a sample and a hidden unit takes 2D operations for the unit's input with its bias,
    1 for the rectifier and 2C for the logits.  Backward, each pair takes 2C for the gradient of the output
    kernel, 2C − 1 for the error of the unit, 1 for the rectifier's mask, and 2D + 1 for the gradients of the
    hidden kernel and bias.  The update takes 2 operations per parameter.
    """
    n, d, h, c = shape
    forward = 2 * d + 1 + 2 * c
    backward = 2 * c + (2 * c - 1) + 1 + (2 * d + 1)
    return n * h * (forward + backward) + n * _per_sample(shape) + 2 * shape.parameters


def fewest_operations(shape: Shape) -> int:
    """Count the operations of the cheapest algorithm that we know for the same step.

    It is the algorithm of floor.c, except that it stores in the forward pass which units are
    active.  Forward, each pair of a sample and a hidden unit takes 2D + 1 operations, and 2(C − 1) for the
    differences of logits.  Backward, each pair takes one addition for each of (D + 1)(C − 1) masked
    sums.  Each sample takes D(C − 1) products.  Each unit takes 2(D + 1)(C − 1) operations for the
    gradients of the hidden layer from the sums, and as many for the output layer.  The update takes 2
    operations per parameter.
    """
    n, d, h, c = shape
    each = 2 * d + 1 + 2 * (c - 1) + (d + 1) * (c - 1)
    per_sample = _per_sample(shape) + d * (c - 1)
    per_unit = 4 * (d + 1) * (c - 1)
    return n * h * each + n * per_sample + h * per_unit + 2 * shape.parameters


def bytes_moved(shape: Shape, itemsize: int) -> int:
    """Count the bytes that a step must move to and from the cache: samples in, parameters in and out.

    Activations can stay in registers.  All of a run fits in the second-level cache, so these bytes are
    divided by the bandwidth of a copy within this cache, not by that of main memory.
    """
    return itemsize * (shape.samples * (shape.features + shape.classes) + 2 * shape.parameters)


def matrix_product(precision: str, repetitions: int = 40) -> float:
    """Measure the best speed of numpy's product of matrices in the second-level cache, GFLOP/s."""
    itemsize = np.dtype(precision).itemsize
    size = int((0.75 * second_level_cache() / (3 * itemsize)) ** 0.5) // 16 * 16
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, size, size)).astype(precision)
    out = np.empty_like(a)
    inner = max(1, 50_000_000 // (2 * size**3))
    best = np.inf
    for _ in range(repetitions):
        start = time.process_time()
        for _ in range(inner):
            np.matmul(a, b, out=out)
        best = min(best, (time.process_time() - start) / inner)
    return float(2 * size**3 / best / 1e9)


def copy_bandwidth(repetitions: int = 40) -> float:
    """Measure the best speed of a copy in the second-level cache, GB/s; bytes read and written both count."""
    size = second_level_cache() // 4
    source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
    inner = max(1, 100_000_000 // size)
    best = np.inf
    for _ in range(repetitions):
        start = time.process_time()
        for _ in range(inner):
            np.copyto(target, source)
        best = min(best, (time.process_time() - start) / inner)
    return float(2 * size / best / 1e9)


def measure(shapes: dict[int, Shape], precisions: tuple[str, ...], repetitions: int) -> list[Measurement]:
    """Measure the peaks, and compute counts and the shortest time of a step for each width and precision."""
    bandwidth = copy_bandwidth(repetitions)
    result = [measurement("roofline", "copy bandwidth", "GB/s", bandwidth)]
    for precision in precisions:
        peak = matrix_product(precision, repetitions)
        result.append(measurement("roofline", "matrix product", "GFLOP/s", peak, precision=precision))
        registers = floor.multiply_add_peak(precision, repetitions) if floor.compiler() else None
        result.append(measurement("roofline", "multiply-adds", "GFLOP/s", registers, precision=precision))
        peak = max(peak, registers or 0.0)
        for width, shape in shapes.items():
            keys = {"width": width, "precision": precision}
            textbook, fewest = textbook_operations(shape), fewest_operations(shape)
            moved = bytes_moved(shape, np.dtype(precision).itemsize)
            limit = max(fewest / peak, moved / bandwidth) / 1e3
            result += [
                measurement("roofline", "textbook operations", "FLOP/step", textbook, **keys),
                measurement("roofline", "fewest operations", "FLOP/step", fewest, **keys),
                measurement("roofline", "bytes", "B/step", moved, **keys),
                measurement("roofline", "time", "µs/step/run", limit, **keys),
            ]
    return result
