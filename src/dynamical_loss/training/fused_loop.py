"""The fused loop: gradient descent on a small perceptron as one compiled loop, for CPUs.

XLA runs a training step of the paper's network as some twenty kernels, each of which reads and writes all
activations.  Here a step consists of two passes over the hidden units, with the samples along the vector
lanes.  Activations stay in registers, the backward pass recomputes the hidden layer instead of reading it
from memory, and the parameters are updated in place.  Three identities shorten the passes:

- A unit is either active or not.  All its gradients are therefore combinations of the sums of x_k · e_c over
  the samples where it is active, with the inputs x_k (and 1) and the errors e_c of the logits.  These
  products do not depend on the unit, so a pass over the units only adds them up.
- The cross-entropy depends only on differences of logits, so the differences to the last class are enough.
- The errors of the cross-entropy sum to zero over the classes, so the error of the last class is not
  computed.

numba compiles the loop for this processor and for the numbers of samples, features and classes.
:mod:`dynamical_loss.training.compiled` stores the compiled loop on disk.

The reference is the program that :mod:`dynamical_loss.training.xla` builds, which supports any network, loss
and optimiser.  The tests compare this loop with it.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from dynamical_loss.training import fused_curvature, fused_passes, fused_tuples
from dynamical_loss.training.compiled import Compiled
from dynamical_loss.training.fused_curvature import (
    gradient_square,
    product_square,
    tangent,
    tangent_errors,
    unit_sums,
)
from dynamical_loss.training.fused_passes import forward, multiply, rescale, right, sums_of_two, update
from dynamical_loss.training.fused_tuples import OPTIONS, load, polynomial
from dynamical_loss.training.step_size import DriftAdjusted
from dynamical_loss.training.types import Perceptron

Array = npt.NDArray[Any]

_LANES = 64  # size of the widest vectors in bytes; rows of samples are padded to a multiple


class _Exponential(NamedTuple):
    """Constants for exp(x) = 2^k · Σ r^n / n! with x <= 0 and |r| <= ln 2 / 2, in one floating-point format.

    The function of the C library takes one number at a time and would cost as much as the rest of a step.

    Attributes:
        smallest: smallest x; smaller arguments are replaced by it.
        coefficients: 1/n! for n = 0, 1, …
        integer: integer type with the size of the floating-point type.
        mantissa_bits: number of bits of the mantissa.
        bias: bias of the exponent.
    """

    smallest: Any
    coefficients: tuple[Any, ...]
    integer: Any
    mantissa_bits: int
    bias: int


def _exponential(dtype: npt.DTypeLike) -> _Exponential:
    real: Any = np.dtype(dtype).type
    double = real == np.float64
    return _Exponential(
        smallest=real(-708 if double else -87),
        coefficients=tuple(real(1 / math.factorial(n)) for n in range(14 if double else 8)),
        integer=np.int64 if double else np.int32,
        mantissa_bits=52 if double else 23,
        bias=1023 if double else 127,
    )


def _padded(samples: int, dtype: npt.DTypeLike) -> int:
    lanes = _LANES // np.dtype(dtype).itemsize
    return -(-samples // lanes) * lanes


def _aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """Return zeros that start at a cache line: a load across two cache lines costs twice as much."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(size + _LANES // item, dtype)
    start = -memory.ctypes.data % _LANES // item
    return memory[start : start + size]


