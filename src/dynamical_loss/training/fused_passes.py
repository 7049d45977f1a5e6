"""Passes over hidden units and samples, from which the fused loop is built."""

from __future__ import annotations

import numpy as np
from numba import njit

from dynamical_loss.training.fused_tuples import (
    add_scaled,
    add_scaled_rows,
    combine,
    complete,
    dot,
    dots,
    load,
    load_rows,
    relative,
    store,
)

# All functions are inlined before the optimisation, so that LLVM knows the constant distances between rows.


@njit(inline="always")
def forward(buffer, logits, row, weights, zero_features, zero_classes, zero_logits):  # pragma: no cover
    """Compute the rows of logits from the rows of inputs, which lie before them in the buffer."""
    hidden_bias, hidden_kernel, output_bias, output_kernel = weights
    offsets = relative(load(output_bias, 0, 1, zero_classes), zero_logits)
    for s in range(row):
        store(buffer, logits + s, row, offsets)
    width = hidden_bias.shape[0]
    zero = zero_logits[0]
    for j in range(0, width, 2):
        # Two units per pass, which halves the loads.  If the number of units is odd, the last unit is paired
        # with itself, with output weights of 0.
        other = min(j + 1, width - 1)
        into = load(hidden_kernel, j, width, zero_features)
        other_into = load(hidden_kernel, other, width, zero_features)
        out = relative(load(output_kernel, j * len(zero_classes), 1, zero_classes), zero_logits)
        other_out = relative(load(output_kernel, other * len(zero_classes), 1, zero_classes), zero_logits)
        if other == j:
            other_out = zero_logits
        offset, other_offset = hidden_bias[j], hidden_bias[other]
        for s in range(row):
            inputs = load(buffer, s, row, zero_features)
            hidden = offset + dot(into, inputs)
            hidden = zero if hidden <= zero else hidden
            other_hidden = other_offset + dot(other_into, inputs)
            other_hidden = zero if other_hidden <= zero else other_hidden
            sums = add_scaled(hidden, out, load(buffer, logits + s, row, zero_logits))
            sums = add_scaled(other_hidden, other_out, sums)
            store(buffer, logits + s, row, sums)


@njit(inline="always")
def rescale(buffer, logits, size, scale, start, begins):  # pragma: no cover
    """Replace the outputs f by α(f − f₀); at the first step of a run, f is first stored as f₀."""
    if begins:
        for i in range(size):
            start[i] = buffer[logits + i]
    for i in range(size):
        buffer[logits + i] = scale * (buffer[logits + i] - start[i])


@njit(inline="always")
def sums_of_two(buffer, products, row, unit, other_unit, active_rows, zero_features):  # pragma: no cover
    """Return, for each of two units, the sums of (1, x_0, …) · error over the samples where it is active."""
    (offset, into), (other_offset, other_into) = unit, other_unit
    one = type(offset)(1)
    zero = type(offset)(0)
    sums, other_sums = active_rows, active_rows
    for s in range(row):
        # Multiply by 1 or 0 instead of branching, because LLVM does not vectorise this many conditional sums.
        inputs = load(buffer, s, row, zero_features)
        active = one if offset + dot(into, inputs) > zero else zero
        other_active = one if other_offset + dot(other_into, inputs) > zero else zero
        rows = load_rows(buffer, products + s, row, active_rows)
        sums = add_scaled_rows(active, rows, sums)
        other_sums = add_scaled_rows(other_active, rows, other_sums)
    return sums, other_sums


@njit(inline="always")
def multiply(buffer, errors, features, followed, row):  # pragma: no cover
    """Compute the products of the errors with each input, in the rows after the rows of errors."""
    for m in range(features):
        for k in range(followed):
            for s in range(row):
                error = buffer[errors + k * row + s]
                buffer[errors + ((m + 1) * followed + k) * row + s] = buffer[m * row + s] * error


@njit(inline="always")
def update(weights, j, offset, into, sums, zero_classes, zero_logits, bias):  # pragma: no cover
    """Update the weights of unit j, from its sums of (1, x_0, …) · error over its active samples."""
    hidden_bias, hidden_kernel, _, output_kernel = weights
    width, classes, down = hidden_bias.shape[0], len(zero_classes), type(offset)(-1)
    out = load(output_kernel, j * classes, 1, zero_classes)
    # An active unit has the output offset + into · x, so these sums also give the gradient of its output
    # weights.
    out_gradient = complete(combine((offset, *into), sums, zero_logits), zero_classes)
    into_gradient = dots(sums, relative(out, zero_logits))
    store(hidden_kernel, j, width, add_scaled(down, into_gradient[1:], into))
    store(output_kernel, j * classes, 1, add_scaled(down, out_gradient, out))
    if bias:
        hidden_bias[j] = offset - into_gradient[0]


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
