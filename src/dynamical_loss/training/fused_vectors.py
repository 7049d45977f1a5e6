"""Vectors of a processor as values in code that numba compiles.

LLVM turns loops into vector code by itself.  But it does not keep several vectors of sums in registers across
an outer loop, and on some processors it takes vectors of half the width.  So the passes of the fused loop
name their vectors.  The arithmetic of :mod:`fused_tuples` then works on tuples of vectors as on tuples of
numbers.

Products and sums may be contracted to one operation, and the sign of a zero does not count; NaNs are kept.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config, errors
from numba.core.codegen import get_host_cpu_features
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _intrinsic
from numba.extending import lower_builtin, models, register_model

intrinsic: Any = _intrinsic  # its decorated functions are called without the first argument


def _width() -> tuple[int, int]:
    """Return the bytes of the widest vectors that numba compiles for, and the number of vector registers."""
    # The user may restrict numba to fewer instructions than this processor has.
    settings: Any = config
    chosen = settings.CPU_FEATURES
    found = set((get_host_cpu_features() if chosen is None else chosen).split(","))
    if {"+avx512f", "+avx512dq"} <= found:  # the latter has masks for vectors of float64
        return 64, 32
    if "+avx2" in found:
        return 32, 16
    return 16, 16


BYTES, REGISTERS = _width()
"""Bytes of a vector, and number of vector registers that a block may take (ARM has more)."""

# Not `reassoc`: the rounding to whole numbers in `fused_passes` adds and subtracts a large number.  And not
# empty: numba gives its own flags to instructions without any.
_FLAGS = ("contract", "nsz")

# With AVX2 a mask is a vector of numbers whose bits are all 1 or all 0.  LLVM knows that too; but if it makes
# the mask, it reads each number that is spread over a masked vector in two instructions instead of one.
# The mask has therefore the type of numbers, and the processor's own comparison makes it.
_ABOVE = 30  # number of the comparison a > b, false for NaNs, in the processor's table


def _masks_are_numbers() -> bool:
    return BYTES == 32


class Vector(types.Type):
    """Type of a vector of real numbers, or of truth values, one for each lane."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        """Define the type by that of its items and their number."""
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        # numba keeps a truth value in a byte; LLVM compares to bits.
        boolean = kind.dtype == types.boolean
        item = ir.IntType(1) if boolean else manager.lookup(kind.dtype).get_data_type()
        super().__init__(manager, kind, ir.VectorType(item, kind.lanes))


def _vector_of(real: types.Float) -> Vector:
    return Vector(real, 8 * BYTES // real.bitwidth)


def _integer_of(vector: Vector) -> types.Integer:
    return types.int64 if vector.dtype.bitwidth == 64 else types.int32


def _spread(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    """Return a vector with one value in all lanes."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, lanes)


def _constant(kind: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _operator(function: Any, instruction: str) -> None:
    """Define an operator between two vectors."""

    @infer_global(function)
    class _Typed(AbstractTemplate):  # numba registers it
        def generic(self, arguments: Any, _: Any) -> Any:
            if len(arguments) == 2 and isinstance(arguments[0], Vector) and arguments[0] == arguments[1]:
                return signature(arguments[0], *arguments)
            return None

    @lower_builtin(function, Vector, Vector)
    def _lowered(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments, flags=_FLAGS)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)


@intrinsic
def splat(_context: Any, value: Any) -> Any:
    """Return a vector with a number in all lanes."""
    kind = _vector_of(value)

    def lowered(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0], context.get_value_type(kind))

    return kind(value), lowered


def _place(context: Any, builder: Any, array: Any, array_type: Any, index: Any, kind: Any) -> Any:
    """Return the pointer to an array's item, as a pointer to values of another type."""
    held = context.make_array(array_type)(context, builder, array)
    return builder.bitcast(cgutils.gep_inbounds(builder, held.data, index), kind.as_pointer())


def _require_contiguous(array: Any) -> None:
    """Refuse an array whose items do not lie one after another.

    Raises:
        TypingError: if it is refused.
    """
    if array.layout != "C" or array.ndim != 1:
        raise errors.TypingError(f"vectors need contiguous arrays of one dimension, not {array}")


def _load(array: Any, kind: Any) -> Any:
    _require_contiguous(array)

    def lowered(context: Any, builder: Any, given: Any, arguments: Any) -> Any:
        place = _place(context, builder, arguments[0], array, arguments[1], context.get_value_type(kind))
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return kind(array, types.intp), lowered


