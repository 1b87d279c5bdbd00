"""How likely each machine finds unseen digits, and how well the labelled one tells their classes.

    python -m benchmarks.machines                                        the bundled digits
    python -m benchmarks.machines --data mnist10k.npz --layers 500,1000  other digits

Each machine is fitted by `hm.fit` with no other argument (`--steps` asks for fewer updates), then log P of
test rows is estimated with its interval. Times are processor seconds. Figures stand in `docs/machines.md`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import harmonium as hm
from harmonium.data import load

Rows = np.ndarray[Any, Any]


class Digits(NamedTuple):
    """Rows of 0 and 1, and the labels of those that have any."""

    train: Rows
    valid: Rows
    test: Rows
    train_labels: Rows
    test_labels: Rows


def read(path: Path | None) -> Digits:
    """The .npz of train, valid, test, ytrain and ytest; or scikit-learn's digits, binarised, as bundled."""
    if path is not None:
        with np.load(path) as parts:
            return Digits(*(parts[name] for name in ("train", "valid", "test", "ytrain", "ytest")))
    data = load("digits")
    return Digits(data.train, data.valid, data.test, data.labels["train"], data.labels["test"])


def convolutional(width: int) -> hm.ConvolutionalRBM:
    """Filters of a third of the picture, overlapping, with a border so that edges count."""
    side = math.isqrt(width)
    return hm.ConvolutionalRBM((1, side, side), filters=32, kernel=max(3, side // 3), padding=1)


def densities(digits: Digits, layers: list[int]) -> dict[str, Callable[[], hm.EnergyModel]]:
    """Machines over pixels alone."""
    width = digits.train.shape[1]

    def hidden() -> list[hm.Units]:
        return [hm.Bernoulli(n) for n in layers]

    return {
        "rbm": lambda: hm.RBM(hm.Bernoulli(width), hidden()[0]),
        "deep": lambda: hm.DeepBoltzmannMachine(hm.Bernoulli(width), hidden()),
        "belief": lambda: hm.DeepBeliefNetwork(hm.Bernoulli(width), hidden()),
        "convolutional": lambda: convolutional(width),
    }


def density(name: str, model: hm.EnergyModel, digits: Digits, asked: argparse.Namespace) -> None:
    """log P of test rows, with its interval."""
    begin = time.process_time()
    hm.fit(model, digits.train, validation=digits.valid, steps=asked.steps, progress=False)
    spent = time.process_time() - begin
    found = hm.log_likelihood(model, digits.test, seconds=asked.seconds)
    bound = f", bound {found.details['bound']:.2f}" if "bound" in found.details else ""
    print(f"{name}: {found}{bound}; trained for {spent:.0f} s {list(found.warnings)}", flush=True)


def classes(digits: Digits, hidden: int, steps: int | None) -> None:
    """Share of test rows whose class is told wrongly, beside logistic regression on the same rows."""
    from sklearn.linear_model import LogisticRegression

    begin = time.process_time()
    peer = LogisticRegression(C=0.1, max_iter=5000, tol=1e-5).fit(digits.train, digits.train_labels)
    wrong = np.mean(peer.predict(digits.test) != digits.test_labels)
    print(f"logistic regression: {error(wrong, digits)}; {time.process_time() - begin:.0f} s", flush=True)
    for objective in ("generative", "hybrid", "discriminative"):
        model = hm.LabelledRBM(
            hm.Bernoulli(digits.train.shape[1]), 10, hm.Bernoulli(hidden), objective=objective
        )
        begin = time.process_time()
        hm.fit(model, model.rows(digits.train, digits.train_labels), steps=steps, progress=False)
        told = np.asarray(model.label_given_visible(digits.test)).argmax(1)
        wrong = np.mean(told != digits.test_labels)
        print(
            f"labelled, {objective}: {error(wrong, digits)}; {time.process_time() - begin:.0f} s", flush=True
        )


def error(wrong: float, digits: Digits) -> str:
    """A share with its standard error."""
    return f"{100 * wrong:.1f} ± {100 * math.sqrt(wrong * (1 - wrong) / len(digits.test)):.1f} % wrong"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help=".npz of train, valid, test, ytrain and ytest")
    parser.add_argument("--layers", default="100,50", help="widths of the hidden layers")
    parser.add_argument("--steps", type=int)
    parser.add_argument(
        "--seconds", type=float, help="for an estimate of log P; by default hm.log_likelihood's own"
    )
    parser.add_argument("--only", default="rbm,deep,belief,convolutional,labelled")
    asked = parser.parse_args()
    digits, layers = read(asked.data), [int(n) for n in asked.layers.split(",")]
    makers = densities(digits, layers)
    for name in asked.only.split(","):
        if name == "labelled":
            classes(digits, layers[0], asked.steps)
        else:
            density(name, makers[name](), digits, asked)
