"""The compiled loop that calls others one after another, on one thread."""

# Compiled functions take the types that Numba infers.
# mypy: disable-error-code="no-untyped-def, call-arg, attr-defined, import-untyped, var-annotated"

from __future__ import annotations

import numpy as np
from numba import carray

from harmonium.kernels.library_loops import _call_sgemm
from harmonium.kernels.primitives import _array, _call

# Places in a job; COUNTERS: of the loops that are called, set to 0 first; then STEPS steps
STEPS, COUNTERS, COUNTS = range(3)
HEAD = 3
# each: LOOP or SGEMM, the address of its code, and that of what it is given
KIND, CODE, GIVEN = range(3)
PLACES_OF_STEP = 3
LOOP, SGEMM = range(2)


def in_turn(pointer):
    """Takes the steps in their order."""
    head = carray(pointer, (HEAD,), np.int64)
    counters = _array(head[COUNTERS], head[COUNTS], np.int64)
    for i in range(head[COUNTS]):
        counters[i] = 0
    steps = carray(pointer, (HEAD + PLACES_OF_STEP * head[STEPS],), np.int64)
    for i in range(head[STEPS]):
        step = steps[HEAD + PLACES_OF_STEP * i : HEAD + PLACES_OF_STEP * (i + 1)]
        if step[KIND] == SGEMM:
            _call_sgemm(step[CODE], step[GIVEN])
        else:
            _call(step[CODE], step[GIVEN])
