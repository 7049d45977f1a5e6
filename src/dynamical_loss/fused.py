"""One run of gradient descent on a small perceptron as one compiled loop, for CPUs.

XLA runs a training step of the paper's network as some twenty kernels, each of which reads and writes
whole activations.  Here a step is two passes over the hidden units, each with the samples along the
vector lanes: activations stay in registers, the hidden layer is recomputed in the backward pass
instead of stored, and the parameters are updated in place.  numba compiles the loop for the processor
at hand and for the numbers of samples, features and classes, and keeps the result on disk.

The program that :mod:`dynamical_loss.training` gives XLA is the reference: it takes any network, loss
and optimiser, and the tests hold this loop against it.  :func:`perceptron` says what this one takes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from dynamical_loss.config.training import ModelSettings, OptimiserSettings
from dynamical_loss.losses import LossName

Array = npt.NDArray[Any]

# All of LLVM's liberties except those that assume finite numbers: a diverged run must show its NaNs.
_OPTIONS: Any = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
}
_LANES = 64  # bytes of the widest vectors; samples are filled up to whole ones
_REGISTERS = 12  # features + classes that a pass can keep in vector registers


class Perceptron(NamedTuple):
    """A network and loss that the loop can train: one hidden ReLU layer, plain gradient descent.

    Attributes:
        width: hidden units.
        loss: the base loss.
        bias: whether the layers have biases.
    """

    width: int
    loss: LossName
    bias: bool


def perceptron(
    model: ModelSettings, loss: LossName, optimiser: OptimiserSettings, features: int, classes: int
) -> Perceptron | None:
    """What the loop needs to know of a problem, or None if it is one for XLA.

    Args:
        model: the network; with one hidden layer.
        loss: the base loss.
        optimiser: ``sgd`` without arguments.
        features: numbers per input.
        classes: number of outputs.
    """
    plain = optimiser.kind == "sgd" and not optimiser.arguments
    if model.kind != "mlp" or model.depth != 1 or not plain or features + classes > _REGISTERS:
        return None
    return Perceptron(model.width, loss, model.initialisation != "no_bias")


# What follows is unrolled when it is compiled, because the length of a tuple is part of its type.
# numba takes the implementation from the decorated function of the same purpose.


def _dot(left, right):
    """Σ_k left_k · right_k."""
    raise NotImplementedError


@overload(_dot, jit_options=_OPTIONS)
def _dot_of(left, right):  # pragma: no cover
    if len(left) == 1:
        return lambda left, right: left[0] * right[0]
    return lambda left, right: left[0] * right[0] + _dot(left[1:], right[1:])


def _add_scaled(factor, vector, to):
    """The tuple factor · vector + to."""
    raise NotImplementedError


@overload(_add_scaled, jit_options=_OPTIONS)
def _add_scaled_of(factor, vector, to):  # pragma: no cover
    if len(vector) == 1:
        return lambda factor, vector, to: (factor * vector[0] + to[0],)
    return lambda factor, vector, to: (
        (factor * vector[0] + to[0],) + _add_scaled(factor, vector[1:], to[1:])  # noqa: RUF005
    )


def _load(array, index, stride, like):
    """(array[index], array[index + stride], …), as many as in the tuple `like`."""
    raise NotImplementedError


@overload(_load, jit_options=_OPTIONS)
def _load_of(array, index, stride, like):  # pragma: no cover
    if len(like) == 1:
        return lambda array, index, stride, like: (array[index],)
    return lambda array, index, stride, like: (
        (array[index],) + _load(array, index + stride, stride, like[1:])  # noqa: RUF005
    )


def _store(array, index, stride, values):
    """The reverse of :func:`_load`."""
    raise NotImplementedError


@overload(_store, jit_options=_OPTIONS)
def _store_of(array, index, stride, values):  # pragma: no cover
    if len(values) == 1:

        def store(array, index, stride, values):
            array[index] = values[0]
    else:

        def store(array, index, stride, values):
            array[index] = values[0]
            _store(array, index + stride, stride, values[1:])

    return store


def _polynomial(x, coefficients):
    """The sum of c_n xⁿ."""
    raise NotImplementedError


@overload(_polynomial, jit_options=_OPTIONS)
def _polynomial_of(x, coefficients):  # pragma: no cover
    if len(coefficients) == 1:
        return lambda x, coefficients: coefficients[0]
    return lambda x, coefficients: _polynomial(x, coefficients[1:]) * x + coefficients[0]


# Inlined before anything is optimised, so that the constant distances between rows are seen.


@njit(inline="always")
def _forward(buffer, logits, row, weights, no_features, no_classes):  # pragma: no cover
    """Fill the rows of logits from the rows of inputs that lie before them."""
    hidden_bias, hidden_kernel, output_bias, output_kernel = weights
    for k in range(len(no_classes)):
        for s in range(row):
            buffer[logits + k * row + s] = output_bias[k]
    width = hidden_bias.shape[0]
    zero = no_classes[0]
    for j in range(width):
        into = _load(hidden_kernel, j, width, no_features)
        out = _load(output_kernel, j * len(no_classes), 1, no_classes)
        offset = hidden_bias[j]
        for s in range(row):
            hidden = offset + _dot(into, _load(buffer, s, row, no_features))
            hidden = zero if hidden <= zero else hidden
            sums = _add_scaled(hidden, out, _load(buffer, logits + s, row, no_classes))
            _store(buffer, logits + s, row, sums)


@njit(inline="always")
def _right(buffer, logits, row, classes, label):  # pragma: no cover
    """How many samples have finite logits of which that of their class is the (first) largest."""
    count = 0
    for s in range(label.shape[0]):
        best, finite = 0, True
        for k in range(classes):
            logit = buffer[logits + k * row + s]
            finite = finite and np.isfinite(logit)
            best = k if logit > buffer[logits + best * row + s] else best
        count += finite and best == label[s]
    return count


class _Exponential(NamedTuple):
    """exp(x) for x <= 0 as 2^k · Σ r^n / n! with |r| <= ln 2 / 2, in a floating-point format.

    The C library's function takes one number at a time, which would cost as much as the rest of a step.
    """

    smallest: Any
    ln2_high: Any  # few enough bits that k times it is exact
    ln2_low: Any
    coefficients: tuple[Any, ...]
    integer: Any
    mantissa_bits: int
    bias: int


def _exponential(dtype: npt.DTypeLike) -> _Exponential:
    real: Any = np.dtype(dtype).type
    double = real == np.float64
    high = round(math.log(2) * 2 ** (32 if double else 9)) / 2 ** (32 if double else 9)
    return _Exponential(
        smallest=real(-708 if double else -87),
        ln2_high=real(high),
        ln2_low=real(float(Decimal(2).ln() - Decimal(high))),
        coefficients=tuple(real(1 / math.factorial(n)) for n in range(14 if double else 8)),
        integer=np.int64 if double else np.int32,
        mantissa_bits=52 if double else 23,
        bias=1023 if double else 127,
    )


def _padded(samples: int, dtype: npt.DTypeLike) -> int:
    lanes = _LANES // np.dtype(dtype).itemsize
    return -(-samples // lanes) * lanes


@functools.cache
def _compiled(
    samples: int, validation_samples: int, features: int, classes: int, loss: str, bias: bool, dtype: str
) -> Callable[..., None]:
    """The loop for one shape of problem.

    All rows of samples lie in one buffer at constant distances, which lets LLVM see that they do not
    overlap; hence the numbers of samples are compiled in.
    """
    real: Any = np.dtype(dtype).type
    zero, one = real(0), real(1)
    no_features, no_classes = (zero,) * features, (zero,) * classes
    row, validation_row = _padded(samples, dtype), _padded(validation_samples, dtype)
    logits, deltas = features * row, (features + classes) * row
    validation_logits = features * validation_row
    cross_entropy = loss == "cross_entropy"
    smallest, ln2_high, ln2_low, coefficients, integer, mantissa_bits, exponent_bias = _exponential(dtype)
    log2_e, half = real(1 / math.log(2)), real(0.5)
    share = real(1 / samples)

    @njit(cache=True, **_OPTIONS)
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
        learning_rate,
        class_weight,
        updates,
        recorded,
        records,
        kept,
        snapshots,
    ):  # pragma: no cover
        hidden_bias, hidden_kernel, output_bias, output_kernel = weights
        width = hidden_bias.shape[0]
        record = snapshot = 0
        for t in range(class_weight.shape[0]):
            if kept[t]:
                snapshots[snapshot] = parameters
                snapshot += 1
            if t >= updates and not recorded[t]:
                continue
            _forward(buffer, logits, row, weights, no_features, no_classes)
            # The outputs that meet the targets: exponentials, not yet normalised, or the logits.
            if cross_entropy:
                for s in range(row):
                    largest = buffer[logits + s]
                    for k in range(1, classes):
                        logit = buffer[logits + k * row + s]
                        largest = logit if logit > largest else largest
                    for k in range(classes):
                        buffer[deltas + k * row + s] = buffer[logits + k * row + s] - largest
                for i in range(classes * row):
                    x = buffer[deltas + i]
                    x = smallest if x < smallest else x
                    k = np.floor(x * log2_e + half)
                    exponent[i] = (integer(k) + integer(exponent_bias)) << integer(mantissa_bits)
                    buffer[deltas + i] = _polynomial((x - k * ln2_high) - k * ln2_low, coefficients)
                for i in range(classes * row):
                    buffer[deltas + i] *= power[i]
            else:
                for i in range(classes * row):
                    buffer[deltas + i] = buffer[logits + i]
            if recorded[t]:
                weighted = static = zero
                for s in range(samples):
                    largest = buffer[logits + s]
                    total = distance = zero
                    for k in range(classes):
                        logit = buffer[logits + k * row + s]
                        largest = logit if logit > largest else largest
                        total += buffer[deltas + k * row + s]
                        off = logit - (one if k == label[s] else zero)
                        distance += off * off
                    each = half * distance
                    if cross_entropy:
                        each = np.log(total) - (buffer[logits + label[s] * row + s] - largest)
                    weighted += class_weight[t, label[s]] * each
                    static += each
                records[record, 0] = weighted * share
                records[record, 1] = static * share
                records[record, 2] = _right(buffer, logits, row, classes, label) / samples
                _forward(validation, validation_logits, validation_row, weights, no_features, no_classes)
                records[record, 3] = (
                    _right(validation, validation_logits, validation_row, classes, validation_label)
                    / validation_samples
                )
                record += 1
            if t >= updates:
                continue
            # η times the gradient with respect to the logits: η Γ_y / N (output - target).
            for s in range(row):
                total = weight = zero
                for k in range(classes):
                    total += buffer[deltas + k * row + s]
                    weight += target[k * row + s] * class_weight[t, k]
                weight *= learning_rate
                scale = weight / total if cross_entropy else weight
                for k in range(classes):
                    wanted = learning_rate * class_weight[t, k] * target[k * row + s]
                    buffer[deltas + k * row + s] = buffer[deltas + k * row + s] * scale - wanted
            if bias:
                for k in range(classes):
                    gradient = zero
                    for s in range(row):
                        gradient += buffer[deltas + k * row + s]
                    output_bias[k] -= gradient
            for j in range(width):
                into = _load(hidden_kernel, j, width, no_features)
                out = _load(output_kernel, j * classes, 1, no_classes)
                offset = hidden_bias[j]
                into_gradient, out_gradient, offset_gradient = no_features, no_classes, zero
                for s in range(row):
                    inputs = _load(buffer, s, row, no_features)
                    delta = _load(buffer, deltas + s, row, no_classes)
                    hidden = offset + _dot(into, inputs)
                    back = _dot(out, delta)
                    back = zero if hidden <= zero else back
                    hidden = zero if hidden <= zero else hidden
                    out_gradient = _add_scaled(hidden, delta, out_gradient)
                    into_gradient = _add_scaled(back, inputs, into_gradient)
                    offset_gradient += back
                _store(hidden_kernel, j, width, _add_scaled(-one, into_gradient, into))
                _store(output_kernel, j * classes, 1, _add_scaled(-one, out_gradient, out))
                if bias:
                    hidden_bias[j] = offset - offset_gradient

    compiled: Callable[..., None] = descend
    return compiled


class Loop:
    """Gradient descent on one problem, run by run, stretch by stretch."""

    def __init__(
        self,
        train_inputs: Array,
        train_targets: Array,
        validation_inputs: Array,
        validation_targets: Array,
        *,
        network: Perceptron,
        precision: str,
    ) -> None:
        """Compile, or take the compiled loop from disk, and lay out the data.

        Args:
            train_inputs: (sample, feature).
            train_targets: one-hot, (sample, class_index).
            validation_inputs: (sample, feature).
            validation_targets: one-hot, (sample, class_index).
            network: what is trained.
            precision: ``float32`` or ``float64``.
        """
        samples, features = train_inputs.shape
        classes = train_targets.shape[1]
        self._real = np.dtype(precision)
        self._bias = network.bias
        self._shapes = [(network.width,), (features, network.width), (classes,), (network.width, classes)]
        self._descend = _compiled(
            samples, len(validation_inputs), features, classes, network.loss, network.bias, precision
        )
        self._buffer = self._rows(train_inputs, features + 2 * classes)
        self._validation = self._rows(validation_inputs, features + classes)
        self._power = np.zeros(classes * _padded(samples, precision), self._real)
        self._exponent = self._power.view(_exponential(precision).integer)
        self._label = train_targets.argmax(axis=1)
        self._validation_label = validation_targets.argmax(axis=1)
        self._target = self._rows(train_targets / samples, classes)

    def _rows(self, values: Array, count: int) -> Array:
        """(sample, column) as `count` rows of samples, zeros where there is nothing, flat."""
        rows = np.zeros((count, _padded(len(values), self._real)), self._real)
        rows[: values.shape[1], : len(values)] = values.T
        return rows.reshape(-1)

    def advance(
        self,
        parameters: Array,
        learning_rate: float,
        class_weight: Array,
        updates: int,
        recorded: Array,
        kept: Array,
    ) -> tuple[Array, Array]:
        """Train one run over a stretch of steps, in place.

        Args:
            parameters: flattened as by ``jax.flatten_util.ravel_pytree``, (parameter,); changed.
            learning_rate: η.
            class_weight: Γ at each step of the stretch, (step, class_index).
            updates: how many of these steps are followed by an update; the rest are only looked at.
            recorded: the steps at which loss and accuracy are recorded, (step,) booleans.
            kept: the steps at which the parameters are kept, (step,) booleans.

        Returns:
            records (recorded step, [weighted loss, static loss, training accuracy, validation
            accuracy]) and snapshots (kept step, parameter).
        """
        records = np.empty((int(recorded.sum()), 4), self._real)
        snapshots = np.empty((int(kept.sum()), parameters.size), self._real)
        views, end = [], 0
        for index, shape in enumerate(self._shapes):
            # The flat order is hidden bias, hidden kernel, output bias, output kernel.
            if index % 2 == 0 and not self._bias:
                views.append(np.zeros(shape, self._real))
                continue
            start, end = end, end + math.prod(shape)
            views.append(parameters[start:end])
        self._descend(
            parameters,
            tuple(views),
            self._buffer,
            self._power,
            self._exponent,
            self._label,
            self._target,
            self._validation,
            self._validation_label,
            self._real.type(learning_rate),
            class_weight,
            updates,
            recorded,
            records,
            kept,
            snapshots,
        )
        return records, snapshots
