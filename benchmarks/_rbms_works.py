"""The same pieces of work through rbms (https://pypi.org/project/rbms)."""

from __future__ import annotations

import sys

from _inputs import N_ROWS, rows
from _serve import Work, serve

try:
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.classes import RBM
    from rbms.partition_function.ais import compute_partition_function_ais
    from rbms.partition_function.exact import compute_partition_function
    from rbms.potts_bernoulli.classes import PBRBM
    from rbms.potts_bernoulli.utils import ensure_zero_sum_gauge
    from rbms.training.pcd import fit_batch_pcd
    from rbms.utils import get_categorical_configurations
except ImportError:
    sys.exit(3)


def machine(visible: int, hidden: int, states: int = 2, scale: float = 0.05) -> RBM:
    """An RBM with couplings of standard deviation `scale`."""
    torch.manual_seed(0)
    sites = (visible,) if states == 2 else (visible, states)
    return (BBRBM if states == 2 else PBRBM)(
        scale * torch.randn(*sites, hidden), torch.zeros(sites), torch.zeros(hidden)
    )


def update(visible: int, hidden: int, *, batch: int = 256, k: int = 1, states: int = 2) -> Work:
    """One update as in `rbms.training.pcd.train`, without the file that it rewrites each time."""
    params = machine(visible, hidden, states, 0.01)
    params.init_grad()
    data = torch.from_numpy(rows(N_ROWS, visible, states)).float()
    weights = torch.ones(N_ROWS)
    chains = params.init_chains(batch)
    optimiser = torch.optim.SGD(params.parameters(), lr=0.01, maximize=True)

    @torch.no_grad()
    def work() -> None:
        nonlocal chains
        chosen = torch.randperm(N_ROWS)[:batch]
        optimiser.zero_grad(set_to_none=False)
        chains, _ = fit_batch_pcd((data[chosen], weights[chosen]), chains, params, k, 1.0)
        optimiser.step()
        if states > 2:
            ensure_zero_sum_gauge(params)

    return work


def sweep(visible: int, hidden: int, *, chains: int, states: int = 2, k: int = 10) -> Work:
    """k Gibbs sweeps in one call, which ends with one more draw of the hidden units."""
    params = machine(visible, hidden, states)
    state = params.init_chains(chains)

    @torch.no_grad()
    def work() -> None:
        nonlocal state
        state = params.sample_state(state, k)

    return work


def annealing(visible: int, hidden: int, *, chains: int, temperatures: int) -> Work:
    """log Z by annealed importance sampling."""
    params = machine(visible, hidden)

    @torch.no_grad()
    def work() -> float:
        return compute_partition_function_ais(chains, temperatures, params)

    return work


def exact(visible: int, hidden: int) -> Work:
    """log Z by summing over the states of the hidden units, which are listed beforehand."""
    params, states = machine(visible, hidden), get_categorical_configurations(2, hidden)

    @torch.no_grad()
    def work() -> float:
        return compute_partition_function(params, states)

    return work


if __name__ == "__main__":
    serve({work.__name__: work for work in (update, sweep, annealing, exact)})
