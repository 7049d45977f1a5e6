"""One run of gradient descent on a small perceptron as one compiled loop, for CPUs.

XLA runs a training step of the paper's network as some twenty kernels, each of which reads and writes
whole activations.  Here a step is two passes over the hidden units, each with the samples along the
vector lanes: activations stay in registers, the hidden layer is recomputed in the backward pass
instead of stored, and the parameters are updated in place.  Three identities shorten the passes:

- A unit is active or not, so all its gradients are combinations of the sums over its active samples of
  x_k · e_c, with the inputs x_k (and 1) and the errors e_c of the logits.  These products do not depend
  on the unit, and a pass over them is nothing but sums.
- The cross-entropy sees differences of logits alone, so those to the last class are enough, …
- … and its errors sum to zero over the classes, so the last one need not be followed.

numba compiles the loop for the processor at hand and for the numbers of samples, features and classes;
:mod:`dynamical_loss.training.compiled` keeps the result on disk.

The program that :mod:`dynamical_loss.training.xla` gives XLA is the reference: it takes any network, loss
and optimiser, and the tests hold this loop against it.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.extending import overload

from dynamical_loss.training.compiled import Compiled
from dynamical_loss.training.types import Perceptron

Array = npt.NDArray[Any]

# All of LLVM's liberties except those that assume finite numbers: a diverged run must show its NaNs.
_OPTIONS: Any = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
}
_LANES = 64  # bytes of the widest vectors; samples are filled up to whole ones


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


def _load_rows(array, index, stride, like):
    """As :func:`_load`, but a tuple of tuples."""
    raise NotImplementedError


@overload(_load_rows, jit_options=_OPTIONS)
def _load_rows_of(array, index, stride, like):  # pragma: no cover
    if len(like) == 1:
        return lambda array, index, stride, like: (_load(array, index, stride, like[0]),)
    return (
        lambda array, index, stride, like: (
            (_load(array, index, stride, like[0]),)  # noqa: RUF005
            + _load_rows(array, index + len(like[0]) * stride, stride, like[1:])
        )
    )


def _add_scaled_rows(factor, rows, to):
    """As :func:`_add_scaled`, for tuples of tuples."""
    raise NotImplementedError


@overload(_add_scaled_rows, jit_options=_OPTIONS)
def _add_scaled_rows_of(factor, rows, to):  # pragma: no cover
    if len(rows) == 1:
        return lambda factor, rows, to: (_add_scaled(factor, rows[0], to[0]),)
    return lambda factor, rows, to: (
        (_add_scaled(factor, rows[0], to[0]),) + _add_scaled_rows(factor, rows[1:], to[1:])  # noqa: RUF005
    )


def _combine(factors, rows, to):
    """The tuple Σ_k factors_k · rows_k + to."""
    raise NotImplementedError


@overload(_combine, jit_options=_OPTIONS)
def _combine_of(factors, rows, to):  # pragma: no cover
    if len(rows) == 1:
        return lambda factors, rows, to: _add_scaled(factors[0], rows[0], to)
    return lambda factors, rows, to: _combine(factors[1:], rows[1:], _add_scaled(factors[0], rows[0], to))


def _dots(rows, vector):
    """(rows_0 · vector, rows_1 · vector, …)."""
    raise NotImplementedError


@overload(_dots, jit_options=_OPTIONS)
def _dots_of(rows, vector):  # pragma: no cover
    if len(rows) == 1:
        return lambda rows, vector: (_dot(rows[0], vector),)
    return lambda rows, vector: (_dot(rows[0], vector),) + _dots(rows[1:], vector)  # noqa: RUF005


def _relative(values, like):
    """`values` themselves if as many as in `like`, else all but the last, less the last."""
    raise NotImplementedError


@overload(_relative, jit_options=_OPTIONS)
def _relative_of(values, like):  # pragma: no cover
    if len(values) == len(like):
        return lambda values, like: values
    if len(like) == 1:
        return lambda values, like: (values[0] - values[-1],)
    return lambda values, like: (values[0] - values[-1],) + _relative(values[1:], like[1:])  # noqa: RUF005


def _complete(gradient, like):
    """`gradient` itself if as many as in `like`, else with the last that makes the sum zero."""
    raise NotImplementedError


@overload(_complete, jit_options=_OPTIONS)
def _complete_of(gradient, like):  # pragma: no cover
    if len(gradient) == len(like):
        return lambda gradient, like: gradient
    return lambda gradient, like: (*gradient, -sum(gradient))


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
def _forward(buffer, logits, row, weights, zero_features, zero_classes, zero_logits):  # pragma: no cover
    """Fill the rows of logits from the rows of inputs that lie before them."""
    hidden_bias, hidden_kernel, output_bias, output_kernel = weights
    offsets = _relative(_load(output_bias, 0, 1, zero_classes), zero_logits)
    for s in range(row):
        _store(buffer, logits + s, row, offsets)
    width = hidden_bias.shape[0]
    zero = zero_logits[0]
    for j in range(0, width, 2):
        # Two units a pass, which halves the loads; a last one without a partner is its own, with weight 0.
        other = min(j + 1, width - 1)
        into = _load(hidden_kernel, j, width, zero_features)
        other_into = _load(hidden_kernel, other, width, zero_features)
        out = _relative(_load(output_kernel, j * len(zero_classes), 1, zero_classes), zero_logits)
        other_out = _relative(_load(output_kernel, other * len(zero_classes), 1, zero_classes), zero_logits)
        if other == j:
            other_out = zero_logits
        offset, other_offset = hidden_bias[j], hidden_bias[other]
        for s in range(row):
            inputs = _load(buffer, s, row, zero_features)
            hidden = offset + _dot(into, inputs)
            hidden = zero if hidden <= zero else hidden
            other_hidden = other_offset + _dot(other_into, inputs)
            other_hidden = zero if other_hidden <= zero else other_hidden
            sums = _add_scaled(hidden, out, _load(buffer, logits + s, row, zero_logits))
            sums = _add_scaled(other_hidden, other_out, sums)
            _store(buffer, logits + s, row, sums)


@njit(inline="always")
def _update(weights, j, offset, into, sums, zero_classes, zero_logits, bias):  # pragma: no cover
    """Step of unit j down its gradient, from its sums of (1, x_0, …) · error over the active samples."""
    hidden_bias, hidden_kernel, _, output_kernel = weights
    width, classes, down = hidden_bias.shape[0], len(zero_classes), type(offset)(-1)
    out = _load(output_kernel, j * classes, 1, zero_classes)
    # Where it is active, the unit puts out offset + into · x.
    out_gradient = _complete(_combine((offset, *into), sums, zero_logits), zero_classes)
    into_gradient = _dots(sums, _relative(out, zero_logits))
    _store(hidden_kernel, j, width, _add_scaled(down, into_gradient[1:], into))
    _store(output_kernel, j * classes, 1, _add_scaled(down, out_gradient, out))
    if bias:
        hidden_bias[j] = offset - into_gradient[0]


@njit(inline="always")
def _right(buffer, logits, row, zero_classes, zero_logits, label):  # pragma: no cover
    """How many samples have finite logits of which that of their class is the (first) largest."""
    count = 0
    for s in range(label.shape[0]):
        best, finite = 0, True
        largest = buffer[logits + s]
        for k in range(len(zero_classes)):
            logit = buffer[logits + k * row + s] if k < len(zero_logits) else zero_logits[0]
            finite = finite and np.isfinite(logit)
            best = k if logit > largest else best
            largest = logit if logit > largest else largest
        count += finite and best == label[s]
    return count


class _Exponential(NamedTuple):
    """exp(x) for x <= 0 as 2^k · Σ r^n / n! with |r| <= ln 2 / 2, in a floating-point format.

    The C library's function takes one number at a time, which would cost as much as the rest of a step.
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
    """Zeros that begin with a cache line: a vector across two of them costs twice."""
    item = np.dtype(dtype).itemsize
    memory = np.zeros(size + _LANES // item, dtype)
    start = -memory.ctypes.data % _LANES // item
    return memory[start : start + size]


@functools.cache
def _compiled(
    samples: int, validation_samples: int, features: int, classes: int, loss: str, bias: bool, dtype: str
) -> Compiled:
    """The loop for one shape of problem.

    All rows of samples lie in one buffer at constant distances, which lets LLVM see that they do not
    overlap; hence the numbers of samples are compiled in.
    """
    variant = f"descend_{samples}_{validation_samples}_{features}_{classes}_{loss}_{bias}_{dtype}"
    real: Any = np.dtype(dtype).type
    zero, one = real(0), real(1)
    cross_entropy = loss == "cross_entropy"
    followed = classes - 1 if cross_entropy else classes
    zero_features, zero_classes, zero_logits = (zero,) * features, (zero,) * classes, (zero,) * followed
    zero_sums = (zero_logits,) * (features + 1)
    row, validation_row = _padded(samples, dtype), _padded(validation_samples, dtype)
    logits = features * row
    outputs, products = logits + followed * row, logits + (followed + classes) * row
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
        learning_rate,
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
            _forward(buffer, logits, row, weights, zero_features, zero_classes, zero_logits)
            # The outputs that meet the targets: exponentials, not yet normalised, or the logits.
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
                    buffer[outputs + i] = _polynomial(x - k * ln2, coefficients)
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
                records[record, 2] = _right(buffer, logits, row, zero_classes, zero_logits, label) / samples
                _forward(
                    validation,
                    validation_logits,
                    validation_row,
                    weights,
                    zero_features,
                    zero_classes,
                    zero_logits,
                )
                right = _right(
                    validation, validation_logits, validation_row, zero_classes, zero_logits, validation_label
                )
                records[record, 3] = right / validation_samples
                record += 1
            if t >= updates:
                continue
            # Errors: η times the gradient with respect to the logits, η Γ_y / N (output - target) …
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
            # … and their products with the inputs.
            for m in range(features):
                for k in range(followed):
                    for s in range(row):
                        error = buffer[products + k * row + s]
                        buffer[products + ((m + 1) * followed + k) * row + s] = buffer[m * row + s] * error
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
                into = _load(hidden_kernel, j, width, zero_features)
                other_into = _load(hidden_kernel, other, width, zero_features)
                offset, other_offset = hidden_bias[j], hidden_bias[other]
                sums, other_sums = zero_sums, zero_sums
                for s in range(row):
                    # A factor of 1 or 0, because LLVM does not vectorise this many conditional sums.
                    inputs = _load(buffer, s, row, zero_features)
                    active = one if offset + _dot(into, inputs) > zero else zero
                    other_active = one if other_offset + _dot(other_into, inputs) > zero else zero
                    rows = _load_rows(buffer, products + s, row, zero_sums)
                    sums = _add_scaled_rows(active, rows, sums)
                    other_sums = _add_scaled_rows(other_active, rows, other_sums)
                _update(weights, j, offset, into, sums, zero_classes, zero_logits, bias)
                if other != j:
                    _update(
                        weights, other, other_offset, other_into, other_sums, zero_classes, zero_logits, bias
                    )

    # What is kept of it on disk is told apart from other shapes by this name.
    descend.__name__ = descend.__qualname__ = variant
    return Compiled(descend, _OPTIONS)


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
        """Lay out the data; the loop is compiled, or taken from disk, when it is first called.

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
        # Inputs; logits; outputs; errors and their products with the inputs.
        self._buffer = self._rows(train_inputs, features + 2 * classes + (features + 1) * classes)
        self._validation = self._rows(validation_inputs, features + classes)
        self._power = _aligned(classes * _padded(samples, precision), self._real)
        self._exponent = self._power.view(_exponential(precision).integer)
        self._label = train_targets.argmax(axis=1)
        self._validation_label = validation_targets.argmax(axis=1)
        self._target = self._rows(train_targets / samples, classes)

    def _rows(self, values: Array, count: int) -> Array:
        """(sample, column) as `count` rows of samples, zeros where there is nothing, flat."""
        length = _padded(len(values), self._real)
        rows = _aligned(count * length, self._real).reshape(count, length)
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
