"""Training on a data set by scikit-learn: DATA OUT SECONDS SETTINGS -> snapshots and their times."""

import time

START = time.perf_counter()

import json
import sys

import numpy as np
from _snapshots import Snapshots

try:
    from sklearn.neural_network import BernoulliRBM
except ImportError:
    sys.exit(3)


def main(file: str, out: str, seconds: float, settings: dict) -> None:
    """What its `fit` does in float32, epoch by epoch: batches of shuffled rows in an order that stays."""
    with np.load(file) as data:
        x = data["train"]
    random = np.random.RandomState(settings.get("seed", 0))
    rows = random.permutation(x).astype(np.float32)
    batch = settings["batch"]
    rbm = BernoulliRBM(
        settings["hidden"],
        learning_rate=settings["learning_rate"],
        batch_size=batch,
        n_iter=1,
        random_state=random,
    )
    snapshots, spent, epoch = Snapshots(START, settings), 0.0, 1
    rbm.fit(rows)
    while spent < seconds:
        for start in range(0, len(rows) - batch + 1, batch):
            rbm._fit(rows[start : start + batch], random)
        epoch += 1
        if epoch % settings["every"] == 0:
            spent = snapshots.add((rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_))
    snapshots.save(out, epoch * (len(rows) // batch))


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4]))
