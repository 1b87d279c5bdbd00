"""What test_processes.py has done by one process and by two: numbers that must be the same."""

from unittest.mock import patch

import numpy as np
import torch
from torch import distributed
from torch.multiprocessing import get_context

import harmonium as hm
from harmonium import data, processes
from harmonium.data import dataset, laid_out
from harmonium.learning import (
    Batches,
    Centring,
    FreeCells,
    GradientDescent,
    Learner,
    NaturalGradient,
    SharedNaturalGradient,
    train,
)
from harmonium.learning.algorithms import algorithm
from harmonium.likelihood.partition import annealed_log_partition
from harmonium.likelihood.tempered import Budget
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose

SMALL = ("exact", "ancestral")  # sums over all states


def states(rows, columns, seed=0):
    address = Address(seed, Purpose.TRIAL)
    shares = hm.kernels.uniform(address, (rows, 1), torch.float64)
    return (hm.kernels.uniform(address.at(step=1), (rows, columns), torch.float64) < shares).double()


def of_algorithm(name):
    """Parameters and states after some updates."""
    n, h = (6, 4) if name in SMALL else (12, 9)
    rbm, x = hm.RBM(hm.Bernoulli(n), hm.Bernoulli(h), dtype=torch.float64), states(210, n)
    return trained(rbm, x, algorithm(name, 40, 2, 0), [NaturalGradient()], weighted=name != "cd")


def trained(model, x, negatives, transforms, steps=9, weighted=True):
    rows = rows_of(model, x, free=True)
    free = FreeCells(rows.pieces(), model) if rows.free else None
    weights = torch.arange(1.0, 1.0 + len(x)) if weighted else None
    batches = Batches(rows.x, 50, rows.prepare, weights)
    optimiser = GradientDescent(model.parameters(), 0.1)
    learner = Learner(model, batches, negatives, optimiser, transforms, free_cells=free)
    train(learner, steps)
    with processes.repeating(not negatives.divides):
        return {**{k: p.detach() for k, p in model.named_parameters()}, **learner.state_dict()}


def of_gaps():
    x = states(120, 8)
    x[::3, 2], x[1::4, 5] = torch.nan, torch.nan
    rbm = hm.RBM(hm.Bernoulli(8), hm.Bernoulli(6), dtype=torch.float64)
    return trained(rbm, x, algorithm("pcd", 20, 1, 0), [NaturalGradient()])


def of_real_columns():
    x = 3.0 + torch.special.ndtri(hm.kernels.uniform(Address(1, Purpose.TRIAL), (150, 5), torch.float64))
    rbm = hm.RBM(hm.Mixed(hm.Gaussian(2), hm.DReLU(3)), hm.Bernoulli(6), dtype=torch.float64)
    return trained(rbm, x, algorithm("pcd", 30, 1, 0), [NaturalGradient()])


def of_filters():
    """The Fisher information of all filters, with hidden states drawn for it."""
    x = states(150, 36)
    pools = hm.ConvolutionalRBM((1, 6, 6), 3, 3, pool=2, dtype=torch.float64)
    found = trained(pools, x, algorithm("pcd", 30, 1, 0), [SharedNaturalGradient(seed=3)])
    return found | {
        f"plain/{k}": x
        for k, x in trained(
            hm.ConvolutionalRBM((1, 36), 2, 5, dtype=torch.float64),
            x,
            algorithm("cd", 30, 1, 0),
            [SharedNaturalGradient()],
        ).items()
    }


def of_graphs():
    boltzmann = hm.BoltzmannMachine(7, 3, dtype=torch.float64)
    found = trained(boltzmann, states(100, 7), algorithm("pcd", 30, 2, 0), [])
    field = hm.MarkovRandomField([2] * 5, [((i, i + 1), torch.zeros(2, 2)) for i in range(4)])
    return found | {
        f"field/{k}": x for k, x in trained(field, states(100, 5), algorithm("cd", 30, 1, 0), []).items()
    }


