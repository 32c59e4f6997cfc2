# ruff: noqa: ARG001  (numba passes every intrinsic its typing context and types, which few look at)
"""Sixteen float32 numbers at a time, inside numba kernels.

A loop over a row that both reads and writes several arrays does not vectorise: the compiler cannot
know that the arrays do not overlap. So the kernels say what they mean: `load`, `store`, `fma` and a
few more on a value of sixteen lanes, which LLVM turns into whatever the machine has (one AVX-512
register, two of AVX, four of SSE or NEON).

Leaves out everything that textdl's kernels do not use. `exp` and friends would be calls to the C library, lane
by lane, so `exp_minus` is a polynomial.

numpy has no bfloat16: an array of it is one of uint16, the upper halves of float32 numbers. `load` and `store`
take both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import types
from numba.extending import intrinsic, models, register_model

LANES = 16
_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_SHORTS = ir.VectorType(ir.IntType(16), 16)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTS = ir.VectorType(_INT, LANES)
_TO_ALL_CACHES = (0, 3, 1)  # llvm.prefetch: for reading, to be kept near, data
_FLAGS = ("reassoc", "contract", "arcp", "nsz", "afn")


class VectorType(types.Type):  # type: ignore[misc, unused-ignore]
    """The numba type of a local variable of sixteen float32."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc, unused-ignore]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)


def _integers(values: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(_INT, len(values)), list(values))


def _call(builder: Any, name: str, arguments: Sequence[Any]) -> Any:
    """A call of LLVM's vector intrinsic `name`."""
    kind = ir.FunctionType(_VECTOR, [a.type for a in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, arguments, fastmath=_FLAGS)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, "llvm.fmuladd.v16f32", (a, b, c))


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """array[index : index + 16] of a contiguous array, float32 or bfloat16."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if array.dtype == types.uint16:
            address = _address(context, builder, signature.args[0], arguments[0], arguments[1], _SHORTS)
            wide = builder.zext(builder.load(address, align=2), _INTS)
            return builder.bitcast(builder.shl(wide, _integers([16] * LANES)), _VECTOR)
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1], _VECTOR)
        return builder.load(address, align=4)

    return vector(array, types.int64), code


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 16] = value; to bfloat16 it is rounded, to the even neighbour where two are as near."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if array.dtype == types.uint16:
            bits, sixteen = builder.bitcast(arguments[2], _INTS), _integers([16] * LANES)
            odd = builder.and_(builder.lshr(bits, sixteen), _integers([1] * LANES))
            rounded = builder.add(bits, builder.add(odd, _integers([0x7FFF] * LANES)))
            short = builder.trunc(builder.lshr(rounded, sixteen), _SHORTS)
            builder.store(
                short, _address(context, builder, signature.args[0], arguments[0], arguments[1], _SHORTS), align=2
            )
            return context.get_dummy_value()
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1], _VECTOR)
        builder.store(arguments[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, vector), code


@intrinsic
def load_twice(typing: Any, array: Any, index: Any) -> Any:
    """array[index : index + 8] in the lower and again in the upper lanes."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = ir.VectorType(_FLOAT, LANES // 2)
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1], half)
        eight = builder.load(address, align=4)
        return builder.shuffle_vector(eight, eight, _integers(range(LANES)))

    return vector(array, types.int64), code


@intrinsic
def element(typing: Any, array: Any, index: Any) -> Any:
    """array[index] for an index that is not negative: what numba does for those costs time in inner loops."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, types.int64), code


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], to be used soon."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8)
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1], byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _INT, _INT, _INT])
        name = "llvm.prefetch.p0i8"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [address, *(ir.Constant(_INT, n) for n in _TO_ALL_CACHES)])
        return context.get_dummy_value()

    return types.void(array, types.int64), code


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """A float32 in all lanes."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), _integers([0] * LANES))

    return vector(types.float32), code


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c."""
    return vector(vector, vector, vector), lambda _, builder, __, v: _fma(builder, *v)


def _binary(method: str) -> Any:
    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        return getattr(builder, method)(*v, flags=_FLAGS)

    return vector(vector, vector), code


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """a + b."""
    return _binary("fadd")


@intrinsic
def sub(typing: Any, a: Any, b: Any) -> Any:
    """a - b."""
    return _binary("fsub")


@intrinsic
def mul(typing: Any, a: Any, b: Any) -> Any:
    """a * b."""
    return _binary("fmul")


@intrinsic
def div(typing: Any, a: Any, b: Any) -> Any:
    """a / b."""
    return _binary("fdiv")


@intrinsic
def positive(typing: Any, a: Any) -> Any:
    """max(a, 0); NaN stays NaN."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<=", v[0], _constant(0)), _constant(0), v[0])

    return vector(vector), code


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """Lane by lane the larger of a and b; b where one is NaN."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", v[0], v[1]), v[0], v[1])

    return vector(vector, vector), code


@intrinsic
def any_from(typing: Any, a: Any, b: Any) -> Any:
    """Whether a >= b in any lane."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        bits = builder.bitcast(builder.fcmp_ordered(">=", v[0], v[1]), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(vector, vector), code


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """The sum of the lanes."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        name = "llvm.vector.reduce.fadd.v16f32"
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(_FLOAT, 0.0), v[0]], fastmath=_FLAGS)

    return types.float32(vector), code


@intrinsic
def where_negative(typing: Any, test: Any, yes: Any, no: Any) -> Any:
    """Lane by lane: yes where test < 0, else no."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", v[0], _constant(0)), v[1], v[2])

    return vector(vector, vector, vector), code


