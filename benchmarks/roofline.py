"""What one core could reach: operations and bytes of a training step over measured peaks.

The peak is that of a matrix product in numpy or of multiply-adds in registers, whichever is higher: a BLAS
that does not know the processor takes narrower vectors than it has.

N samples, D features, H hidden units, C classes.  A fused multiply-add counts as two operations, a
comparison, a maximum, an exponential, a logarithm or a division as one.
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
    """Operations of softmax and its error for one sample: they do not depend on the width.

    Largest logit C − 1, shift C, exponentials C, their sum C − 1, scale 1, its product with them C, the
    targets' share taken off C, output bias gradient C.
    """
    return 7 * shape.classes - 1


def textbook_operations(shape: Shape) -> int:
    """Operations of a step as one writes it: forward, backward by the chain rule, update.

    A sample and a hidden unit take 2D for the unit's input with its bias, 1 for the rectifier and 2C for
    the logits; then 2C for the gradient of the output kernel, 2C − 1 for the error of the unit, 1 for
    the rectifier's mask, and 2D + 1 for the gradients of hidden kernel and bias.  The update takes 2 a
    parameter.
    """
    n, d, h, c = shape
    forward = 2 * d + 1 + 2 * c
    backward = 2 * c + (2 * c - 1) + 1 + (2 * d + 1)
    return n * h * (forward + backward) + n * _per_sample(shape) + 2 * shape.parameters


def fewest_operations(shape: Shape) -> int:
    """Operations of the cheapest way of doing the same step that we know.

    It is that of floor.c, had it kept from the forward pass which units are on.  A sample and a hidden
    unit take 2D + 1 and, on differences of logits, 2(C − 1) forward; backward, one addition for each of
    (D + 1)(C − 1) masked sums.  What is left depends on samples or units alone: D(C − 1) products a
    sample; and a unit's gradients from its sums, 2(D + 1)(C − 1) for the hidden layer and as many for
    the output layer, and two operations a parameter to update them.
    """
    n, d, h, c = shape
    each = 2 * d + 1 + 2 * (c - 1) + (d + 1) * (c - 1)
    per_sample = _per_sample(shape) + d * (c - 1)
    per_unit = 4 * (d + 1) * (c - 1)
    return n * h * each + n * per_sample + h * per_unit + 2 * shape.parameters


def bytes_moved(shape: Shape, itemsize: int) -> int:
    """Bytes that a step must move to and from the cache: samples in, parameters in and out.

    Activations can stay in registers, and all of it fits in the second-level cache, so the bandwidth
    it is held against is that of a copy of that size, not of main memory.
    """
    return itemsize * (shape.samples * (shape.features + shape.classes) + 2 * shape.parameters)


def matrix_product(precision: str, repetitions: int = 40) -> float:
    """The best speed of numpy's matrix product with three matrices in the second-level cache, GFLOP/s."""
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
    """The best speed of a copy between two arrays in the second-level cache, GB/s read and written."""
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
    """Peaks, counts and the time of a step that follows from them, for each width and precision."""
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
