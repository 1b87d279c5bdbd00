"""What this installation is made of, and whether it computes what it should: the facts of a bug report."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from harmonium import kernels
from harmonium.kernels import launch, processor, reference
from harmonium.likelihood import log_partition
from harmonium.models import RBM
from harmonium.random import Address, Purpose
from harmonium.units import Spin

LIBRARIES = (
    *("torch", "numba", "llvmlite", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "h5py"),
    *(
        "safetensors",
        "networkx",
        "opt_einsum",
        "arviz-stats",
        "xarray",
        "matplotlib",
        "typer",
        "rich",
        "triton",
    ),
)
PREFIXES = (
    "HARMONIUM_",
    "NUMBA_",
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "CUDA_",
    "TRITON_",
    "PYTORCH_",
)
VECTORS = "sse4.2", "avx", "avx2", "fma", "avx512f", "amx-tile", "amx-bf16", "neon", "sve"


def facts() -> dict[str, Any]:
    """What this installation is made of, of types that JSON has."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processor": processor_facts(),
        "threads": thread_facts(),
        "cache": cache(),
        "gpus": gpus(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(PREFIXES)},
    }


def versions() -> dict[str, str | None]:
    """Versions by name, None where a library isn't installed.

    >>> list(versions())[:4]
    ['harmonium', 'Python', 'torch', 'numba']
    """
    from harmonium import __version__

    return {"harmonium": __version__, "Python": sys.version.split()[0], **{n: _version(n) for n in LIBRARIES}}


def _version(library: str) -> str | None:
    known = getattr(sys.modules.get(library), "__version__", None)
    if isinstance(known, str):  # which names the build too, such as 2.13.0+cpu
        return str(known)
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor_facts() -> dict[str, Any]:
    """The processor, the vectors that code is generated for, and the path that products take."""
    found = processor.features() if not processor.numba_missing() else frozenset()
    return {
        "name": processor.name(),
        "machine": platform.machine(),
        "vectors": [name for name in VECTORS if name in found],
        "path": processor.path(),
        "reason": processor.reason(),
    }


def thread_facts() -> dict[str, Any]:
    """How many threads there are, and the libraries that start them."""
    from threadpoolctl import threadpool_info

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processors": os.cpu_count(),
        "usable": usable,
        "torch": torch.get_num_threads(),
        "shared": processor.path() != "plain"
        and launch.openmp() is not None,  # loops run on PyTorch's threads
        "libraries": [
            {key: pool.get(key) for key in ("user_api", "internal_api", "version", "num_threads", "filepath")}
            for pool in threadpool_info()
        ],
    }


def cache() -> dict[str, Any]:
    """The folder in which Numba keeps compiled code; without one, every process compiles anew."""
    try:
        from numba.core.caching import CompileResultCacheImpl

        folder = CompileResultCacheImpl(reference.exp).locator.get_cache_path()
    except (ImportError, RuntimeError) as error:
        return {"folder": None, "writable": False, "reason": str(error)}
    return {"folder": folder, "writable": os.access(folder, os.W_OK)}


