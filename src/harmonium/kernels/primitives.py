"""What the compiled loops are written in: memory at an address, bits, and how threads share their work."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

# Nobody calls these functions from Python, so the wrappers for that needn't be compiled.
OPTIONS: Any = {
    "error_model": "numpy",
    "boundscheck": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_jit = numba.njit(**OPTIONS)
_inline = numba.njit(inline="always", **OPTIONS)


@intrinsic
def _claim(typing_context, counter, amount):
    """Adds to the counter (a memory address) that all threads share, and returns what it was."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "monotonic")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def _pointer(typing_context, address):
    """The pointer to a memory address."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


# The next two stand for `carray` and `view`, which Numba compiles as functions of their own, each time anew.


@intrinsic
def _array(typing_context, address, length, number):
    """The numbers of this type at a memory address, as an array."""
    array = types.Array(number.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        made, word = context.make_array(array)(context, builder), context.get_value_type(types.intp)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(number.dtype)))
        populate_array(
            made,
            data=builder.inttoptr(args[0], made.data.type),
            shape=cgutils.pack_array(builder, [args[1]], word),
            strides=cgutils.pack_array(builder, [size], word),
            itemsize=size,
            meminfo=None,
        )
        return made._getvalue()

    return array(types.int64, types.int64, number), codegen


@intrinsic
def _bits(typing_context, x, number):
    """The bits of a number as those of another type of the same size."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(number.dtype))

    return number.dtype(x, number), codegen


@intrinsic
def _wide(typing_context):
    """Lets the compiler use the widest vectors in this function; left alone it halves those of AVX-512."""

    def codegen(context, builder, signature, args):
        # llvmlite's set checks names against a list that lacks this one
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def _call_number(typing_context, function):
    """Calls the compiled function at an address that takes nothing and returns an int."""

    def codegen(context, builder, signature, args):
        number = ir.IntType(32)
        code = builder.inttoptr(args[0], ir.FunctionType(number, []).as_pointer())
        return builder.sext(builder.call(code, []), ir.IntType(64))

    return types.int64(types.int64), codegen


@intrinsic
def _call(typing_context, function, pointer):
    """Calls the compiled loop at an address with the address of its job."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
        code = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(code, [builder.inttoptr(args[1], ir.IntType(8).as_pointer())])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), codegen


@_inline
def _thread(function):
    """The number of this thread, by OpenMP's function at an address; 0 stands for a thread that is alone."""
    return _call_number(function) if function else np.int64(0)


@_inline
def _claim_near(counters, thread, threads, n):
    """One of n pieces of work that none has taken yet, n if there is none left; its own share comes first.

    Shares are equal and in the order of threads, as PyTorch has them: what a thread has just written is still
    in its own cache. Who is through with its own share helps the others, from a counter of each.
    """
    for offset in range(threads):
        share = (thread + offset) % threads
        piece = share * n // threads + _claim(counters + 8 * share, 1)
        if piece < (share + 1) * n // threads:
            return piece
    return n
