"""Every compiled loop as code for processors of other makes: nothing is left that they haven't got.

The code is generated and not run, in a process of its own: LLVM ends it where it can't select an instruction.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from harmonium.kernels import processor

HERE = Path(__file__).parent
LACKS = {
    "x86-64": {"ymm", "zmm", "fused", "bfloat16", "matrix units"},
    "haswell": {"zmm", "bfloat16", "matrix units"},
    "skylake-avx512": {"bfloat16", "matrix units"},
    "sapphirerapids": set(),
    "generic": {"ymm", "zmm", "bfloat16", "matrix units"},  # a 64-bit Arm
}


def generated(targets, **variables):
    """{(target, loop): what its code is made of}, and how the process ended."""
    command = [sys.executable, str(HERE / "generate_code.py"), *targets]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(x["target"], x["loop"]): set(x["found"]) for x in lines if "found" in x}, lines, done


def test_code_for_every_processor_holds_no_instruction_that_it_lacks():
    found, lines, done = generated(LACKS)
    told = f"the code generator ended with {done.returncode} at {lines[-1:]}: {done.stderr[-500:]}"
    assert done.returncode == 0, told
    assert len(found) > 5 * 15
    wrong = {key: kinds & LACKS[key[0]] for key, kinds in found.items() if kinds & LACKS[key[0]]}
    assert not wrong
    units = {loop for (_, loop), kinds in found.items() if "matrix units" in kinds}
    assert units == {
        "matrix.phase_loops.gradient",
        "matrix.phase_loops.means",
        "matrix.product_loops.panel_product",
        "matrix.product_loops.product",
        "matrix.sweep_loops.sweep",
    }


CHECKS = {
    "baseline": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""},
    "plain": {"HARMONIUM_PRODUCTS": "plain"},
}


@pytest.mark.parametrize("variables", CHECKS.values(), ids=CHECKS)
def test_the_loops_are_right_on(variables, tmp_path):
    """Those for other processors run on this one as well, where it can do all that they ask of it."""
    if "NUMBA_CPU_NAME" in variables and "avx2" not in processor.host_features():
        pytest.skip(f"{processor.name()} can't run code for {variables['NUMBA_CPU_NAME']}")
    if variables.get("NUMBA_CPU_NAME") == "haswell" and "avx512f" not in processor.host_features():
        pytest.skip("every other test runs code for AVX2 here")
    environment = {**os.environ, **variables, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(HERE / "path_checks.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stdout[-500:]} {done.stderr[-2000:]}"
    expected = variables.get("HARMONIUM_PRODUCTS", "wide")
    assert done.stdout.splitlines()[0] == expected


OTHERS = [("znver3", {}), ("sapphirerapids", {}), ("sapphirerapids", {"NUMBA_CPU_FEATURES": ""})]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these processors are x86-64")
@pytest.mark.parametrize(
    "target, features", OTHERS, ids=["by name", "larger", "larger with its own features"]
)
def test_a_run_for_another_processor_ends_well(target, features, tmp_path):
    """Where this one can't run code with its features, nothing is compiled and one sentence says so."""
    code = (
        "import torch, harmonium as hm; from harmonium.kernels import processor;"
        "hm.fit(hm.RBM(hm.Bernoulli(5), hm.Bernoulli(4)), torch.eye(5).repeat(20, 1), steps=5);"
        "print(processor.path())"
    )
    environment = {**os.environ, **features, "NUMBA_CPU_NAME": target, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    needs = "avx" if target == "znver3" else "avx512f"
    lacks = bool(features) and needs not in processor.host_features()
    assert (done.stdout.strip() == "plain") == lacks
    assert done.stderr.count(f"ask for {needs}, which the processor lacks") == lacks
