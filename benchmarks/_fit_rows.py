"""Training by `hm.fit` on a .npy file in a process of its own: FILE mapped|memory STEPS -> JSON."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from _serve import resident

import harmonium as hm


def main(file: str, mode: str, steps: int) -> None:
    """Train and say how fast the updates were and how much memory was ever resident."""
    x = np.load(file, mmap_mode="r" if mode == "mapped" else None)
    rbm = hm.RBM(visible=hm.Bernoulli(x.shape[1]), hidden=hm.Bernoulli(500))
    times: list[float] = []
    before = time.perf_counter()
    hm.fit(rbm, x, steps=steps, callbacks=[lambda update: times.append(time.perf_counter())], progress=False)
    gaps = np.diff(times)
    answer = {
        "rows": len(x),
        "start": times[0] - before,
        "update": float(np.median(gaps)),
        "resident_MB": resident("VmHWM"),
        "anonymous_MB": resident("RssAnon"),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
