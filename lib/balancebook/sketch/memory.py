"""What numba has no words for: unaligned loads from a page, and the full product of two 64-bit numbers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic

# Called with one argument less than they are written with, which no type can say.
intrinsic: Any = _intrinsic
_BYTE, _WORD, _DOUBLE = ir.IntType(8), ir.IntType(64), ir.IntType(128)


def _load(context: Any, builder: Any, signature: Any, arguments: Any, bits: int) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    place = builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [arguments[1]])
    loaded = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()), align=1)
    return builder.zext(loaded, _WORD) if bits < 64 else loaded


@intrinsic  # type: ignore[untyped-decorator]
def load64(typing_context: Any, array: Any, offset: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """The 8 bytes at `offset` as the machine's uint64. The caller has checked the bounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(context, builder, signature, arguments, 64)

    return types.uint64(array, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def load32(typing_context: Any, array: Any, offset: Any) -> Any:  # noqa: ARG001 (numba's protocol)
    """The 4 bytes at `offset` as the machine's uint32, widened to 64 bits. The caller has checked the bounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(context, builder, signature, arguments, 32)

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
