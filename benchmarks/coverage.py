"""How often 90 % intervals of `hm.impute(..., uncertainty=True)` hold what was taken out of a known table.

    python -m benchmarks.coverage [--rows 600]

Twelve columns of the table of `benchmarks.tables`, of which cells are taken out, are learned by the defaults
with gaps. Of numbers: the share of cells within 1.645 deviations of the mean, and within the quantiles 5 %
and 95 % of `hm.conditional`. Of values that are told apart: the share of wrong guesses, the mean of what
`uncertainty` says of it, and the share of cells in the smallest set of values that holds 90 % by
`hm.conditional`.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch

import harmonium as hm
from benchmarks.tables import table

COLUMNS, TAKEN_OUT, SHARE = 12, 0.2, 0.9


def likely(probabilities: pd.DataFrame, truth: pd.Series) -> np.ndarray:
    """Whether each value is among the most probable ones that together hold 90 %, (rows,)."""
    p = probabilities.to_numpy()
    column = [list(probabilities.columns).index(value) for value in truth]
    own = p[np.arange(len(p)), column][:, None]
    return np.where(p > own, p, 0.0).sum(1) < SHARE


def main() -> None:
    """Print a line for each column."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--steps", type=int, default=300)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    truth = table(asked.rows, 4, empty=0.0).iloc[:, :COLUMNS]
    gone = np.random.default_rng(1).random(truth.shape) < TAKEN_OUT
    gaps = truth.mask(gone)
    rbm = hm.RBM(hm.Schema.of(gaps).units(), hm.Bernoulli(24), seed=0)
    rbm.schema = hm.Schema.of(gaps)
    hm.fit(rbm, gaps, steps=asked.steps, progress=False)
    guess, doubt = hm.impute(rbm, gaps, uncertainty=True)
    kinds: dict[str, list[np.ndarray]] = {}
    for k, name in enumerate(truth.columns):
        out = gone[:, k]
        found, d = guess[name][out], doubt[name][out].to_numpy(float)
        ends = hm.conditional(rbm, gaps[out], name)
        if "5%" not in ends:
            wrong = found.astype(object).to_numpy() != truth[name][out].astype(object).to_numpy()
            kinds.setdefault("told apart", []).append(np.stack([wrong, d, likely(ends, truth[name][out])]))
            continue
        x = truth[name][out].to_numpy(float)
        near = np.abs(x - found.to_numpy(float)) <= 1.645 * d
        kinds.setdefault({"r": "numbers", "n": "counts", "w": "of a range"}[name[0]], []).append(near[None])
        inside = (ends["5%"].to_numpy() <= x) & (x <= ends["95%"].to_numpy())
        kinds.setdefault(f"quantiles, {name[0]}", []).append(inside[None])
    for kind, parts in kinds.items():
        cells = np.concatenate(parts, 1).astype(float)
        shares = ", ".join(f"{s.mean():.3f} ± {s.std() / s.size**0.5:.3f}" for s in cells)
        print(f"{kind:16} {cells.shape[1]:6,} cells   {shares}", flush=True)


if __name__ == "__main__":
    main()
