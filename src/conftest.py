"""Docstring examples: modules that can't be imported everywhere."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("triton") else ["harmonium/kernels/gpu.py"]
