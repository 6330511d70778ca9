"""What numba has no words for: unaligned loads from a page, and the full product of two 64-bit numbers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic

# Called with one argument less than they are written with, which no type can say.
intrinsic: Any = _intrinsic
_BYTE, _WORD, _DOUBLE = ir.IntType(8), ir.IntType(64), ir.IntType(128)


def _load(context: Any, builder: Any, array: Any, arguments: Any, bits: int) -> Any:
    data = context.make_array(array)(context, builder, arguments[0]).data
    place = builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [arguments[1]])
    loaded = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()), align=1)
    return builder.zext(loaded, _WORD) if bits < 64 else loaded


@intrinsic  # type: ignore[untyped-decorator]
def load64(typing_context: Any, array: Any, offset: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """The 8 bytes at `offset` as the machine's uint64. The caller has checked the bounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(context, builder, signature.args[0], arguments, 64)

    return types.uint64(array, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def load32(typing_context: Any, array: Any, offset: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """The 4 bytes at `offset` as the machine's uint32, widened to 64 bits. The caller has checked the bounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(context, builder, signature.args[0], arguments, 32)

    return types.uint64(array, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def fold_product(typing_context: Any, one: Any, other: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """The upper half of the 128-bit product of two uint64, xor its lower half (wyhash's `mum`)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        product = builder.mul(*(builder.zext(argument, _DOUBLE) for argument in arguments))
        upper = builder.trunc(builder.lshr(product, ir.Constant(_DOUBLE, 64)), _WORD)
        return builder.xor(builder.trunc(product, _WORD), upper)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def swap64(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """The 8 bytes of a uint64 in the other order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, cells: Any, row: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """Ask for the cache line where a row of a two-dimensional array begins, to be written soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        step = builder.extract_value(array.strides, 0)
        offset = builder.mul(arguments[1], step)
        place = builder.gep(builder.bitcast(array.data, _BYTE.as_pointer()), [offset])
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), flag, flag, flag])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [_BYTE.as_pointer()], kind)
        for_writing, keep, data = ir.Constant(flag, 1), ir.Constant(flag, 3), ir.Constant(flag, 1)
        builder.call(ask, [place, for_writing, keep, data])
        return context.get_dummy_value()

    return types.void(cells, types.int64), generate