def of_one_row_each():
    """Batches of which a process may have no row at all."""
    rbm = hm.RBM(hm.Categorical(3, states=3), hm.Bernoulli(6), dtype=torch.float64)
    rows = rows_of(rbm, (3 * states(20, 3).cumsum(0)).remainder(3))
    batches = Batches(rows.x, 1, rows.prepare)
    learner = Learner(
        rbm, batches, algorithm("cd", 1, 1, 0), GradientDescent(rbm.parameters(), 0.1), [Centring()]
    )
    train(learner, 8)
    return {k: p.detach() for k, p in rbm.named_parameters()}


def of_fit(folder):
    """A run with measurements, rules and a checkpoint, gone on with; its answers."""
    x = states(400, 14)
    rbm = hm.RBM(hm.Bernoulli(14), hm.Bernoulli(16), dtype=torch.float64)
    file = folder / f"run{processes.count()}.safetensors"
    settings = {"steps": 60, "seed": 2, "chains": 64, "batch_size": 64, "checkpoint": file}
    history = hm.fit(rbm, x, negatives="pcd", **settings)
    again = hm.RBM(hm.Bernoulli(14), hm.Bernoulli(16), dtype=torch.float64)
    resumed = hm.fit(again, x, negatives="pcd", resume=True, **settings)
    assert resumed.records == history.records
    found = {k: p.detach() for k, p in rbm.named_parameters()}
    found |= {f"again/{k}": p.detach() for k, p in again.named_parameters()}
    for i, record in enumerate(history.records):
        kept = {
            k: v
            for k, v in record.items()
            if isinstance(v, float) and k not in ("seconds", "updates_per_second")
        }
        found |= {f"record/{i}/{k}": torch.tensor(v) for k, v in kept.items()}
    found["sample"] = hm.sample(rbm, 7, sweeps=20)
    found["given"] = hm.sample(rbm, 5, [1.0] + 13 * [torch.nan], sweeps=20)
    estimate = annealed_log_partition(rbm, Budget(0.02), 0)
    found["log_partition"] = torch.tensor([estimate.value, estimate.low, estimate.high])
    found["log_likelihood"] = torch.tensor(hm.log_likelihood(rbm, x).value)
    return found


def of_parquet(folder):
    """The rows of a file that counts as large: one process unpacks it, and all of them map it."""
    from pandas import DataFrame

    file = folder / "x.parquet"
    if processes.first():
        table = DataFrame(states(100, 5).to(torch.uint8).numpy(), columns=list("abcde"))
        table.to_parquet(folder / "new", row_group_size=7)
        (folder / "new").rename(file)
    processes.from_first(0)  # by now it is there
    with patch.object(laid_out, "IN_MEMORY", 400), patch.object(dataset, "IN_MEMORY", 400):
        found = data.load(file)
    assert isinstance(found.train.base, np.memmap) and found.columns == tuple("abcde") and found.frame is None
    assert not laid_out._place(file).exists()
    return {name: torch.from_numpy(found.part(name).copy()) for name in ("train", "valid", "test")}


def of_all(folder):
    found = {
        name: of_algorithm(name) for name in ("pcd", "pt", "cd", "restart", "stochastic-pl", "fpcd", *SMALL)
    }
    found |= {
        "gaps": of_gaps(),
        "real": of_real_columns(),
        "filters": of_filters(),
        "graphs": of_graphs(),
        "one": of_one_row_each(),
    }
    return found | {"fit": of_fit(folder), "parquet": of_parquet(folder)}


def _worker(rank, count, folder, work, answers):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
    answer = work(folder)
    if processes.first():
        torch.save(answer, folder / "answer.pt")
    distributed.destroy_process_group()


def by_processes(count, folder, work):
    """What the first of so many processes answers."""
    context = get_context("spawn")
    workers = [context.Process(target=_worker, args=(k, count, folder, work, None)) for k in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * count
    return torch.load(folder / "answer.pt")