# 2**x on [0, 1): the series of exp(x log 2), whose tail beyond x**7 is under 2e-7.
_EXP2 = [math.log(2) ** n / math.factorial(n) for n in range(8)]


def _exp_minus(builder: Any, a: Any) -> Any:
    size = _call(builder, "llvm.fabs.v16f32", (a,))
    small = builder.fcmp_ordered(">", size, _constant(87))
    size = builder.select(small, _constant(87), size)
    x = builder.fmul(size, _constant(-1 / math.log(2)), flags=_FLAGS)
    whole = _call(builder, "llvm.floor.v16f32", (x,))
    rest = builder.fsub(x, whole, flags=_FLAGS)
    result = _constant(_EXP2[-1])
    for coefficient in reversed(_EXP2[:-1]):
        result = _fma(builder, result, rest, _constant(coefficient))
    exponent = builder.add(builder.fptosi(whole, _INTS), _integers([127] * LANES))
    power = builder.bitcast(builder.shl(exponent, _integers([23] * LANES)), _VECTOR)
    return builder.fmul(result, power, flags=_FLAGS)


@intrinsic
def exp_minus(typing: Any, a: Any) -> Any:
    """exp(-|a|), right to 1e-6 for |a| < 10; from |a| = 87 on it stays exp(-87). NaN stays NaN."""
    return vector(vector), lambda _, builder, __, v: _exp_minus(builder, v[0])


@intrinsic
def sigmoid(typing: Any, a: Any) -> Any:
    """1 / (1 + exp(-a)), right to 1e-6."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        e = _exp_minus(builder, v[0])
        above = builder.select(builder.fcmp_ordered("<", v[0], _constant(0)), e, _constant(1))
        return builder.fdiv(above, builder.fadd(_constant(1), e, flags=_FLAGS), flags=_FLAGS)

    return vector(vector), code


@intrinsic
def tanh(typing: Any, a: Any) -> Any:
    """(1 - exp(-2|a|)) / (1 + exp(-2|a|)) with the sign of a: right to 1e-6, not to its own size near 0."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        e = _exp_minus(builder, builder.fadd(v[0], v[0], flags=_FLAGS))
        above, below = (builder.fsub(*p, flags=_FLAGS) for p in ((_constant(1), e), (e, _constant(1))))
        above = builder.select(builder.fcmp_ordered("<", v[0], _constant(0)), below, above)
        return builder.fdiv(above, builder.fadd(_constant(1), e, flags=_FLAGS), flags=_FLAGS)

    return vector(vector), code


