"""The kernels for processors: Numba loops on PyTorch's own threads, bit for bit equal to ``reference``."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
from typing import Any

import numba
import torch
from torch import Tensor

from harmonium.kernels import loops
from harmonium.random import Address

SERIAL = 8192  # numbers in a block below which starting threads costs more than it saves
# Freeing one large block teaches glibc to keep freed memory of up to twice its size. Otherwise the pages of
# each matrix of an update go back to the system and come anew, which takes longer than computing in them.
torch.empty(2**25 - 2**16, dtype=torch.uint8, device="cpu")

CLAIMS = 8  # claims per thread: enough to even out threads that are held up, few enough to cost nothing


def compiled(work: Any) -> Any:
    """A function of one pointer as a compiled C function, from the cache on disk where there is one."""
    collecting = gc.isenabled()
    gc.disable()  # a tenth of the time would go into looking for garbage
    try:
        code: Any = numba.cfunc(loops.SIGNATURE, cache=True)(work)
    except RuntimeError:  # no place where a cache could be kept
        code = numba.cfunc(loops.SIGNATURE)(work)
    finally:
        if collecting:
            gc.enable()
    entry: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)
    entry.code = code  # the machine code lives as long as this object
    return entry


@functools.cache
def _compiled(dtype: torch.dtype, uniforms: bool = False) -> Any:
    if uniforms:
        return compiled(loops._uniforms32 if dtype == torch.float32 else loops._uniforms64)
    return compiled(loops._draws32 if dtype == torch.float32 else loops._draws64)


def drawing(dtype: torch.dtype) -> int:
    """The address of the compiled function that makes draws of this type, for other compiled code to call."""
    return int(_compiled(dtype).code.address)


@functools.cache
def library() -> Any:
    """PyTorch's own library, through which the copies of what it runs on are found; None where it isn't."""
    try:
        return ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so"))
    except OSError:
        return None


@functools.cache
def _openmp() -> Any:
    """GOMP_parallel of the OpenMP library that PyTorch itself runs on, or None where it has none.

    Its threads are the ones that have just computed the field. The symbol is looked up through PyTorch's
    library, so that it's the same copy even where the system has another.
    """
    try:
        parallel = library().GOMP_parallel
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


def threads(worth: bool) -> int:
    """How many threads to run on: PyTorch's number, or 1 where it isn't `worth` it or there are none."""
    return torch.get_num_threads() if worth and not _forked and _openmp() is not None else 1


@functools.cache
def team(threads: int) -> tuple[int, int]:
    """Address of the function that tells each of these threads its number, 0 for one thread; and how many."""
    number = ctypes.cast(library().omp_get_thread_num, ctypes.c_void_p).value or 0 if threads > 1 else 0
    return number, threads


def run(work: Any, job: bytes, threads: int) -> None:
    """Calls a compiled function on each of this many of PyTorch's own threads, with the same job."""
    if threads > 1:
        _openmp()(work, job, threads, 0)
    else:
        work(job)


def _draw(kind: int, address: Address, field: Tensor, out: Tensor, states: int = 1) -> Tensor:
    stride, columns = field.stride()
    if columns != 1:
        field = field.contiguous()
        stride = field.stride(0)
    rows, numbers = field.shape
    item, units = field.element_size(), numbers // states
    width = loops.TILE if states == 1 else max(16, loops.TILE // states // 4 * 4)
    tiles = rows * -(-units // width)
    team, grain, counter = threads(rows * numbers >= SERIAL), tiles, None
    if team > 1:
        grain, counter = max(1, tiles // (team * CLAIMS)), ctypes.c_int64(0)
    chain, chains = (address.chain, 0) if isinstance(address.chain, int) else (0, address.chain.ctypes.data)
    job = loops.JOB.pack(
        *(kind, 0 if counter is None else ctypes.addressof(counter), grain, rows, units, width, states),
        *(field.data_ptr(), stride * item, out.data_ptr(), out.stride(0) * item, item),
        *(address.seed, address.purpose, address.step, address.unit, chain, chains),
    )
    run(_compiled(field.dtype, kind == loops.UNIFORM), job, team)
    return out


def draw_bernoulli(field: Tensor, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_bernoulli``."""
    return _draw(loops.BERNOULLI, address, field, out)


def draw_spin(field: Tensor, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_spin``."""
    return _draw(loops.SPIN, address, field, out)


def draw_categorical(field: Tensor, states: int, address: Address, out: Tensor) -> Tensor:
    """As ``reference.draw_categorical``."""
    return _draw(loops.CATEGORICAL, address, field, out, states)


def uniform(
    address: Address, shape: tuple[int, int], dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """As ``reference.uniform``."""
    out = torch.empty(shape, dtype=dtype, device=device)
    return _draw(loops.UNIFORM, address, out, out)
