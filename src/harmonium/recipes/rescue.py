"""When training runs away: back to the best parameters seen, with half the step size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harmonium.learning import Average, Learner, NaturalGradient, PersistentChains, TemperedChains
from harmonium.recipes.history import Record
from harmonium.sampling import initial_chains

TOLERANCE = 1.0, 0.2, 5.0  # a fall of so many nats, plus this share of the gain so far, plus standard errors
MOST = 6  # halvings; a run that still runs away then is given up


def ran_away(records: Sequence[Record]) -> bool:
    """Whether the newest record's likelihood of the training rows lies far below the best one's.

    Likelihoods of training rows rise, up to noise: a deep fall means that the chains have lost the model.
    """
    name = "train_log_likelihood"
    seen = [r for r in records if name in r]
    if not seen:
        return False
    first, best, newest = seen[0][name], max(r[name] for r in seen), seen[-1]
    nats, share, errors = TOLERANCE
    allowed = nats + share * (best - first) + errors * float(newest["log_partition_stderr"])
    return bool(newest[name] < best - allowed)


def go_back(learner: Learner, average: Average, state: Mapping[str, Tensor], rows: Tensor) -> None:
    """Put model, average and optimiser back to `state`, and start chains anew from rows of data."""
    learner.model.load_state_dict(state)
    average.restart(learner.model)
    if isinstance(learner.optimiser, torch.optim.Optimizer):
        learner.optimiser.state.clear()
    for transform in learner.transforms:
        if isinstance(transform, NaturalGradient):
            transform.forget()
    chains = learner.negatives
    if isinstance(chains, PersistentChains) and chains.chains is not None:
        start = rows[[i % len(rows) for i in range(chains.n)]]
        chains.chains = initial_chains(learner.model, chains.n, chains.chains.address, start)
    elif isinstance(chains, TemperedChains) and chains.replicas is not None:
        chains.restart(learner.model)
