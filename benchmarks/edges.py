"""Edges of known sparse graphs of spins, found and missed: a Boltzmann machine with exact zeros, and
l1-penalised logistic regressions of each spin on the others (Ravikumar, Wainwright & Lafferty 2010) by
scikit-learn.

`python -m benchmarks.edges` prints the figures of `docs/machines.md`.
"""

from __future__ import annotations

import argparse
import time
import warnings

import networkx as nx
import numpy as np
import torch

import harmonium as hm

GRAPHS = {
    "ring of 10": nx.cycle_graph(10),
    "grid of 4 x 4": nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4)),
    "20 of 120 edges at random": nx.gnm_random_graph(16, 20, seed=1),
}


def truth(graph: nx.Graph) -> hm.BoltzmannMachine:
    """Couplings of 0.5 and -0.4 in turn."""
    couplings = torch.zeros(len(graph), len(graph))
    for k, (i, j) in enumerate(sorted(graph.edges)):
        couplings[i, j] = couplings[j, i] = 0.5 if k % 2 else -0.4
    return hm.BoltzmannMachine.from_couplings(couplings, torch.zeros(len(graph)), len(graph), units="spin")


def by_machine(rows: torch.Tensor, strength: float, steps: int | None) -> np.ndarray:
    """Which pairs are coupled by a machine that fits the rows."""
    machine = hm.BoltzmannMachine(rows.shape[1], units="spin", lateral="visible", sparse=strength)
    hm.fit(machine, rows, steps=steps, progress=False)
    return (machine.joint_couplings()[0] != 0).numpy()


def by_regressions(rows: torch.Tensor, strength: float) -> np.ndarray:
    """Which pairs both of their regressions couple; the penalty is that of the couplings, half of the
    coefficients.
    """
    from sklearn.linear_model import LogisticRegression

    x = rows.numpy()
    n, width = x.shape
    found = np.zeros((width, width), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each version has another name for the same penalty
        for i in range(width):
            others = np.arange(width) != i
            model = LogisticRegression(penalty="l1", solver="liblinear", C=2.0 / (n * strength))
            found[i, others] = model.fit(x[:, others], x[:, i] > 0).coef_[0] != 0
    return found & found.T


def told(edges: np.ndarray, found: np.ndarray) -> str:
    """How many edges were found, missed and invented."""
    counts = [(edges & found).sum() // 2, (edges & ~found).sum() // 2, (found & ~edges).sum() // 2]
    return " / ".join(map(str, counts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, help="by default those of the default call")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="*", default=[500, 2000, 8000])
    parser.add_argument("--strengths", type=float, nargs="*", default=[0.05, 0.1])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("edges found / missed / invented, for each seed")
    for name, graph in GRAPHS.items():
        edges = nx.to_numpy_array(graph, nodelist=range(len(graph))) > 0
        samples = [hm.sample(truth(graph), max(options.rows), seed=seed) for seed in range(options.seeds)]
        for n in options.rows:
            for strength in options.strengths:
                begin = time.process_time()
                machine = [told(edges, by_machine(x[:n], strength, options.steps)) for x in samples]
                spent = (time.process_time() - begin) / len(samples)
                regressions = [told(edges, by_regressions(x[:n], strength)) for x in samples]
                what = f"{name}, {n} rows, strength {strength}"
                print(f"{what}: machine {', '.join(machine)} ({spent:.1f} s each)", flush=True)
                print(f"{what}: regressions {', '.join(regressions)}", flush=True)