@intrinsic
def load_number(_context: Any, array: Any, _index: Any) -> Any:
    """Return an item of a contiguous array; the index must not be negative, which numba would look for."""
    return _load(array, array.dtype)


@intrinsic
def load_vector(_context: Any, array: Any, _index: Any) -> Any:
    """Return the vector of consecutive items of a contiguous array from an index on."""
    return _load(array, _vector_of(array.dtype))


@intrinsic
def store_vector(_context: Any, array: Any, _index: Any, vector: Any) -> Any:
    """Store a vector as consecutive items of a contiguous array from an index on."""
    _require_contiguous(array)

    def lowered(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        place = _place(context, builder, arguments[0], array, arguments[1], arguments[2].type)
        builder.store(arguments[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), lowered


@intrinsic
def positive(_context: Any, vector: Any) -> Any:
    """Return in which lanes a vector is above 0; a NaN is not."""
    kind = Vector(_integer_of(vector) if _masks_are_numbers() else types.boolean, vector.lanes)

    def lowered(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        value, zero = arguments[0], _constant(arguments[0].type, 0.0)
        if not _masks_are_numbers():
            return builder.fcmp_ordered(">", value, zero)
        name = "llvm.x86.avx.cmp.ps.256" if vector.dtype.bitwidth == 32 else "llvm.x86.avx.cmp.pd.256"
        form = ir.FunctionType(value.type, [value.type, value.type, ir.IntType(8)])
        compare = cgutils.get_or_insert_function(builder.module, form, name)
        bits = builder.call(compare, [value, zero, ir.IntType(8)(_ABOVE)])
        return builder.bitcast(bits, context.get_value_type(kind))

    return kind(vector), lowered


def _where(builder: Any, on: Any, value: Any) -> Any:
    """Return a vector in the lanes of a mask, and 0 in the others."""
    if not _masks_are_numbers():
        return builder.select(on, value, _constant(value.type, 0.0))
    return builder.bitcast(builder.and_(on, builder.bitcast(value, on.type)), value.type)


@intrinsic
def ramp(_context: Any, vector: Any) -> Any:
    """Return the larger of a number and 0 in each lane; a NaN stays."""

    def lowered(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        nothing = _constant(arguments[0].type, 0.0)
        return builder.select(builder.fcmp_ordered("<", arguments[0], nothing), nothing, arguments[0])

    return vector(vector), lowered


@intrinsic
def larger(_context: Any, one: Any, other: Any) -> Any:
    """Return the larger of two numbers in each lane; `other` if one is NaN."""

    def lowered(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return one(one, other), lowered


@intrinsic
def add_where(_context: Any, mask: Any, vector: Any, to: Any) -> Any:
    """Return vector + to in the lanes of the mask, and `to` in the others."""

    def lowered(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        on, value, base = arguments
        return builder.fadd(base, _where(builder, on, value), flags=_FLAGS)

    return to(mask, vector, to), lowered


@intrinsic
def multiply_add_where(_context: Any, mask: Any, factor: Any, vector: Any, to: Any) -> Any:
    """Return factor · vector + to in the lanes of the mask, and `to` in the others."""

    def lowered(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        on, first, second, base = arguments
        if BYTES == 64:  # such processors have products with a mask
            product = builder.fmul(first, second, flags=_FLAGS)
            return builder.select(on, builder.fadd(base, product, flags=_FLAGS), base)
        product = builder.fmul(first, _where(builder, on, second), flags=_FLAGS)
        return builder.fadd(base, product, flags=_FLAGS)

    return to(mask, factor, vector, to), lowered


@intrinsic
def sum_of_lanes(_context: Any, vector: Any) -> Any:
    """Return the sum over the lanes."""

    def lowered(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        parts = [builder.extract_element(arguments[0], ir.IntType(32)(n)) for n in range(vector.lanes)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [builder.fadd(*pair) for pair in zip(parts[:half], parts[half:], strict=True)]
        return parts[0]

    return vector.dtype(vector), lowered


@intrinsic
def low_bits_as_exponent(_context: Any, vector: Any) -> Any:
    """Return 2^(k - bias) in each lane, from numbers whose low bits hold the whole number k."""
    mantissa = 52 if vector.dtype.bitwidth == 64 else 23

    def lowered(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        whole = ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)
        bits = builder.shl(builder.bitcast(arguments[0], whole), _constant(whole, mantissa))
        return builder.bitcast(bits, arguments[0].type)

    return vector(vector), lowered
