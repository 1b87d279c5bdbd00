"""One update of scikit-learn's BernoulliRBM, in float32: what its `fit` does for each batch."""

from __future__ import annotations

import itertools
import sys

from _inputs import N_ROWS, rows
from _serve import Work, serve

try:
    import numpy as np
    from sklearn.neural_network import BernoulliRBM
except ImportError:
    sys.exit(3)


def update(visible: int, hidden: int, *, batch: int = 256) -> Work:
    """One update of PCD-1 on a batch of rows in their order, with as many chains."""
    data = rows(N_ROWS, visible).astype(np.float32)
    rbm = BernoulliRBM(hidden, learning_rate=0.01, batch_size=batch, n_iter=1, random_state=0).fit(data)
    assert rbm.components_.dtype == np.float32
    random = np.random.RandomState(0)
    places = itertools.cycle(range(N_ROWS // batch))

    def work() -> None:
        place = next(places)
        rbm._fit(data[place * batch : (place + 1) * batch], random)

    return work


if __name__ == "__main__":
    serve({"update": update})
