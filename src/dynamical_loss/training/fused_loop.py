"""The fused loop: gradient descent on a small perceptron as one compiled loop, for CPUs.

XLA runs a training step of the paper's network as some twenty kernels, each of which reads and writes all
activations.  Here a step consists of two passes.  The forward pass has the samples along the lanes of the
vectors and keeps their logits in registers while it goes through the units.  The backward pass has the units
along the lanes and keeps their sums in registers while it goes through the samples; it recomputes the hidden
layer instead of reading it from memory, and updates the parameters in place.  Three identities shorten the
passes:

- A unit is either active or not.  All its gradients are therefore combinations of the sums of x_k · e_c over
  the samples where it is active, with the inputs x_k (and 1) and the errors e_c of the logits.
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
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from dynamical_loss.training import fused_curvature, fused_passes, fused_tuples, fused_vectors
from dynamical_loss.training.compiled import Compiled
from dynamical_loss.training.fused_curvature import (
    gradient_square,
    product_square,
    tangent,
    tangent_errors,
)
from dynamical_loss.training.fused_passes import (
    exponentiate,
    forward,
    multiply_by_first,
    pack,
    rescale,
    right,
    sum_units,
    unpack,
    update,
    weigh,
)
from dynamical_loss.training.fused_tuples import FLAGS, add_scaled, complete, load, store
from dynamical_loss.training.step_size import DriftAdjusted
from dynamical_loss.training.types import Perceptron

Array = npt.NDArray[Any]

_LINE = 64  # bytes of a cache line


def _exponential(dtype: npt.DTypeLike) -> tuple[Any, ...]:
    """Return the constants of exp(x) = 2^k · Σ r^n / n! with x <= 0 and |r| <= ln 2 / 2.

    The function of the C library takes one number at a time and would cost as much as the rest of a step.

    Returns:
        the smallest x, which replaces smaller ones; 1 / ln 2; a number so large that adding it rounds to a
        whole number, plus the bias of the exponent; ln 2; and 1/n! for n = 0, 1, …
    """
    real: Any = np.dtype(dtype).type
    double = real == np.float64
    shift = 1.5 * 2.0 ** (52 if double else 23) + (1023 if double else 127)
    numbers = (-708 if double else -87, 1 / math.log(2), shift, math.log(2))
    return *map(real, numbers), tuple(real(1 / math.factorial(n)) for n in range(14 if double else 8))


def _lanes(dtype: npt.DTypeLike) -> int:
    return fused_vectors.BYTES // np.dtype(dtype).itemsize


def _padded(count: int, dtype: npt.DTypeLike) -> int:
    """Return a number of samples or units, padded to whole vectors."""
    return -(-count // _lanes(dtype)) * _lanes(dtype)


def _blocks(vectors: int, most: int) -> tuple[int, int, int]:
    """Divide vectors into as few blocks as possible, with at most `most` each.

    Returns:
        the size of the larger blocks, the number of vectors in them, and the size of the smaller blocks.
    """
    count = max(1, -(-vectors // most))
    size = max(1, -(-vectors // count))
    smaller = count * size - vectors
    return size, (count - smaller) * size, max(size - 1, 1)


def _aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """Return zeros that start at a cache line: a load across two cache lines costs twice as much."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(size + _LINE // item, dtype)
    start = -memory.ctypes.data % _LINE // item
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
    variant += f"_{fused_vectors.BYTES}" + ("_adjusted" if adjusted else "") + ("_scaled" if scaled else "")
    real: Any = np.dtype(dtype).type
    zero, one = real(0), real(1)
    cross_entropy = loss == "cross_entropy"
    followed = classes - 1 if cross_entropy else classes
    zero_features, zero_classes, zero_logits = (zero,) * features, (zero,) * classes, (zero,) * followed
    zero_unit, zero_sums = (zero,) * (features + 1), (zero_logits,) * (features + 1)
    step = _lanes(dtype)
    row, validation_row = _padded(samples, dtype), _padded(validation_samples, dtype)
    logits = features * row
    outputs, errors = logits + followed * row, logits + (followed + classes) * row
    changes = errors + 2 * followed * row
    validation_logits = features * validation_row
    constants, half, share = _exponential(dtype), real(0.5), real(1 / samples)

    zeros = (zero_unit, zero_classes, zero_logits)

    # A block of samples has its inputs and logits in registers, and a block of units its weights and sums.
    # Five registers stay free for numbers that are spread over a vector, and for sums on their way.  The
    # samples need three more, for the weights of a unit.
    free = fused_vectors.REGISTERS - 5

    def of_samples(length: int) -> tuple[Any, ...]:
        size, end, rest = _blocks(length // step, max(1, (free - 3) // (features + followed)))
        return end * step, *(((zero_features,) * count, (zero_logits,) * count) for count in (size, rest))

    blocks, validation_blocks = of_samples(row), of_samples(validation_row)
    most_units = max(1, free // (features + 1 + (features + 1) * followed))
    unit_block = (zero_unit,) * most_units, (zero_sums,) * most_units

    def descend(
        parameters,
        weights,
        buffer,
        units,
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
        output_bias, width = weights[2], weights[0].shape[0]
        unit_row = units.shape[0] // (features + 1 + followed + classes)
        network = (units, unit_row, width, output_bias)
        kept_sums, changed_sums = sums_of_units
        record = snapshot = 0
        pack(weights, units, unit_row, zeros)
        for t in range(class_weight.shape[0]):
            if kept[t]:
                if not adjusted:
                    unpack(units, unit_row, weights, zeros)
                # A slice of another length would need a message, and numba would compile all its functions on
                # text for it.
                for i in range(parameters.shape[0]):
                    snapshots[snapshot, i] = parameters[i]
                snapshot += 1
            if t >= updates and not recorded[t]:
                continue
            forward(buffer, logits, row, step, network, zeros, blocks)
            if scaled:
                rescale(buffer, logits, followed * row, output_scale, starts[0], begins and t == 0)
            # The outputs that are compared with the targets: unnormalised exponentials, or the logits.
            if cross_entropy:
                exponentiate(buffer, logits, outputs, row, step, constants, zero_logits)
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
                    validation, validation_logits, validation_row, step, network, zeros, validation_blocks
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
            shares = add_scaled(learning_rate, load(class_weight[t], 0, 1, zero_classes), zero_classes)
            gradients = weigh(buffer, outputs, errors, row, step, target, shares, zero_logits, cross_entropy)
            sum_units(kept_sums, buffer, errors, row, samples, step, network, zeros, unit_block)
            if adjusted:
                # The errors have a learning rate of 1.  The rule computes the learning rate from the gradient
                # and Hg, and then the step is taken.
                shape = (row, unit_row, zero_features, zero_classes, zero_logits, zero_sums)
                square = gradient_square(weights, towards, kept_sums, buffer, errors, shape, bias)
                tangent(weights, towards, buffer, changes, row, zero_features, zero_classes, zero_logits)
                tangent_errors(
                    buffer,
                    errors,
                    outputs,
                    changes,
                    row,
                    target,
                    class_weight[t],
                    zero_classes,
                    zero_logits,
                    cross_entropy,
                )
                multiply_by_first(buffer, errors, row, step, zero_logits)
                sum_units(changed_sums, buffer, errors, row, samples, step, network, zeros, unit_block)
                product = product_square(
                    weights, towards, kept_sums, changed_sums, buffer, errors, shape, bias
                )
                degree, constant, cap = rule
                factor = constant / np.sqrt(product / square) ** degree
                rates[t] *= cap if square == zero or factor >= cap else factor
                if t < updates:
                    for i in range(parameters.shape[0]):
                        parameters[i] -= rates[t] * direction[i]
                    pack(weights, units, unit_row, zeros)
                continue
            if bias:
                offsets = load(output_bias, 0, 1, zero_classes)
                store(output_bias, 0, 1, add_scaled(-one, complete(gradients, zero_classes), offsets))
            update(units, unit_row, kept_sums, step, zeros, zero_sums, bias)
        if not adjusted:
            unpack(units, unit_row, weights, zeros)

    # The cache on disk distinguishes the shapes by this name.
    descend.__name__ = descend.__qualname__ = variant
    return Compiled(descend, FLAGS, (fused_passes, fused_curvature, fused_tuples, fused_vectors))


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
        units = _padded(network.width, precision)
        self._nothing = np.zeros(0, self._real)
        followed = classes - 1 if network.loss == "cross_entropy" else classes
        self._outputs = tuple(
            followed * _padded(len(each), precision) for each in (train_inputs, validation_inputs)
        )
        # Rows: inputs; logits; outputs; errors and their products with the first input; derivatives of the
        # logits.
        self._buffer = self._rows(train_inputs, features + 5 * classes)
        self._validation = self._rows(validation_inputs, features + classes)
        sums = (features + 1) * followed * units
        self._sums_of_units = tuple(_aligned(size, self._real) for size in (sums, sums if rule else 0))
        self._units = _aligned((features + 1 + followed + classes) * units, self._real)
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
            self._units,
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
