"""The matrix units of x86 processors (AMX) as compiled functions: 16 x 16 float32 sums of bfloat16 products.

An operation on tiles is one instruction; its tile registers are part of its name, as in assembler. Tiles 0 to
3 hold a block of 32 x 32 sums, 4 and 5 the rows of the left factor, 6 and 7 the columns of the right one.
Three instructions matter: load 1 KB from memory, ``sums += left right`` over 32 products each, and store.
"""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SIDE = 32  # rows and columns of a block of sums, and products that one instruction adds to a sum
BYTES = 1024  # in a tile
_BYTE, _WORD = ir.IntType(8), ir.IntType(64)


def _instruction(name: str, tiles: tuple[int, ...], operands: int) -> Any:
    """A compiled function (address, stride) of an instruction that takes none, one or both of them."""

    @intrinsic
    def call(typing_context, address, stride):
        def codegen(context, builder, signature, args):
            pointer = _BYTE.as_pointer()
            kinds = [_BYTE] * len(tiles) + [pointer, _WORD][:operands]
            function = ir.FunctionType(ir.VoidType(), kinds)
            constants = [ir.Constant(_BYTE, tile) for tile in tiles]
            memory = [builder.inttoptr(args[0], pointer), args[1]][:operands]
            code = cgutils.get_or_insert_function(builder.module, function, f"llvm.x86.{name}")
            builder.call(code, constants + memory)
            return context.get_dummy_value()

        return types.none(types.int64, types.int64), codegen

    return call


configure = _instruction("ldtilecfg", (), 1)
release = _instruction("tilerelease", (), 0)
zero0, zero1, zero2, zero3 = (_instruction("tilezero", (sums,), 0) for sums in range(4))
store0, store1, store2, store3 = (_instruction("tilestored64", (sums,), 2) for sums in range(4))
load4, load5, load6, load7 = (_instruction("tileloadd64", (factor,), 2) for factor in range(4, 8))
add0, add1, add2, add3 = (
    _instruction("tdpbf16ps", (sums, 4 + sums // 2, 6 + sums % 2), 0) for sums in range(4)
)

# what `configure` reads: palette 1, each of the eight tiles 16 rows of 64 bytes
LAYOUT = np.zeros(64, np.uint8)
LAYOUT[0] = 1
LAYOUT[16:32:2] = 64
LAYOUT[48:56] = 16
