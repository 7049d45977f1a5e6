"""The exact gradient g and its product Hg with the Hessian, as passes of the fused loop.

The product Hg is the derivative of the gradient along g (Pearlmutter's R-operator; R denotes the derivative
along g).  Units that are not active remain so under a small change, so Hg needs the same kind of sums as the
gradient.  Let S be the sums of x_k · e_c over the samples where a unit is active, and RS the sums of
x_k · (Re)_c.  The change of the unit's gradient is the expression with S and the changes of the weights, plus
the expression with RS and the present weights.
"""

from __future__ import annotations

from numba import njit

from dynamical_loss.training.fused_tuples import (
    add_scaled,
    combine,
    complete,
    dot,
    dots,
    load,
    load_rows,
    relative,
    store,
)


@njit(inline="always")
def gradient_square(weights, direction, kept, buffer, errors, zeros, bias):  # pragma: no cover
    """Compute the gradient from the sums in `kept`, store it in `direction`, and return |g|²."""
    row, unit_row, zero_features, zero_classes, zero_logits, zero_sums = zeros
    hidden_bias, hidden_kernel, _, output_kernel = weights
    to_hidden_bias, to_hidden_kernel, to_output_bias, to_output_kernel = direction
    width, classes, square = hidden_bias.shape[0], len(zero_classes), zero_logits[0]
    if bias:
        gradient = complete(row_sums(buffer, errors, row, zero_logits), zero_classes)
        store(to_output_bias, 0, 1, gradient)
        square += dot(gradient, gradient)
    for i in range(width):
        sums = load_rows(kept, i, unit_row, len(zero_logits) * unit_row, zero_sums)
        there = (hidden_bias[i], *load(hidden_kernel, i, width, zero_features))
        out = relative(load(output_kernel, i * classes, 1, zero_classes), zero_logits)
        out_gradient = complete(combine(there, sums, zero_logits), zero_classes)
        into_gradient = dots(sums, out)
        store(to_hidden_kernel, i, width, into_gradient[1:])
        store(to_output_kernel, i * classes, 1, out_gradient)
        square += dot(into_gradient[1:], into_gradient[1:]) + dot(out_gradient, out_gradient)
        if bias:
            to_hidden_bias[i] = into_gradient[0]
            square += into_gradient[0] * into_gradient[0]
    return square


@njit(inline="always")
def row_sums(buffer, first, row, zero_logits):  # pragma: no cover
    """Return the sums over samples of consecutive rows, as many rows as items in the tuple `zero_logits`."""
    sums = zero_logits
    for s in range(row):
        sums = add_scaled(buffer.dtype.type(1), load(buffer, first + s, row, zero_logits), sums)
    return sums


@njit(inline="always")
def tangent(
    weights, direction, buffer, logits, row, zero_features, zero_classes, zero_logits
):  # pragma: no cover
    """Compute the rows of R-logits, the derivatives of the logits along `direction`."""
    hidden_bias, hidden_kernel, _, output_kernel = weights
    to_hidden_bias, to_hidden_kernel, to_output_bias, to_output_kernel = direction
    width, classes, zero = hidden_bias.shape[0], len(zero_classes), zero_logits[0]
    offsets = relative(load(to_output_bias, 0, 1, zero_classes), zero_logits)
    for s in range(row):
        store(buffer, logits + s, row, offsets)
    for j in range(width):
        offset, into = hidden_bias[j], load(hidden_kernel, j, width, zero_features)
        to_offset, to_into = to_hidden_bias[j], load(to_hidden_kernel, j, width, zero_features)
        out = relative(load(output_kernel, j * classes, 1, zero_classes), zero_logits)
        to_out = relative(load(to_output_kernel, j * classes, 1, zero_classes), zero_logits)
        for s in range(row):
            inputs = load(buffer, s, row, zero_features)
            hidden = offset + dot(into, inputs)
            change = to_offset + dot(to_into, inputs)
            change = zero if hidden <= zero else change
            hidden = zero if hidden <= zero else hidden
            sums = add_scaled(change, out, load(buffer, logits + s, row, zero_logits))
            store(buffer, logits + s, row, add_scaled(hidden, to_out, sums))


@njit(inline="always")
def tangent_errors(
    buffer, errors, outputs, logits, row, target, weight, zero_classes, zero_logits, cross_entropy
):  # pragma: no cover
    """Compute the rows of R-errors from the rows of outputs and R-logits; `weight` holds Γ."""
    zero, followed = zero_logits[0], len(zero_logits)
    for s in range(row):
        own = total = mean = zero
        for k in range(len(zero_classes)):
            own += target[k * row + s] * weight[k]
            total += buffer[outputs + k * row + s]
        for k in range(followed):
            mean += buffer[outputs + k * row + s] * buffer[logits + k * row + s]
        for k in range(followed):
            change = buffer[logits + k * row + s]
            if cross_entropy:
                change = buffer[outputs + k * row + s] / total * (change - mean / total)
            buffer[errors + k * row + s] = own * change


@njit(inline="always")
def product_square(weights, direction, kept, changed, buffer, errors, zeros, bias):  # pragma: no cover
    """Return |Hg|² from the rows of R-errors and the sums of each unit.

    `kept` holds the sums of the errors, and `changed` the sums of the R-errors.
    """
    row, unit_row, zero_features, zero_classes, zero_logits, zero_sums = zeros
    hidden_bias, hidden_kernel, _, output_kernel = weights
    to_hidden_bias, to_hidden_kernel, _, to_output_kernel = direction
    width, classes, square = hidden_bias.shape[0], len(zero_classes), zero_logits[0]
    if bias:
        change = complete(row_sums(buffer, errors, row, zero_logits), zero_classes)
        square += dot(change, change)
    for i in range(width):
        length = len(zero_logits) * unit_row
        sums = load_rows(kept, i, unit_row, length, zero_sums)
        r_sums = load_rows(changed, i, unit_row, length, zero_sums)
        there = (hidden_bias[i], *load(hidden_kernel, i, width, zero_features))
        towards = (to_hidden_bias[i], *load(to_hidden_kernel, i, width, zero_features))
        out = relative(load(output_kernel, i * classes, 1, zero_classes), zero_logits)
        to_out = relative(load(to_output_kernel, i * classes, 1, zero_classes), zero_logits)
        out_change = combine(there, r_sums, combine(towards, sums, zero_logits))
        out_change = complete(out_change, zero_classes)
        into_change = add_scaled(buffer.dtype.type(1), dots(r_sums, out), dots(sums, to_out))
        square += dot(into_change[1:], into_change[1:]) + dot(out_change, out_change)
        if bias:
            square += into_change[0] * into_change[0]
    return square
