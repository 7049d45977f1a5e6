"""Passes over hidden units and samples, from which the fused loop is built.

The samples lie in rows of one buffer and the units in rows of another, both padded to whole vectors:

- samples: inputs; logits; outputs; errors; products of the errors with the first input; with a learning rate
  that follows the curvature, also derivatives of the logits.
- units: bias; weights from each feature; output weights relative to the last class, or with the squared error
  the output weights themselves; all output weights.

The main passes take blocks of as many vectors as stay in registers together with their sums.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import overload

from dynamical_loss.training.fused_tuples import (
    OPTIONS,
    add_dot,
    add_scaled,
    combine,
    complete,
    dots,
    filled,
    load,
    load_rows,
    multiplied,
    polynomial,
    relative,
    spread,
    store,
    store_rows,
    total,
)
from dynamical_loss.training.fused_vectors import (
    add_where,
    larger,
    load_vector,
    low_bits_as_exponent,
    multiply_add_where,
    positive,
    ramp,
    splat,
    store_vector,
    sum_of_lanes,
)

# All functions are inlined, so that LLVM knows the constant distances between rows of samples.


@njit(inline="always")
def pack(weights, units, row, zeros):  # pragma: no cover
    """Copy the weights of all units to the rows of units."""
    zero_unit, zero_classes, zero_logits = zeros
    hidden_bias, hidden_kernel, _, output_kernel = weights
    width, outputs = hidden_bias.shape[0], len(zero_unit) * row
    for j in range(width):
        units[j] = hidden_bias[j]
        store(units, row + j, row, load(hidden_kernel, j, width, zero_unit[1:]))
        out = load(output_kernel, j * len(zero_classes), 1, zero_classes)
        store(units, outputs + j, row, relative(out, zero_logits))
        store(units, outputs + len(zero_logits) * row + j, row, out)


@njit(inline="always")
def unpack(units, row, weights, zeros):  # pragma: no cover
    """Copy the rows of units to the weights: the reverse of `pack`."""
    zero_unit, zero_classes, zero_logits = zeros
    hidden_bias, hidden_kernel, _, output_kernel = weights
    width, outputs = hidden_bias.shape[0], (len(zero_unit) + len(zero_logits)) * row
    for j in range(width):
        hidden_bias[j] = units[j]
        store(hidden_kernel, j, width, load(units, row + j, row, zero_unit[1:]))
        store(output_kernel, j * len(zero_classes), 1, load(units, outputs + j, row, zero_classes))


def _add_unit(unit, out, inputs, sums):
    """Add the outputs of one unit (bias, weights) to the logits `sums` of a block of samples."""
    raise NotImplementedError


@overload(_add_unit, jit_options=OPTIONS)
def _add_unit_to(unit, out, inputs, sums):  # pragma: no cover
    if len(sums) == 1:
        return lambda unit, out, inputs, sums: (
            add_scaled(ramp(add_dot(unit[1:], inputs[0], unit[0])), out, sums[0]),
        )
    return (
        lambda unit, out, inputs, sums: (
            (add_scaled(ramp(add_dot(unit[1:], inputs[0], unit[0])), out, sums[0]),)  # noqa: RUF005
            + _add_unit(unit, out, inputs[1:], sums[1:])
        )
    )


@njit(inline="always")
def _forward_span(buffer, logits, row, step, network, zeros, first, last, block):  # pragma: no cover
    units, unit_row, width, output_bias = network
    zero_unit, zero_classes, zero_logits = zeros
    like_inputs, like_sums = spread(block[0]), spread(block[1])
    outputs, size = len(zero_unit) * unit_row, len(block[1]) * step
    start = filled(spread(relative(load(output_bias, 0, 1, zero_classes), zero_logits)), like_sums)
    for s in range(first, last, size):
        inputs = load_rows(buffer, s, row, step, like_inputs)
        sums = start
        for j in range(width):
            unit = spread(load(units, j, unit_row, zero_unit))
            out = spread(load(units, outputs + j, unit_row, zero_logits))
            sums = _add_unit(unit, out, inputs, sums)
        store_rows(buffer, logits + s, row, step, sums)


@njit(inline="always")
def forward(buffer, logits, row, step, network, zeros, blocks):  # pragma: no cover
    """Compute the rows of logits from the rows of inputs, in blocks of vectors of samples.

    `blocks` has the place where smaller blocks begin, and zeros for the inputs and the logits of each vector
    in a larger and in a smaller block.
    """
    _forward_span(buffer, logits, row, step, network, zeros, 0, blocks[0], blocks[1])
    _forward_span(buffer, logits, row, step, network, zeros, blocks[0], row, blocks[2])


@njit(inline="always")
def rescale(buffer, logits, size, scale, start, begins):  # pragma: no cover
    """Replace the outputs f by α(f − f₀); at the first step of a run, f is first stored as f₀."""
    if begins:
        for i in range(size):
            start[i] = buffer[logits + i]
    for i in range(size):
        buffer[logits + i] = scale * (buffer[logits + i] - start[i])


@njit(inline="always")
def _exponential(x, constants):  # pragma: no cover
    smallest, log2_e, shift, ln2, coefficients = constants
    x = larger(smallest, x)  # a NaN stays
    # Adding the shift rounds to a whole number k, which is then in the low bits.  LLVM must not simplify the
    # sum and the difference; see the flags in `fused_vectors`.
    shifted = x * log2_e + shift
    k = shifted - shift
    return polynomial(x - k * ln2, coefficients) * low_bits_as_exponent(shifted)


def _exponentials(values, largest, constants):
    """Return exp(value - largest) for each vector of a tuple."""
    raise NotImplementedError


@overload(_exponentials, jit_options=OPTIONS)
def _exponentials_of(values, largest, constants):  # pragma: no cover
    if len(values) == 1:
        return lambda values, largest, constants: (_exponential(values[0] - largest, constants),)
    return (
        lambda values, largest, constants: (
            (_exponential(values[0] - largest, constants),)  # noqa: RUF005
            + _exponentials(values[1:], largest, constants)
        )
    )


def _largest(values, so_far):
    """Return the largest of a tuple of vectors and another vector."""
    raise NotImplementedError


@overload(_largest, jit_options=OPTIONS)
def _largest_of(values, so_far):  # pragma: no cover
    if len(values) == 1:
        return lambda values, so_far: larger(so_far, values[0])
    return lambda values, so_far: _largest(values[1:], larger(so_far, values[0]))


@njit(inline="always")
def exponentiate(buffer, logits, outputs, row, step, constants, zero_logits):  # pragma: no cover
    """Compute the rows of unnormalised softmax outputs from the logits relative to the last class."""
    like, zero = spread(zero_logits), splat(zero_logits[0])
    numbers = (
        splat(constants[0]),
        splat(constants[1]),
        splat(constants[2]),
        splat(constants[3]),
        spread(constants[4]),
    )
    for s in range(0, row, step):
        found = load(buffer, logits + s, row, like)
        top = _largest(found, zero)
        store(buffer, outputs + s, row, _exponentials((*found, zero), top, numbers))


def _errors(outputs, wanted, scale, like):
    """Return output · scale - wanted for as many classes as in the tuple `like`."""
    raise NotImplementedError


@overload(_errors, jit_options=OPTIONS)
def _errors_of(outputs, wanted, scale, like):  # pragma: no cover
    if len(like) == 1:
        return lambda outputs, wanted, scale, like: (outputs[0] * scale - wanted[0],)
    return (
        lambda outputs, wanted, scale, like: (
            (outputs[0] * scale - wanted[0],)  # noqa: RUF005
            + _errors(outputs[1:], wanted[1:], scale, like[1:])
        )
    )


def _sums_of_lanes(vectors):
    """Return the sum over the lanes of each vector of a tuple."""
    raise NotImplementedError


@overload(_sums_of_lanes, jit_options=OPTIONS)
def _sums_of_lanes_of(vectors):  # pragma: no cover
    if len(vectors) == 1:
        return lambda vectors: (sum_of_lanes(vectors[0]),)
    return lambda vectors: (sum_of_lanes(vectors[0]),) + _sums_of_lanes(vectors[1:])  # noqa: RUF005


@njit(inline="always")
def weigh(buffer, outputs, errors, row, step, target, share, zero_logits, cross_entropy):  # pragma: no cover
    """Compute the rows of errors and of their products with the first input; return the sum of each error.

    An error is share_y (output - target), the gradient with respect to a logit.
    """
    shares, like = spread(share), spread(zero_logits)
    one, sums = splat(type(zero_logits[0])(1)), like
    for s in range(0, row, step):
        wanted = multiplied(load(target, s, row, shares), shares)
        found = load(buffer, outputs + s, row, shares)
        scale = total(wanted)
        if cross_entropy:
            scale = scale / total(found)
        each = _errors(found, wanted, scale, like)
        store(buffer, errors + s, row, each)
        store(buffer, errors + len(like) * row + s, row, add_scaled(load_vector(buffer, s), each, like))
        sums = add_scaled(one, each, sums)
    return _sums_of_lanes(sums)


@njit(inline="always")
def multiply_by_first(buffer, errors, row, step, zero_logits):  # pragma: no cover
    """Compute the products of the rows of errors with the first input, in the rows after them."""
    like = spread(zero_logits)
    for s in range(0, row, step):
        each = load(buffer, errors + s, row, like)
        store(buffer, errors + len(like) * row + s, row, add_scaled(load_vector(buffer, s), each, like))


def _add_where_each(on, vectors, to):
    """Return the tuple vector + to, in the lanes that are on."""
    raise NotImplementedError


@overload(_add_where_each, jit_options=OPTIONS)
def _add_where_each_of(on, vectors, to):  # pragma: no cover
    if len(to) == 1:
        return lambda on, vectors, to: (add_where(on, vectors[0], to[0]),)
    return (
        lambda on, vectors, to: (
            (add_where(on, vectors[0], to[0]),)  # noqa: RUF005
            + _add_where_each(on, vectors[1:], to[1:])
        )
    )


def _multiply_add_where_each(on, factor, vectors, to):
    """Return the tuple factor · vector + to, in the lanes that are on."""
    raise NotImplementedError


@overload(_multiply_add_where_each, jit_options=OPTIONS)
def _multiply_add_where_each_of(on, factor, vectors, to):  # pragma: no cover
    if len(to) == 1:
        return lambda on, factor, vectors, to: (multiply_add_where(on, factor, vectors[0], to[0]),)
    return (
        lambda on, factor, vectors, to: (
            (multiply_add_where(on, factor, vectors[0], to[0]),)  # noqa: RUF005
            + _multiply_add_where_each(on, factor, vectors[1:], to[1:])
        )
    )


def _add_products(on, inputs, errors, sums):
    """Add input · error to the sums of each input, in the lanes that are on."""
    raise NotImplementedError


@overload(_add_products, jit_options=OPTIONS)
def _add_products_to(on, inputs, errors, sums):  # pragma: no cover
    if len(sums) == 0:
        return lambda on, inputs, errors, sums: ()
    if len(sums) == 1:
        return lambda on, inputs, errors, sums: (_multiply_add_where_each(on, inputs[0], errors, sums[0]),)
    return (
        lambda on, inputs, errors, sums: (
            (_multiply_add_where_each(on, inputs[0], errors, sums[0]),)  # noqa: RUF005
            + _add_products(on, inputs[1:], errors, sums[1:])
        )
    )


@njit(inline="always")
def _add_sample_where(on, inputs, errors, products, sums):  # pragma: no cover
    # Only the first products are computed beforehand: the processor adds and multiplies at the same time.
    first = (_add_where_each(on, errors, sums[0]), _add_where_each(on, products, sums[1]))
    return first + _add_products(on, inputs[1:], errors, sums[2:])


def _add_sample(units, inputs, errors, products, sums):
    """Add a sample to the sums of each vector of units, where they are active."""
    raise NotImplementedError


@overload(_add_sample, jit_options=OPTIONS)
def _add_sample_to(units, inputs, errors, products, sums):  # pragma: no cover
    if len(sums) == 1:

        def added(units, inputs, errors, products, sums):
            on = positive(add_dot(units[0][1:], inputs, units[0][0]))
            return (_add_sample_where(on, inputs, errors, products, sums[0]),)
    else:

        def added(units, inputs, errors, products, sums):
            on = positive(add_dot(units[0][1:], inputs, units[0][0]))
            mine = (_add_sample_where(on, inputs, errors, products, sums[0]),)
            return mine + _add_sample(units[1:], inputs, errors, products, sums[1:])

    return added


def _store_block(kept, j, row, step, sums):
    """Store the sums of each vector of units in a block."""
    raise NotImplementedError


@overload(_store_block, jit_options=OPTIONS)
def _store_block_of(kept, j, row, step, sums):  # pragma: no cover
    if len(sums) == 1:

        def stored(kept, j, row, step, sums):
            store_rows(kept, j, row, len(sums[0][0]) * row, sums[0])
    else:

        def stored(kept, j, row, step, sums):
            store_rows(kept, j, row, len(sums[0][0]) * row, sums[0])
            _store_block(kept, j + step, row, step, sums[1:])

    return stored


@njit(inline="always")
def _sum_span(
    kept, buffer, errors, row, samples, step, network, zeros, first, last, block
):  # pragma: no cover
    units, unit_row, _, _ = network
    zero_unit, _, zero_logits = zeros
    like_units, none = spread(block[0]), spread(block[1])
    for j in range(first, last, len(block[0]) * step):
        there = load_rows(units, j, unit_row, step, like_units)
        sums = none
        for n in range(samples):
            inputs = spread(load(buffer, n, row, zero_unit[1:]))
            each = spread(load(buffer, errors + n, row, zero_logits))
            products = spread(load(buffer, errors + len(zero_logits) * row + n, row, zero_logits))
            sums = _add_sample(there, inputs, each, products, sums)
        _store_block(kept, j, unit_row, step, sums)


@njit(inline="always")
def sum_units(kept, buffer, errors, row, samples, step, network, zeros, block):  # pragma: no cover
    """Store in rows of `kept` the sums of (1, x_0, …) · error over the samples where each unit is active.

    `block` has zeros for the weights and the sums of each vector of units in a block.  What the blocks leave
    over is taken one by one.
    """
    size = len(block[0]) * step
    end, single = network[1] // size * size, (block[0][:1], block[1][:1])
    _sum_span(kept, buffer, errors, row, samples, step, network, zeros, 0, end, block)
    _sum_span(kept, buffer, errors, row, samples, step, network, zeros, end, network[1], single)


@njit(inline="always")
def update(units, row, kept, step, zeros, zero_sums, bias):  # pragma: no cover
    """Take a step with the weights of the units, from the rows of sums of `sum_units`."""
    none_of_unit, none_of_classes, none = spread(zeros)
    down, none_of_sums = splat(type(zeros[0][0])(-1)), spread(zero_sums)
    for j in range(0, row, step):
        relative_outputs = len(zeros[0]) * row + j
        outputs = relative_outputs + len(zeros[2]) * row
        unit = load(units, j, row, none_of_unit)
        sums = load_rows(kept, j, row, len(zeros[2]) * row, none_of_sums)
        # An active unit has the output offset + into · x, so these sums also give the gradient of its output
        # weights.
        gradient = dots(sums, load(units, relative_outputs, row, none))
        out_gradient = complete(combine(unit, sums, none), none_of_classes)
        out = add_scaled(down, out_gradient, load(units, outputs, row, none_of_classes))
        store(units, row + j, row, add_scaled(down, gradient[1:], unit[1:]))
        store(units, relative_outputs, row, relative(out, none))
        store(units, outputs, row, out)
        if bias:
            store_vector(units, j, unit[0] - gradient[0])


@njit(inline="always")
def right(buffer, logits, row, zero_classes, zero_logits, label):  # pragma: no cover
    """Return how many samples have finite logits whose (first) largest belongs to the sample's class."""
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