@functools.cache
def _compiled(
    samples: int,
    validation_samples: int,
    features: int,
    classes: int,
    loss: str,
    bias: bool,
    dtype: str,
    adjusted: bool,
    scaled: bool,
) -> Compiled:
    """Return the loop for one shape of problem, which is compiled at its first call.

    All rows of samples lie in one buffer at distances that are compiled in.  So LLVM knows that the rows do
    not overlap.
    """
    variant = f"descend_{samples}_{validation_samples}_{features}_{classes}_{loss}_{bias}_{dtype}"
    variant += ("_adjusted" if adjusted else "") + ("_scaled" if scaled else "")
    real: Any = np.dtype(dtype).type
    zero, one = real(0), real(1)
    cross_entropy = loss == "cross_entropy"
    followed = classes - 1 if cross_entropy else classes
    zero_features, zero_classes, zero_logits = (zero,) * features, (zero,) * classes, (zero,) * followed
    zero_sums = (zero_logits,) * (features + 1)
    row, validation_row = _padded(samples, dtype), _padded(validation_samples, dtype)
    logits = features * row
    outputs, products = logits + followed * row, logits + (followed + classes) * row
    changes = products + (features + 1) * followed * row
    zeros = (row, zero_features, zero_classes, zero_logits, zero_sums)
    validation_logits = features * validation_row
    smallest, coefficients, integer, mantissa_bits, exponent_bias = _exponential(dtype)
    log2_e, ln2, half, share = (real(x) for x in (1 / math.log(2), math.log(2), 0.5, 1 / samples))

    def descend(
        parameters,
        weights,
        buffer,
        power,
        exponent,
        label,
        target,
        validation,
        validation_label,
        rates,
        rule,
        direction,
        towards,
        sums_of_units,
        output_scale,
        starts,
        begins,
        class_weight,
        updates,
        recorded,
        records,
        kept,
        snapshots,
    ):  # pragma: no cover
        hidden_bias, hidden_kernel, output_bias, _ = weights
        width = hidden_bias.shape[0]
        record = snapshot = 0
        for t in range(class_weight.shape[0]):
            if kept[t]:
                snapshots[snapshot] = parameters
                snapshot += 1
            if t >= updates and not recorded[t]:
                continue
            forward(buffer, logits, row, weights, zero_features, zero_classes, zero_logits)
            if scaled:
                rescale(buffer, logits, followed * row, output_scale, starts[0], begins and t == 0)
            # The outputs that are compared with the targets: unnormalised exponentials, or the logits.
            if cross_entropy:
                for s in range(row):
                    largest = zero
                    for k in range(followed):
                        logit = buffer[logits + k * row + s]
                        largest = largest if logit <= largest else logit
                    for k in range(followed):
                        buffer[outputs + k * row + s] = buffer[logits + k * row + s] - largest
                    buffer[outputs + followed * row + s] = -largest
                for i in range(classes * row):
                    x = buffer[outputs + i]
                    x = smallest if x < smallest else x
                    k = np.floor(x * log2_e + half)
                    exponent[i] = (integer(k) + integer(exponent_bias)) << integer(mantissa_bits)
                    buffer[outputs + i] = polynomial(x - k * ln2, coefficients)
                for i in range(classes * row):
                    buffer[outputs + i] *= power[i]
            else:
                for i in range(classes * row):
                    buffer[outputs + i] = buffer[logits + i]
            if recorded[t]:
                weighted = static = zero
                for s in range(samples):
                    largest = total = distance = wanted = zero
                    for k in range(classes):
                        logit = buffer[logits + k * row + s] if k < followed else zero
                        largest = largest if logit <= largest else logit
                        total += buffer[outputs + k * row + s]
                        wanted = logit if k == label[s] else wanted
                        off = logit - (one if k == label[s] else zero)
                        distance += off * off
                    each = np.log(total) - (wanted - largest) if cross_entropy else half * distance
                    weighted += class_weight[t, label[s]] * each
                    static += each
                records[record, 0] = weighted * share
                records[record, 1] = static * share
                records[record, 2] = right(buffer, logits, row, zero_classes, zero_logits, label) / samples
                forward(
                    validation,
                    validation_logits,
                    validation_row,
                    weights,
                    zero_features,
                    zero_classes,
                    zero_logits,
                )
                if scaled:
                    rescale(
                        validation,
                        validation_logits,
                        followed * validation_row,
                        output_scale,
                        starts[1],
                        begins and t == 0,
                    )
                found = right(
                    validation, validation_logits, validation_row, zero_classes, zero_logits, validation_label
                )
                records[record, 3] = found / validation_samples
                record += 1
            if t >= updates and not adjusted:
                continue
            learning_rate = one if adjusted else rates[t]
            # Errors: η times the gradient with respect to the logits, η Γ_y / N (output - target).
            for s in range(row):
                total = weight = zero
                for k in range(classes):
                    total += buffer[outputs + k * row + s]
                    weight += target[k * row + s] * class_weight[t, k]
                weight *= learning_rate
                scale = weight / total if cross_entropy else weight
                for k in range(followed):
                    wanted = learning_rate * class_weight[t, k] * target[k * row + s]
                    buffer[products + k * row + s] = buffer[outputs + k * row + s] * scale - wanted
            # Products of the errors with the inputs.
            multiply(buffer, products, features, followed, row)
            if adjusted:
                # The errors have a learning rate of 1.  The rule computes the learning rate from the gradient
                # and Hg, and then the step is taken.
                kept_sums, changed_sums = sums_of_units
                unit_sums(weights, kept_sums, buffer, products, zeros)
                square = gradient_square(weights, towards, kept_sums, buffer, products, zeros, bias)
                tangent(weights, towards, buffer, changes, row, zero_features, zero_classes, zero_logits)
                tangent_errors(
                    buffer,
                    products,
                    outputs,
                    changes,
                    row,
                    target,
                    class_weight[t],
                    zero_classes,
                    zero_logits,
                    cross_entropy,
                )
                multiply(buffer, products, features, followed, row)
                unit_sums(weights, changed_sums, buffer, products, zeros)
                product = product_square(
                    weights, towards, kept_sums, changed_sums, buffer, products, zeros, bias
                )
                degree, constant, cap = rule
                factor = constant / np.sqrt(product / square) ** degree
                rates[t] *= cap if square == zero or factor >= cap else factor
                if t < updates:
                    for i in range(parameters.shape[0]):
                        parameters[i] -= rates[t] * direction[i]
                continue
            if bias:
                rest = zero
                for k in range(followed):
                    gradient = zero
                    for s in range(row):
                        gradient += buffer[products + k * row + s]
                    output_bias[k] -= gradient
                    rest += gradient
                if cross_entropy:
                    output_bias[followed] += rest
            for j in range(0, width, 2):
                other = min(j + 1, width - 1)
                into = load(hidden_kernel, j, width, zero_features)
                other_into = load(hidden_kernel, other, width, zero_features)
                offset, other_offset = hidden_bias[j], hidden_bias[other]
                sums, other_sums = sums_of_two(
                    buffer,
                    products,
                    row,
                    (offset, into),
                    (other_offset, other_into),
                    zero_sums,
                    zero_features,
                )
                update(weights, j, offset, into, sums, zero_classes, zero_logits, bias)
                if other != j:
                    update(
                        weights, other, other_offset, other_into, other_sums, zero_classes, zero_logits, bias
                    )

    # The cache on disk distinguishes the shapes by this name.
    descend.__name__ = descend.__qualname__ = variant
    return Compiled(descend, OPTIONS, (fused_passes, fused_curvature, fused_tuples))


