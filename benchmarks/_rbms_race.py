"""Training on a data set by rbms: DATA OUT SECONDS SETTINGS -> snapshots and their times."""

import time

START = time.perf_counter()

import json
import sys

import numpy as np
from _snapshots import Snapshots

try:
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.dataset.dataset_class import RBMDataset
    from rbms.training.pcd import fit_batch_pcd
except ImportError:
    sys.exit(3)


@torch.no_grad()
def main(file: str, out: str, seconds: float, settings: dict) -> None:
    """Its loop, without the file that it rewrites at each update."""
    with np.load(file) as data:
        x = data["train"]
    n = len(x)
    rows = RBMDataset(x, -np.ones(n), np.ones(n), np.arange(n), file, True, "cpu")
    torch.manual_seed(settings.get("seed", 0))
    params = BBRBM.init_parameters(settings["hidden"], rows, torch.device("cpu"), torch.float32)
    params.init_grad()
    chains = params.init_chains(settings["chains"])
    optimiser = torch.optim.SGD(params.parameters(), lr=settings["learning_rate"], maximize=True)
    snapshots, spent, step = Snapshots(START, settings), 0.0, 0
    while spent < seconds:
        chosen = torch.randperm(n)[: settings["batch"]]
        optimiser.zero_grad(set_to_none=False)
        chains, _ = fit_batch_pcd(
            (rows.data[chosen], rows.weights[chosen]), chains, params, settings["k"], 1.0
        )
        optimiser.step()
        step += 1
        if step % settings["every"] == 0:
            spent = snapshots.add(p.numpy() for p in params.parameters())
    snapshots.save(out, step)


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4]))