def gpus() -> list[dict[str, Any]]:
    """Name and memory in bytes of each GPU that PyTorch can use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = (torch.cuda.get_device_properties(k) for k in range(count))
    return [{"name": gpu.name, "memory": gpu.total_memory} for gpu in found]


# ---------------------------------------------------------------- the self-test
def self_test() -> list[dict[str, Any]]:
    """A few seconds of computing held against what is known: {name, passed, sentence, seconds} for each."""
    tests: dict[str, Callable[[], str]] = {
        "draws": _draws,
        "product": _product,
        "log Z": _log_z,
    }
    return [_tested(name, test) for name, test in tests.items()]


def _tested(name: str, test: Callable[[], str]) -> dict[str, Any]:
    begin = time.perf_counter()
    try:
        passed, sentence = True, test()
    except Exception as error:  # whatever it is, a bug report should hold it
        passed, sentence = (
            False,
            str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}",
        )
    return {"name": name, "passed": passed, "sentence": sentence, "seconds": time.perf_counter() - begin}


class Wrong(Exception):
    """A number is not what it should be; the message says which."""


def _draws() -> str:
    address = Address(seed=1, purpose=Purpose.DIAGNOSE)
    for dtype in (torch.float32, torch.float64):
        field = 16.0 * reference.uniform(address, (37, 600), dtype, "cpu") - 8.0
        pairs = {
            "bernoulli": (kernels.draw_bernoulli(field, address), reference.draw_bernoulli),
            "spin": (kernels.draw_spin(field, address), reference.draw_spin),
        }
        for name, (drawn, definition) in pairs.items():
            differ = int((drawn != definition(field, address, torch.empty_like(field))).sum())
            if differ:
                raise Wrong(
                    f"{differ} of {field.numel()} draws of {name} differ from their definition ({dtype})"
                )
        states = reference.draw_categorical(field, 3, address, torch.empty_like(field))
        if not torch.equal(kernels.draw_categorical(field, 3, address), states):
            raise Wrong(f"draws of categories differ from their definition ({dtype})")
    return "those of the compiled kernels are their definition's, bit for bit"


def _product() -> str:
    address = Address(seed=2, purpose=Purpose.DIAGNOSE)
    left, right = (
        reference.uniform(address, shape, torch.float32, "cpu") - 0.5 for shape in ((256, 784), (784, 500))
    )
    error = (kernels.product(left, right).double() - left.double() @ right.double()).abs()
    share = float((error / (left.abs().double() @ right.abs().double())).max())
    if not share <= 2.0**-14:
        raise Wrong(f"a product of matrices is off by {share:.1e} of the product of their absolute values")
    return f"off by {share:.1e} of the product of absolute values, of 6.1e-05 allowed"


def _log_z(n: int = 20, k: float = 0.5) -> str:
    ring = RBM(Spin(n // 2), Spin(n // 2), dtype=torch.float64)
    with torch.no_grad():
        ring.weight.copy_(k * (torch.eye(n // 2) + torch.eye(n // 2).roll(1, 0)))
    found, known = log_partition(ring).value, math.log((2 * math.cosh(k)) ** n + (2 * math.sinh(k)) ** n)
    if not abs(found - known) <= 1e-10 * known:
        raise Wrong(f"log Z of a ring of {n} spins is {known:.12g}, got {found:.12g}")
    return f"of a ring of {n} spins: {found:.10f}, as its transfer matrix says"


# ---------------------------------------------------------------- for people
def in_words(known: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts as names and values; those of a self-test too where it is among them."""
    chip, threads, store = known["processor"], known["threads"], known["cache"]
    rows = [(name, version or "not installed") for name, version in known["versions"].items()]
    rows += [("platform", known["platform"]), ("processor", f"{chip['name']} ({chip['machine']})")]
    rows += [("vectors", ", ".join(chip["vectors"]) or "none known")]
    rows += [("path", f"{chip['path']}: {chip['reason']}")]
    shared = "which compiled loops share" if threads["shared"] else "compiled loops run on one"
    count = (
        f"{threads['torch']} of PyTorch ({shared}), {threads['usable']} of {threads['processors']} processors"
    )
    rows.append(("threads", count))
    for pool in threads["libraries"]:
        rows.append(
            ("", f"{pool['internal_api']} {pool['version'] or ''}: {pool['num_threads']}, {pool['filepath']}")
        )
    rows.append(("compiled code", _cache_in_words(store)))
    rows += [("GPU", f"{gpu['name']}, {gpu['memory'] / 2**30:.0f} GiB") for gpu in known["gpus"]] or [
        ("GPU", "none")
    ]
    rows += [(name, value) for name, value in known["environment"].items()]
    for test in known.get("self_test", []):
        verdict = "right" if test["passed"] else "WRONG"
        rows.append((f"test: {test['name']}", f"{verdict} ({test['seconds']:.1f} s): {test['sentence']}"))
    return rows


def _cache_in_words(store: dict[str, Any]) -> str:
    if store["folder"] is None:
        return f"kept nowhere, so every process compiles anew: {store['reason']}"
    writable = "writable" if store["writable"] else "NOT writable, so every process compiles anew"
    return f"{store['folder']} ({writable})"


def show_versions() -> None:
    """Print what this installation is made of, for a bug report; `harmonium doctor` tests it too.

    >>> show_versions()
    harmonium ...
    """
    for name, value in in_words(facts()):
        print(f"{name:15} {value}")