class Loop:
    """Gradient descent on one problem, for one run and one stretch at a time."""

    def __init__(
        self,
        train_inputs: Float[Array, "sample feature"],
        train_targets: Float[Array, "sample class_index"],
        validation_inputs: Float[Array, "validation_sample feature"],
        validation_targets: Float[Array, "validation_sample class_index"],
        *,
        network: Perceptron,
        precision: str,
        rule: DriftAdjusted | None = None,
        scaled: bool = False,
    ) -> None:
        """Lay out the data in memory; the loop is compiled or loaded from disk at its first call.

        Args:
            train_inputs: training inputs.
            train_targets: one-hot labels of the training samples.
            validation_inputs: validation inputs.
            validation_targets: one-hot labels of the validation samples.
            network: network and loss.
            precision: ``float32`` or ``float64``.
            rule: rule of a learning rate that follows the curvature; None if the learning rate is given.
            scaled: whether the prediction is α(f − f₀) instead of the output f.
        """
        samples, features = train_inputs.shape
        classes = train_targets.shape[1]
        self._real = np.dtype(precision)
        self._bias = network.bias
        self._shapes = [(network.width,), (features, network.width), (classes,), (network.width, classes)]
        self._descend = _compiled(
            samples,
            len(validation_inputs),
            features,
            classes,
            network.loss,
            network.bias,
            precision,
            rule is not None,
            scaled,
        )
        real = self._real.type
        self._rule = tuple(map(real, (rule.power, rule.constant, rule.cap) if rule else (0, 0, 0)))
        size = network.width * (features + 1) * classes if rule else 0
        self._sums_of_units = tuple(np.zeros(size, self._real) for _ in range(2))
        self._nothing = np.zeros(0, self._real)
        followed = classes - 1 if network.loss == "cross_entropy" else classes
        self._outputs = tuple(
            followed * _padded(len(each), precision) for each in (train_inputs, validation_inputs)
        )
        # Rows: inputs; logits; outputs; errors and their products with the inputs; derivatives of the logits.
        self._buffer = self._rows(train_inputs, features + 2 * classes + (features + 2) * classes)
        self._validation = self._rows(validation_inputs, features + classes)
        self._power = _aligned(classes * _padded(samples, precision), self._real)
        self._exponent = self._power.view(_exponential(precision).integer)
        self._label = train_targets.argmax(axis=1)
        self._validation_label = validation_targets.argmax(axis=1)
        self._target = self._rows(train_targets / samples, classes)

    def _rows(self, values: Array, count: int) -> Array:
        """Copy values (sample, column) to `count` rows of samples, pad with zeros, and flatten the rows."""
        length = _padded(len(values), self._real)
        rows = _aligned(count * length, self._real).reshape(count, length)
        rows[: values.shape[1], : len(values)] = values.T
        return rows.reshape(-1)

    def starts(self) -> tuple[Array, Array]:
        """Return arrays for the initial outputs f₀ of the training and validation samples; see `advance`."""
        training, validation = (np.zeros(size, self._real) for size in self._outputs)
        return training, validation

    def advance(
        self,
        parameters: Float[Array, " parameter"],
        learning_rate: Float[Array, " step"],
        class_weight: Float[Array, "step class_index"],
        updates: int,
        recorded: Bool[Array, " step"],
        kept: Bool[Array, " step"],
        *,
        output_scale: float = 1.0,
        starts: tuple[Array, Array] | None = None,
        begins: bool = False,
    ) -> tuple[Float[Array, "record 4"], Float[Array, "snapshot parameter"]]:
        """Train one run over a stretch of steps, in place.

        Args:
            parameters: parameters, flattened as by ``jax.flatten_util.ravel_pytree``; overwritten.
            learning_rate: learning rate η of each step.  With a rule, it is the number that the rule's factor
                multiplies; it is overwritten with the product at each step with an update or a record.
            class_weight: class weights Γ at each step.
            updates: number of steps that are followed by an update; the remaining steps are only evaluated.
            recorded: whether losses and accuracies are recorded at each step.
            kept: whether the parameters are stored at each step.
            output_scale: scale α of the output, if the loop is `scaled`.
            starts: arrays of the method `starts`, if the loop is `scaled`; they are filled at the first step
                of the run.
            begins: whether the stretch starts with the first step of the run.  This step must be recorded if
                the loop is `scaled`.

        Returns:
            Records, whose columns are the weighted loss, the static loss, the training accuracy and the
            validation accuracy; and the parameters at the snapshots.
        """
        records = np.empty((int(recorded.sum()), 4), self._real)
        snapshots = np.empty((int(kept.sum()), parameters.size), self._real)
        direction = np.zeros_like(parameters)
        self._descend(
            parameters,
            self._views(parameters),
            self._buffer,
            self._power,
            self._exponent,
            self._label,
            self._target,
            self._validation,
            self._validation_label,
            learning_rate,
            self._rule,
            direction,
            self._views(direction),
            self._sums_of_units,
            self._real.type(output_scale),
            starts or (self._nothing, self._nothing),
            begins,
            class_weight,
            updates,
            recorded,
            records,
            kept,
            snapshots,
        )
        return records, snapshots

    def _views(self, parameters: Array) -> tuple[Array, ...]:
        """Return views of hidden bias, hidden kernel, output bias and output kernel; missing biases are 0."""
        views, end = [], 0
        for index, shape in enumerate(self._shapes):
            if index % 2 == 0 and not self._bias:
                views.append(np.zeros(shape, self._real))
                continue
            start, end = end, end + math.prod(shape)
            views.append(parameters[start:end])
        return tuple(views)
