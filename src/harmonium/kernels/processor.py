"""What this processor can multiply by: the one choice of path, made before anything is compiled.

A path is what the products inside compiled loops run on. Its loops hold no instruction of another.

| path | products | where |
|---|---|---|
| ``matrix`` | bfloat16 on matrix units, each weight split in two | x86-64 with AMX, on Linux |
| ``wide`` | float32 by the library that PyTorch multiplies by | everywhere else |
| ``plain`` | PyTorch's operations, and nothing is compiled | where compiled code can't be had |

The environment variable HARMONIUM_PRODUCTS forces one of them: ``auto`` (the default), ``matrix``, ``wide``
or ``plain``. A path whose loops don't compile is left for the next one, with one warning.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

VARIABLE = "HARMONIUM_PRODUCTS"
PATHS = ("matrix", "wide", "plain")
SAME = {"bfloat16": "matrix", "float32": "wide"}  # by what they multiply
UNITS = "amx-tile", "amx-bf16"
HAVE_UNITS = "sapphirerapids", "emeraldrapids", "graniterapids", "graniterapids-d", "diamondrapids"

_left: dict[str, str] = {}  # paths whose loops could not be compiled, and why


class PathLeft(Exception):
    """The loops of the present path can't be compiled; the next path is to be taken."""


def path() -> str:
    """The path that products take here: "matrix", "wide" or "plain".

    Raises:
        ValueError: HARMONIUM_PRODUCTS has another value, or forces a path that this processor lacks.

    >>> path() in PATHS
    True
    """
    asked = os.environ.get(VARIABLE, "auto")
    if asked == "auto":
        return _best(0, *_left)
    asked = SAME.get(asked, asked)
    if asked not in PATHS:
        raise ValueError(f"{VARIABLE} must be auto, matrix, wide or plain, got {asked!r}.")
    missing = _missing(asked)
    if missing:
        raise ValueError(f"{VARIABLE}={asked} can't be had on this processor ({name()}): {missing}.")
    return _best(PATHS.index(asked), *_left)


@functools.cache
def _best(first: int, *left: str) -> str:
    best = next(p for p in PATHS[first:] if p not in left and not _missing(p))
    if best == "plain" and first == 0 and not left:
        _say_that_nothing_is_compiled()
    return best


@functools.cache
def _say_that_nothing_is_compiled() -> None:
    warnings.warn(
        f'This processor ({name()}) takes the path "plain", which costs much speed: {_missing("wide")}.',
        RuntimeWarning,
        stacklevel=2,
    )


def reason() -> str:
    """Why this path is taken, in one sentence."""
    if os.environ.get(VARIABLE, "auto") != "auto":
        return f"{VARIABLE} asks for it"
    better = PATHS[: PATHS.index(path())]
    return "; ".join(f"not {p}, since {_left.get(p) or _missing(p)}" for p in better) or "nothing is faster"


def _missing(candidate: str) -> str:
    """What this processor lacks for a path, or nothing."""
    if candidate == "plain":
        return ""
    if numba_missing() or foreign_target():
        return numba_missing() or foreign_target()
    return no_matrix_units() if candidate == "matrix" else no_library_product()


@functools.cache
def numba_missing() -> str:
    """Why nothing can be compiled here, or nothing."""
    try:
        import numba  # noqa: F401
    except Exception as error:  # an installation can be broken in many ways
        return f"Numba can't be imported ({type(error).__name__}: {error})"
    return ""


@functools.cache
def foreign_target() -> str:
    """Which vectors code would be generated for that this processor hasn't got, or nothing.

    NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may name any processor; code for a larger one would end the process.
    """
    from llvmlite import binding
    from numba.core import config as settings

    config: Any = settings
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        return ""
    for registers, feature in (("%zmm", "avx512f"), ("%ymm", "avx")):
        if feature not in host_features() and registers in _vector_code(binding, config):
            return f"NUMBA_CPU_NAME and NUMBA_CPU_FEATURES ask for {feature}, which the processor lacks"
    return ""


