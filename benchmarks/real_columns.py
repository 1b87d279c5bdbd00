"""What Gaussian hidden units beside 0/1 ones are worth on tables of real columns, beside two other laws.

    python -m benchmarks.real_columns [--tables iris,wine] [--seeds 2] [--steps 1000]

Tables that come with scikit-learn, and one that is drawn from three factors; columns in standard deviations
of the whole table, three rows of four to learn from. Printed: mean log P of the other rows, nats, of machines
with so many 0/1 hidden units, alone and with Gaussian ones beside them, of a normal whose covariance is
shrunk (Ledoit & Wolf 2004), and of a mixture of three normals; and the processor seconds of a fit.
"""

from __future__ import annotations

import argparse
import time
from statistics import mean, stdev

import numpy as np
import torch
from sklearn import datasets
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture

import harmonium as hm
from harmonium.recipes.model_choice import hidden_units

HIDDEN = 16


def factors(numbers: np.random.Generator) -> np.ndarray:
    """800 rows of twelve columns that three factors move."""
    loadings = numbers.normal(size=(3, 12))
    return numbers.normal(size=(800, 3)) @ loadings + 0.5 * numbers.normal(size=(800, 12))


TABLES = {
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "diabetes": lambda: datasets.load_diabetes().data,
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "three factors": lambda: factors(np.random.default_rng(0)),
}


def halves(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows to learn from, rows to test on)."""
    x = TABLES[name]()
    x = ((x - x.mean(0)) / x.std(0))[np.random.default_rng(seed).permutation(len(x))]
    return x[: len(x) * 3 // 4], x[len(x) * 3 // 4 :]


def machine(
    hidden: hm.Units, train: np.ndarray, test: np.ndarray, steps: int, seed: int
) -> tuple[float, float]:
    """(log P of the test rows, processor seconds)."""
    rbm = hm.RBM(hm.Gaussian(train.shape[1]), hidden, seed=seed)
    begun = time.process_time()
    hm.fit(rbm, train, steps=steps, seed=seed, progress=False)
    return hm.log_likelihood(rbm, test).value, time.process_time() - begun


def told(values: list[float]) -> str:
    """Their mean, with its error where there are several."""
    error = f" ± {stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{error}"


def main() -> None:
    """Print a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| table | 0/1 alone | Gaussian beside | shrunk normal | three normals | s alone | s beside |")
    print("|---|---|---|---|---|---|---|")
    for name in asked.tables.split(","):
        rows = []
        for seed in range(asked.seeds):
            train, test = halves(name, seed)
            alone = machine(hm.Bernoulli(HIDDEN), train, test, asked.steps, seed)
            beside = machine(
                hidden_units(hm.Gaussian(train.shape[1]), HIDDEN), train, test, asked.steps, seed
            )
            normal = LedoitWolf().fit(train).score(test)
            three = GaussianMixture(3, reg_covar=1e-2, random_state=0).fit(train).score(test)
            rows.append((alone[0], beside[0], normal, three, alone[1], beside[1]))
        cells = [told([row[k] for row in rows]) for k in range(4)]
        cells += [f"{mean(row[k] for row in rows):.0f}" for k in (4, 5)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
