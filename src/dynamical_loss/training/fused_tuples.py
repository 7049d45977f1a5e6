"""Arithmetic on short tuples for the fused loop; numba unrolls it."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from dynamical_loss.training.fused_vectors import Vector, load_number, load_vector, splat, store_vector

# All fast-math flags of LLVM except those that assume finite numbers: a diverged run must keep its NaNs.
FLAGS: Any = {"fastmath": {"contract", "reassoc", "nsz", "arcp"}, "error_model": "numpy"}

# Only compiled code calls the functions below, so no entry point for C is compiled.  LLVM must inline them:
# it finds that too expensive for large blocks, but a call passes all vectors of a block through memory.
OPTIONS: Any = FLAGS | {"no_cfunc_wrapper": True, "forceinline": True}

# Compilation unrolls the functions below, because the length of a tuple is part of its type.  Each function
# states what is computed; numba replaces its body with the decorated implementation that follows it.


def dot(left, right):
    """Return Σ_k left_k · right_k."""
    raise NotImplementedError


@overload(dot, jit_options=OPTIONS)
def _dot_of(left, right):  # pragma: no cover
    if len(left) == 1:
        return lambda left, right: left[0] * right[0]
    return lambda left, right: left[0] * right[0] + dot(left[1:], right[1:])


def add_dot(left, right, to):
    """Return to + Σ_k left_k · right_k."""
    raise NotImplementedError


@overload(add_dot, jit_options=OPTIONS)
def _add_dot_of(left, right, to):  # pragma: no cover
    if len(left) == 1:
        return lambda left, right, to: left[0] * right[0] + to
    return lambda left, right, to: left[0] * right[0] + add_dot(left[1:], right[1:], to)


def add_scaled(factor, vector, to):
    """Return the tuple factor · vector + to."""
    raise NotImplementedError


@overload(add_scaled, jit_options=OPTIONS)
def _add_scaled_of(factor, vector, to):  # pragma: no cover
    if len(vector) == 1:
        return lambda factor, vector, to: (factor * vector[0] + to[0],)
    return lambda factor, vector, to: (
        (factor * vector[0] + to[0],) + add_scaled(factor, vector[1:], to[1:])  # noqa: RUF005
    )


def load(array, index, stride, like):
    """Return (array[index], array[index + stride], …), with as many items as the tuple `like`.

    If `like` holds vectors, each item is the vector of the array's items from there on.
    """
    raise NotImplementedError


@overload(load, jit_options=OPTIONS)
def _load_of(array, index, stride, like):  # pragma: no cover
    if isinstance(like[0], Vector):
        if len(like) == 1:
            return lambda array, index, stride, like: (load_vector(array, index),)
        return lambda array, index, stride, like: (
            (load_vector(array, index),) + load(array, index + stride, stride, like[1:])  # noqa: RUF005
        )
    if len(like) == 1:
        return lambda array, index, stride, like: (load_number(array, index),)
    return lambda array, index, stride, like: (
        (load_number(array, index),) + load(array, index + stride, stride, like[1:])  # noqa: RUF005
    )


def store(array, index, stride, values):
    """Store the tuple `values` at array[index], array[index + stride], …: the reverse of :func:`load`."""
    raise NotImplementedError


@overload(store, jit_options=OPTIONS)
def _store_of(array, index, stride, values):  # pragma: no cover
    if isinstance(values[0], Vector):
        if len(values) == 1:

            def stored(array, index, stride, values):
                store_vector(array, index, values[0])
        else:

            def stored(array, index, stride, values):
                store_vector(array, index, values[0])
                store(array, index + stride, stride, values[1:])

    elif len(values) == 1:

        def stored(array, index, stride, values):
            array[index] = values[0]
    else:

        def stored(array, index, stride, values):
            array[index] = values[0]
            store(array, index + stride, stride, values[1:])

    return stored


def spread(values):
    """Return vectors that hold each number of a tuple, or of nested tuples, in all lanes."""
    raise NotImplementedError


@overload(spread, jit_options=OPTIONS)
def _spread_of(values):  # pragma: no cover
    if not isinstance(values, types.BaseTuple):
        return lambda values: splat(values)
    if len(values) == 1:
        return lambda values: (spread(values[0]),)
    return lambda values: (spread(values[0]),) + spread(values[1:])  # noqa: RUF005


def filled(value, like):
    """Return a tuple that holds a value as many times as `like` has items."""
    raise NotImplementedError


@overload(filled, jit_options=OPTIONS)
def _filled_of(value, like):  # pragma: no cover
    if len(like) == 1:
        return lambda value, like: (value,)
    return lambda value, like: (value,) + filled(value, like[1:])  # noqa: RUF005


def load_rows(array, index, stride, step, like):
    """Return a tuple of tuples with the lengths in `like`; see :func:`load`.

    The items of a tuple lie `stride` apart, and the tuples `step`.
    """
    raise NotImplementedError


@overload(load_rows, jit_options=OPTIONS)
def _load_rows_of(array, index, stride, step, like):  # pragma: no cover
    if len(like) == 1:
        return lambda array, index, stride, step, like: (load(array, index, stride, like[0]),)
    return (
        lambda array, index, stride, step, like: (
            (load(array, index, stride, like[0]),)  # noqa: RUF005
            + load_rows(array, index + step, stride, step, like[1:])
        )
    )


def store_rows(array, index, stride, step, rows):
    """Store a tuple of tuples: the reverse of :func:`load_rows`."""
    raise NotImplementedError


@overload(store_rows, jit_options=OPTIONS)
def _store_rows_of(array, index, stride, step, rows):  # pragma: no cover
    if len(rows) == 1:

        def stored(array, index, stride, step, rows):
            store(array, index, stride, rows[0])
    else:

        def stored(array, index, stride, step, rows):
            store(array, index, stride, rows[0])
            store_rows(array, index + step, stride, step, rows[1:])

    return stored


def combine(factors, rows, to):
    """Return the tuple Σ_k factors_k · rows_k + to."""
    raise NotImplementedError


@overload(combine, jit_options=OPTIONS)
def _combine_of(factors, rows, to):  # pragma: no cover
    if len(rows) == 1:
        return lambda factors, rows, to: add_scaled(factors[0], rows[0], to)
    return lambda factors, rows, to: combine(factors[1:], rows[1:], add_scaled(factors[0], rows[0], to))


def dots(rows, vector):
    """Return the tuple of dot products (rows_0 · vector, rows_1 · vector, …)."""
    raise NotImplementedError


@overload(dots, jit_options=OPTIONS)
def _dots_of(rows, vector):  # pragma: no cover
    if len(rows) == 1:
        return lambda rows, vector: (dot(rows[0], vector),)
    return lambda rows, vector: (dot(rows[0], vector),) + dots(rows[1:], vector)  # noqa: RUF005


def relative(values, like):
    """Return `values` if they are as many as in `like`, otherwise all but the last, minus the last value."""
    raise NotImplementedError


@overload(relative, jit_options=OPTIONS)
def _relative_of(values, like):  # pragma: no cover
    if len(values) == len(like):
        return lambda values, like: values
    if len(like) == 1:
        return lambda values, like: (values[0] - values[-1],)
    return lambda values, like: (values[0] - values[-1],) + relative(values[1:], like[1:])  # noqa: RUF005


def total(values):
    """Return Σ_k values_k."""
    raise NotImplementedError


@overload(total, jit_options=OPTIONS)
def _total_of(values):  # pragma: no cover
    if len(values) == 1:
        return lambda values: values[0]
    return lambda values: values[0] + total(values[1:])


def complete(gradient, zeros):
    """Return `gradient` if it is as long as `zeros`, otherwise append the value that makes the sum zero."""
    raise NotImplementedError


@overload(complete, jit_options=OPTIONS)
def _complete_of(gradient, zeros):  # pragma: no cover
    if len(gradient) == len(zeros):
        return lambda gradient, zeros: gradient
    return lambda gradient, zeros: (*gradient, zeros[0] - total(gradient))


def multiplied(left, right):
    """Return the tuple (left_0 · right_0, left_1 · right_1, …)."""
    raise NotImplementedError


@overload(multiplied, jit_options=OPTIONS)
def _multiplied_of(left, right):  # pragma: no cover
    if len(left) == 1:
        return lambda left, right: (left[0] * right[0],)
    return lambda left, right: (left[0] * right[0],) + multiplied(left[1:], right[1:])  # noqa: RUF005


def polynomial(x, coefficients):
    """Return the polynomial Σ_n c_n xⁿ."""
    raise NotImplementedError


@overload(polynomial, jit_options=OPTIONS)
def _polynomial_of(x, coefficients):  # pragma: no cover
    if len(coefficients) == 1:
        return lambda x, coefficients: coefficients[0]
    return lambda x, coefficients: polynomial(x, coefficients[1:]) * x + coefficients[0]