def _vector_code(binding: Any, config: Any) -> str:
    """A sum of vectors as code for the processor that Numba generates code for."""
    from numba.core.codegen import get_host_cpu_features

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    cpu = binding.get_host_cpu_name() if config.CPU_NAME is None else config.CPU_NAME
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    machine = binding.Target.from_default_triple().create_target_machine(cpu=cpu, features=features)
    vector = "<16 x float>"
    module = f"""define void @add({vector}* %a, {vector}* %b) "prefer-vector-width"="512" {{
        %x = load {vector}, {vector}* %a
        %y = load {vector}, {vector}* %b
        %z = fadd {vector} %x, %y
        store {vector} %z, {vector}* %a
        ret void }}"""
    module = module.replace(f"{vector}*", "ptr") if binding.llvm_version_info[0] >= 17 else module
    return str(machine.emit_assembly(binding.parse_assembly(module)))


@functools.cache
def no_matrix_units() -> str:
    """Why there are no matrix units for bfloat16, or nothing where there are."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"matrix units are used on Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    if not set(UNITS) <= host_features():
        return "the processor has no matrix units for bfloat16 (AMX)"
    if not set(UNITS) <= features():
        return "code is generated for a processor without matrix units for bfloat16 (AMX)"
    arch_prctl, request, tile_data = 158, 0x1023, 18  # Linux asks for a permission once per process
    if ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) != 0:
        return "the system doesn't let this process use the matrix units"
    return ""


@functools.cache
def no_library_product() -> str:
    """Why the product of PyTorch's library can't be called from compiled code, or nothing."""
    return "" if sgemm() else "PyTorch's library has no product that compiled code could call"


@functools.cache
def library() -> Any:
    """PyTorch's own library, through which the copies of what it runs on are found; None where it isn't."""
    try:
        return ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", _library_file()))
    except OSError:
        return None


def _library_file() -> str:
    return {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}.get(sys.platform, "libtorch_cpu.so")


@functools.cache
def sgemm() -> int:
    """Address of PyTorch's own product of float32 matrices, 0 where it can't be had."""
    try:
        return ctypes.cast(library().sgemm_, ctypes.c_void_p).value or 0
    except AttributeError:
        return 0


@functools.cache
def host_features() -> frozenset[str]:
    """What LLVM finds on this processor, by its names."""
    from llvmlite import binding

    try:
        return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)
    except RuntimeError:  # LLVM can't tell on some systems
        return frozenset()


@functools.cache
def features() -> frozenset[str]:
    """What code is generated for: the processor's own features, unless NUMBA_CPU_NAME or its like say so."""
    from numba.core import config as settings

    config: Any = settings
    given, target = config.CPU_FEATURES, config.CPU_NAME
    found = host_features() if given is None else {f[1:] for f in given.split(",") if f.startswith("+")}
    return frozenset(found) | (frozenset(UNITS) if target in HAVE_UNITS else frozenset())


@functools.cache
def name() -> str:
    """The processor by its name."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def leave(present: str, error: Exception) -> PathLeft:
    """Gives a path up, with one warning that names processor and path; what to raise."""
    if present not in _left:
        why = f"its loops don't compile ({type(error).__name__}: {str(error).strip().splitlines()[0][:200]})"
        _left[present] = why
        following = next(p for p in PATHS[PATHS.index(present) + 1 :] if p not in _left and not _missing(p))
        warnings.warn(
            f'The path "{present}" of this processor ({name()}) is left for "{following}": {why}.',
            RuntimeWarning,
            stacklevel=2,
        )
    return PathLeft(present)


Result = TypeVar("Result")


def taking_the_next(function: Callable[..., Result]) -> Callable[..., Result]:
    """Calls again whatever found that the loops of the present path don't compile.

    Loops are compiled before they touch anything, so that nothing has been done by then.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Result:
        while True:
            try:
                return function(*args, **kwargs)
            except PathLeft:
                continue

    return call
