"""Generates code of every compiled loop for a processor, without running it, and prints what it's made of.

As a script: the names of targets as LLVM knows them. Numba makes the loops' LLVM code once, unoptimised; LLVM
then optimises it for each target and writes assembly. One JSON object a line: target, loop, and the kinds of
instructions and registers found. LLVM ends the process where it can't select an instruction.
"""

import gc
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys

if __name__ == "__main__":  # before Numba is imported
    os.environ["NUMBA_OPT"] = "0"
    os.environ["NUMBA_CPU_NAME"], os.environ["NUMBA_CPU_FEATURES"] = "sapphirerapids", ""  # which has all

from llvmlite import binding  # noqa: E402
from numba import types  # noqa: E402
from numba.core.ccallback import CFunc  # noqa: E402
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen  # noqa: E402

from harmonium import kernels  # noqa: E402

TRIPLES = {"generic": "aarch64-unknown-linux-gnu"}  # any 64-bit Arm; all others are x86
FOUND = {
    "matrix units": r"\b(ldtilecfg|tile\w+|tdp\w+)\b",
    "zmm": r"%zmm",
    "ymm": r"%ymm",
    "fused": r"\bvfn?m(add|sub)",
    "bfloat16": r"\bv(dpbf16|cvtne\w*2?ps2bf16)\w*",
}


def loops():
    """(name, function) of every loop, those of the path `matrix` by names that begin with that."""
    for module in pkgutil.walk_packages(kernels.__path__, "harmonium.kernels."):
        if module.name.endswith("_loops"):
            for name, function in vars(importlib.import_module(module.name)).items():
                own = inspect.isfunction(function) and function.__module__ == module.name
                if (
                    own
                    and not name.startswith("_")
                    and list(inspect.signature(function).parameters) == ["pointer"]
                ):
                    yield f"{module.name.removeprefix('harmonium.kernels.')}.{name}", function


def llvm_code(function):
    """A loop as Numba writes it."""
    code = CFunc(function, ([types.CPointer(types.int64)], types.void), {}, {})
    code.compile()
    return code._library.get_llvm_str()


def assembly(code, target):
    """Optimised for the target as Numba would."""
    triple = TRIPLES.get(target, "x86_64-unknown-linux-gnu")
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=target, opt=3)
    module = binding.parse_assembly(re.sub(r'target triple = ".*"', f'target triple = "{triple}"', code))
    module.data_layout = str(machine.target_data)
    optimise(module, machine)
    return machine.emit_assembly(module)


def optimise(module, machine):
    """By LLVM's own passes, which older versions of llvmlite put together in another way."""
    if hasattr(binding, "create_pass_builder"):
        options = binding.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        builder = binding.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return
    builder, manager = binding.create_pass_manager_builder(), binding.create_module_pass_manager()
    builder.opt_level, builder.loop_vectorize, builder.slp_vectorize = 3, True, False
    machine.add_analysis_passes(manager)
    builder.populate(manager)
    manager.run(module)


def main(targets):
    """Prints a line for each loop and target."""
    gc.disable()  # looking for garbage would take a tenth of the time
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    # No loop is run here, so nothing is made into machine code for this processor.
    JITCodeLibrary._finalize_specific = lambda library: None
    JITCodeLibrary.get_pointer_to_function = lambda library, name: library._ensure_finalized() or 0
    JITCPUCodegen.set_env = lambda generator, name, values: None
    for name, function in loops():
        suited = [t for t in targets if t == "sapphirerapids" or not name.startswith("matrix.")]
        if suited:
            code = llvm_code(function)
            assert not re.search(r"^declare .*_ZN9harmonium", code, re.MULTILINE), (
                f"{name} lacks what it calls"
            )
        for target in suited:
            print(json.dumps({"loop": name, "target": target, "begun": True}), flush=True)
            text = assembly(code, target)
            found = [kind for kind, pattern in FOUND.items() if re.search(pattern, text)]
            print(json.dumps({"loop": name, "target": target, "found": found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
