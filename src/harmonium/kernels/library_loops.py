"""The product of the path ``wide`` as a loop that others call: PyTorch's own, in float32."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from harmonium.kernels.chain_loops import (
    P_CALLED,
    P_DEPTH,
    P_FIELDS,
    P_PLACES,
    P_ROOM,
    P_ROWS,
    P_SOURCE,
    P_STRIDE,
    P_TRANSPOSED,
    P_WEIGHT,
    P_WIDTH,
    _field_stride,
)
from harmonium.kernels.primitives import _array

ROOM = 128  # bytes for what is handed over


@intrinsic
def _call_sgemm(typing_context, function, given):
    """sgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) of what is at `given`: m, n, k,
    lda, ldb, ldc, the addresses a, b, c, two letters, alpha and beta, in places of 8 bytes.
    """

    def codegen(context, builder, signature, args):
        function, given = args
        pointer, size = ir.IntType(8).as_pointer(), ir.IntType(64)

        def at(offset):
            return builder.inttoptr(builder.add(given, ir.Constant(size, offset)), pointer)

        def stored(offset):
            place = builder.inttoptr(builder.add(given, ir.Constant(size, offset)), size.as_pointer())
            return builder.inttoptr(builder.load(place), pointer)

        kind = ir.FunctionType(ir.VoidType(), [pointer] * 13)
        code = builder.inttoptr(function, kind.as_pointer())
        m, n, k, lda, ldb, ldc = (at(8 * i) for i in range(6))
        a, b, c = (stored(8 * i) for i in range(6, 9))
        operands = [at(72), at(73), m, n, k, at(80), a, lda, b, ldb, at(84), c, ldc]
        builder.call(code, operands)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), codegen


def library_product(pointer):
    """Fields of a panel of states."""
    job = carray(pointer, (P_PLACES,))
    # in the library's column-major eyes: fields' (width, rows) = weight' states'
    width, depth, given = job[P_WIDTH], job[P_DEPTH], _array(job[P_ROOM], 9, np.int64)
    letters, numbers = _array(job[P_ROOM] + 72, 2, np.uint8), _array(job[P_ROOM] + 80, 2, np.float32)
    letters[0], letters[1] = np.uint8(84 if job[P_TRANSPOSED] else 78), np.uint8(78)  # T or N
    numbers[0], numbers[1] = np.float32(1), np.float32(0)
    given[0], given[1], given[2] = width, job[P_ROWS], depth  # the low half is what a Fortran integer reads
    given[3] = depth if job[P_TRANSPOSED] else width
    given[4], given[5] = job[P_STRIDE] // 4, _field_stride(width) // 4
    given[6], given[7], given[8] = job[P_WEIGHT], job[P_SOURCE], job[P_FIELDS]
    _call_sgemm(job[P_CALLED], job[P_ROOM])
