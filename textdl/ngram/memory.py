# ruff: noqa: ARG001  (numba passes every intrinsic its typing context, which few look at)
"""Reading memory at an address inside numba kernels, and asking for it ahead of time.

What numba has no word for: a number that begins at any byte, a hint to the caches, a count of bits, the
upper half of a product. Import it after textdl.kernels, which settles where numba keeps compiled code.
Numbers are little-endian, as on every machine that numba compiles for in practice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import types
from numba.extending import intrinsic


def _load(kind: Any) -> Callable[..., Any]:
    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        number = builder.load(builder.inttoptr(arguments[0], kind.as_pointer()), align=1)
        return builder.zext(number, ir.IntType(64)) if kind == ir.IntType(32) else number

    return code


@intrinsic
def load64(typing: Any, address: Any) -> Any:
    """The eight bytes from an address on, as one little-endian number."""
    return types.int64(types.int64), _load(ir.IntType(64))


@intrinsic
def load32(typing: Any, address: Any) -> Any:
    """The four bytes from an address on, as one little-endian number."""
    return types.int64(types.int64), _load(ir.IntType(32))


@intrinsic
def load_double(typing: Any, address: Any) -> Any:
    """The float64 at an address."""
    return types.float64(types.int64), _load(ir.DoubleType())


@intrinsic
def load_float(typing: Any, address: Any) -> Any:
    """The float32 at an address."""
    return types.float32(types.int64), _load(ir.FloatType())


@intrinsic
def ones(typing: Any, number: Any) -> Any:
    """How many bits of an int64 are set."""
    return types.int64(types.int64), lambda _, builder, __, arguments: builder.ctpop(arguments[0])


@intrinsic
def times_high(typing: Any, a: Any, b: Any) -> Any:
    """The upper 64 of the 128 bits of a product of two numbers that are not negative, b as if unsigned."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.int64(types.int64, types.int64), code


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the cache line of an address, to be read soon."""

    def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        name = "llvm.prefetch.p0i8"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        hints = (ir.Constant(integer, n) for n in (0, 3, 1))  # for reading, to be kept near, data
        builder.call(function, [builder.inttoptr(arguments[0], pointer), *hints])
        return context.get_dummy_value()

    return types.void(types.int64), code


@intrinsic
def address_of(typing: Any, array: Any) -> Any:
    """Where an array begins. Whoever asks keeps the array."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), code
