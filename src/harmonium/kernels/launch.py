"""How compiled loops are made and run: one compiler, one cache, one rule for threads and forks.

A loop is a Python function of the address of its job (integers that describe one call). It's compiled when it
is first run, for the processor that it runs on, and kept in a cache on disk where there is room for one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from harmonium.kernels import processor

# Freeing one large block teaches glibc to keep freed memory of up to twice its size. Otherwise the pages of
# each matrix of an update go back to the system and come anew, which takes longer than computing in them.
torch.empty(2**25 - 2**16, dtype=torch.uint8, device="cpu")


@functools.cache
def compiled(loop: Callable[[Any], None]) -> Any:
    """A loop as a C function of one pointer.

    Raises:
        PathLeft: it doesn't compile; `processor.path` names the next path from then on.
    """
    import numba
    from numba import types

    signature = types.void(types.CPointer(types.int64))
    code = _compile(lambda cache: numba.cfunc(signature, cache=cache)(loop))
    entry: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)
    entry.code = code  # the machine code lives as long as this object
    return entry


@functools.cache
def function(signature: str, python: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays, compiled for one signature; raises as `compiled`."""
    import numba

    jit: Any = numba.njit
    options = {"error_model": "numpy", "boundscheck": False}
    return _compile(lambda cache: jit(signature, cache=cache, **options)(python))


def _compile(make: Callable[[bool], Any]) -> Any:
    """What `make` compiles, cached where that can be; the path is left where it doesn't compile."""
    collecting = gc.isenabled()
    gc.disable()  # a tenth of the time would go into looking for garbage
    try:
        return _with_a_cache(make)
    except Exception as error:  # what a compiler may raise is not listed anywhere
        raise processor.leave(processor.path(), error) from error
    finally:
        if collecting:
            gc.enable()


def _with_a_cache(make: Callable[[bool], Any]) -> Any:
    try:
        return make(True)
    except (RuntimeError, OSError):  # no place where a cache could be kept, or no room in it
        return make(False)


def address(loop: Callable[[Any], None]) -> int:
    """The address of a loop's machine code, for other compiled code to call."""
    return int(compiled(loop).code.address)


def run(loop: Callable[[Any], None], job: Any, threads: int) -> None:
    """Calls a loop on each of this many of PyTorch's own threads, with the same job (bytes, or an array of
    ctypes or NumPy).
    """
    code = compiled(loop)
    job = job.ctypes.data if isinstance(job, np.ndarray) else job
    if threads > 1:
        openmp()(code, job, threads, 0)
    else:
        code(job)


@functools.cache
def openmp() -> Any:
    """GOMP_parallel of the OpenMP library that PyTorch itself runs on, or None where it has none.

    Its threads are the ones that have just computed the field. The symbol is looked up through PyTorch's
    library, so that it's the same copy even where the system has another.
    """
    try:
        parallel = processor.library().GOMP_parallel
    except AttributeError:
        return None
    parallel.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
    parallel.restype = None
    return parallel


_forked = False


def _after_fork() -> None:
    # a forked child has none of its parent's threads, and OpenMP would wait for them for ever
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def forked() -> bool:
    """Whether this process is a fork of another that may have had threads."""
    return _forked


def threads(worth: bool) -> int:
    """How many threads to run on: PyTorch's number, or 1 where it isn't `worth` it or there are none."""
    return torch.get_num_threads() if worth and not _forked and openmp() is not None else 1


ALONE = 2**21  # multiplications below which a product takes 50 µs on one thread, and 30 on two at best


def multiplying(multiplications: int) -> AbstractContextManager[None]:
    """Within it PyTorch's products of this size run on one thread where they're small.

    Two gain little then, and where another process holds a core each of these products waits for it: an
    update of 64 x 128 took 1 to 70 ms instead of 0.8.
    """
    alone = multiplications < ALONE and _own_threads() is not None
    return _Alone() if alone else contextlib.nullcontext()


def on_one_thread() -> AbstractContextManager[None]:
    """Within it PyTorch's products and factorisations run on one thread, whatever their size."""
    return _Alone() if _own_threads() is not None else contextlib.nullcontext()


def along(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """matrix @ vector, or vector @ matrix where the vector comes first, with the same bits on any number of
    threads: how many share such a product is seen in its sums on some processors.
    """
    with on_one_thread():
        return matrix @ vector


class _Alone(AbstractContextManager[None]):
    def __enter__(self) -> None:
        self.before = _own_threads()(1)

    def __exit__(self, *error: object) -> None:
        _own_threads()(self.before)


@functools.cache
def _own_threads() -> Any:
    """MKL's function that sets the number of threads for what the calling thread multiplies, and returns what
    it was; None where PyTorch multiplies by another library.
    """
    try:
        function = processor.library().MKL_Set_Num_Threads_Local
    except AttributeError:
        return None
    function.argtypes, function.restype = (ctypes.c_int,), ctypes.c_int
    return function


@functools.cache
def team(threads: int) -> tuple[int, int]:
    """Address of the function that tells each of these threads its number, 0 for one thread; and how many."""
    number = 0
    if threads > 1:
        number = ctypes.cast(processor.library().omp_get_thread_num, ctypes.c_void_p).value or 0
    return number, threads
