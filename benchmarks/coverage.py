"""How often 90 % intervals of `hm.impute(..., uncertainty=True)` hold what was taken out of a known table.

    python -m benchmarks.coverage [--rows 2000]

Twelve columns of the table of `benchmarks.tables`, of which cells are taken out, are learned by the defaults
with gaps. Of numbers: the share of cells within 1.645 deviations of the mean, and within the quantiles 5 %
and 95 % of `hm.conditional`. Of names: the share of wrong guesses, and the mean of what `uncertainty` says of
it.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import harmonium as hm
from benchmarks.tables import table

COLUMNS, TAKEN_OUT = 12, 0.2


def main() -> None:
    """Print a line for each column."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
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
        if rbm.schema[name].unit_type() in (hm.Bernoulli, hm.Categorical) and truth[name].dtype == "category":
            wrong = found.astype(object).to_numpy() != truth[name][out].astype(object).to_numpy()
            kinds.setdefault("names", []).append(np.stack([wrong.astype(float), d]))
            continue
        x = truth[name][out].to_numpy(float)
        near = np.abs(x - found.to_numpy(float)) <= 1.645 * d
        kinds.setdefault({"r": "numbers", "n": "counts", "w": "of a range"}[name[0]], []).append(near[None])
        ends = hm.conditional(rbm, gaps[out], name)
        if "5%" in ends:
            inside = (ends["5%"].to_numpy() <= x) & (x <= ends["95%"].to_numpy())
            kinds.setdefault(f"quantiles, {name[0]}", []).append(inside[None])
    for kind, parts in kinds.items():
        cells = np.concatenate(parts, 1).astype(float)
        shares = ", ".join(f"{s.mean():.3f} ± {s.std() / s.size**0.5:.3f}" for s in cells)
        print(f"{kind:16} {cells.shape[1]:6,} cells   {shares}", flush=True)


if __name__ == "__main__":
    main()
