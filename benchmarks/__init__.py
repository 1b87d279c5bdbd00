"""Measurements of harmonium; each module here is one benchmark, run with `python -m benchmarks`."""
