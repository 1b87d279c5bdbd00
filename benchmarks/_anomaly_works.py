"""Scores of PyOD's detectors: run in the peers' environment by benchmarks/anomaly.py.

python _anomaly_works.py FOLDER SEED    FOLDER/rows.npz (train, test) to FOLDER/METHOD.npy, a score each row
"""

from __future__ import annotations

import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
MISSING = 3
METHODS = ("ECOD", "COPOD", "IForest", "HBOS", "KNN", "LOF", "PCA")


def detector(name: str, seed: int) -> object:
    """A detector of PyOD at its defaults."""
    module = __import__(f"pyod.models.{name.lower()}", fromlist=[name])
    seeded = {"random_state": seed} if name in ("IForest", "PCA") else {}
    return getattr(module, name)(**seeded)


def main() -> None:
    """All detectors, one after the other, with their processor seconds."""
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    if find_spec("pyod") is None:
        sys.exit(MISSING)
    rows = np.load(folder / "rows.npz")
    for name in METHODS:
        begun = time.process_time()
        try:
            found = detector(name, seed)
            found.fit(rows["train"])
            np.save(folder / f"{name}.npy", found.decision_function(rows["test"]))
        except Exception as error:  # a detector that fails on a table has no row; the others go on
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(name, time.process_time() - begun)


if __name__ == "__main__":
    main()
