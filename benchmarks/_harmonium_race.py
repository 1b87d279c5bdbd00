"""Training on a data set by `hm.fit`: DATA OUT SECONDS SETTINGS -> the model returned and its time."""

import time

START = time.perf_counter()

import json
import sys

import numpy as np

import harmonium as hm


def main(file: str, out: str, settings: dict) -> None:
    """One call, its own measuring and stopping included."""
    with np.load(file) as data:
        train, valid = data["train"], data["valid"]
    rbm = hm.RBM(visible=hm.Bernoulli(train.shape[1]), hidden=hm.Bernoulli(settings.pop("hidden")))
    hm.fit(rbm, train, validation=valid, seed=0, progress=False, **settings)
    times = [time.perf_counter() - START]
    weight, visible, hidden = (
        p.detach().numpy()[None] for p in (rbm.weight, rbm.visible.bias, rbm.hidden.bias)
    )
    np.savez(out, times=times, weight=weight, visible=visible, hidden=hidden)


main(sys.argv[1], sys.argv[2], json.loads(sys.argv[4]))