def _fold(step: int) -> Callable[..., Any]:
    """Halve the lanes to be summed in a and in b, and put both into one vector; see `fold1`.

    Where a's sums go, a keeps its lanes and the others come over; so too for b: one of the two shuffles
    moves no lane and is a blend, which is cheaper.
    """
    even = [i // step % 2 == 0 for i in range(LANES)]
    stay = [i if first else LANES + i for i, first in enumerate(even)]
    move = [i + step if first else LANES + i - step for i, first in enumerate(even)]

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        left = builder.shuffle_vector(v[0], v[1], _integers(stay))
        right = builder.shuffle_vector(v[0], v[1], _integers(move))
        return builder.fadd(left, right, flags=_FLAGS)

    return code


@intrinsic
def fold8(typing: Any, a: Any, b: Any) -> Any:
    """Eight partial sums each of a and b."""
    return vector(vector, vector), _fold(8)


@intrinsic
def fold4(typing: Any, a: Any, b: Any) -> Any:
    """Four partial sums each of the two in a and the two in b, interleaved."""
    return vector(vector, vector), _fold(4)


@intrinsic
def fold2(typing: Any, a: Any, b: Any) -> Any:
    """Two partial sums each of the four in a and the four in b, interleaved."""
    return vector(vector, vector), _fold(2)


@intrinsic
def fold1(typing: Any, a: Any, b: Any) -> Any:
    """The sums of the eight in a and the eight in b: lane i holds argument bit-reverse(i) of `fold8`."""
    return vector(vector, vector), _fold(1)


@intrinsic
def highest(typing: Any, a: Any) -> Any:
    """The greatest of all lanes, a float32."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        value = v[0]
        for step in (8, 4, 2, 1):
            other = builder.shuffle_vector(value, value, _integers([i ^ step for i in range(LANES)]))
            value = builder.select(builder.fcmp_ordered("<", value, other), other, value)
        return builder.extract_element(value, ir.Constant(_INT, 0))

    return types.float32(vector), code


@intrinsic
def before(typing: Any, count: Any, yes: Any, no: Any) -> Any:
    """yes in the first `count` lanes, none of them or more than there are as may be; no in the others."""

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        wide = ir.VectorType(ir.IntType(64), LANES)
        one = builder.insert_element(ir.Constant(wide, ir.Undefined), v[0], ir.Constant(_INT, 0))
        counts = builder.shuffle_vector(one, ir.Constant(wide, ir.Undefined), _integers([0] * LANES))
        return builder.select(builder.icmp_signed("<", ir.Constant(wide, list(range(LANES))), counts), v[1], v[2])

    return vector(types.int64, vector, vector), code


@intrinsic
def transpose(typing: Any, array: Any, index: Any, width: Any, out: Any, out_index: Any, out_width: Any) -> Any:
    """The 16 x 16 numbers at index, rows `width` apart, to out_index, rows out_width apart, rows as columns."""

    def code(context: Any, builder: Any, signature: Any, v: Any) -> Any:
        def places(which: int) -> list[Any]:
            at = [v[which + 1]]
            for _ in range(LANES - 1):
                at.append(builder.add(at[-1], v[which + 2]))
            return [_address(context, builder, signature.args[which], v[which], i, _VECTOR) for i in at]

        rows = [builder.load(place, align=4) for place in places(0)]
        for step in (1, 2, 4, 8):  # blocks of step x step change places across the diagonal
            upper = [i if not i & step else LANES + i - step for i in range(LANES)]
            lower = [i + step if not i & step else LANES + i for i in range(LANES)]
            for i in (i for i in range(LANES) if not i & step):
                pair = rows[i], rows[i + step]
                rows[i] = builder.shuffle_vector(*pair, _integers(upper))
                rows[i + step] = builder.shuffle_vector(*pair, _integers(lower))
        for row, place in zip(rows, places(3), strict=True):
            builder.store(row, place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, out, types.int64, types.int64), code


@intrinsic
def kept(typing: Any, key: Any, index: Any, dropped: Any, scale: Any) -> Any:
    """Dropout's mask of elements index to index + 15: 0 where their random number is below `dropped`, else scale.

    The random number of element i of a key, both uint32, is a hash of the two (the mixer is that of C. Wellons' lowbias32),
    so the way back finds the same mask without its having been kept.
    """

    def code(_: Any, builder: Any, __: Any, v: Any) -> Any:
        def everywhere(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(_INTS, ir.Undefined), value, ir.Constant(_INT, 0))
            return builder.shuffle_vector(one, ir.Constant(_INTS, ir.Undefined), _integers([0] * LANES))

        place = builder.add(everywhere(builder.trunc(v[1], _INT)), _integers(range(LANES)))
        bits = builder.add(builder.mul(place, _integers([0x9E3779B1] * LANES)), everywhere(v[0]))
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, None)):
            bits = builder.xor(bits, builder.lshr(bits, _integers([shift] * LANES)))
            if factor is not None:
                bits = builder.mul(bits, _integers([factor] * LANES))
        low = builder.icmp_unsigned("<", bits, everywhere(v[2]))
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), v[3], ir.Constant(_INT, 0))
        scales = builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), _integers([0] * LANES))
        return builder.select(low, _constant(0), scales)

    return vector(types.uint32, types.int64, types.uint32, types.float32), code
