"""Samples for the user: `hm.sample`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harmonium import checks, processes, random
from harmonium.models import EnergyModel, path_to
from harmonium.models.energy import energy_model
from harmonium.models.intake import known_states, observed
from harmonium.models.words import known_words
from harmonium.random import Address, Purpose
from harmonium.sampling.chains import Clamp
from harmonium.sampling.gibbs import advance
from harmonium.sampling.hamiltonian import HMC
from harmonium.sampling.sites import SiteGibbs
from harmonium.sampling.start import default_kernel, divides, initial_chains

STAGES = 100  # temperatures on the way: a graph is laid out anew for each
CELLS = 2**20  # of the visible states of chains that run together on a processor,
CELLS_OF_GPU = 2**24  # and on a GPU, which is slow at few


def sample(
    model: EnergyModel,
    n: int = 1,
    given: Any = None,
    *,
    seed: int = 0,
    sweeps: int | None = None,
) -> Any:
    """Draw `n` rows from P(v), or from P(free | given): visible states, or a table where the model has a
    schema.

    Where the states can be enumerated (up to 2¹⁸ of them; for a model with blocks, those of one side, and
    nothing given) or contracted (a Markov random field) the draws are exact and independent. Otherwise each
    row is the end of a Markov chain of its own, `sweeps` long: annealed from independent variables during the
    first half, which lets chains choose among modes while these are still connected, then at the model
    itself.

    Args:
        model: the model.
        n: number of rows.
        given: None, or known visible values with NaN where a unit is free: (n_visible,) or (n, n_visible),
            an array (masked cells are free), a tensor or a DataFrame. For one-hot sites integers will do, one
            for each site. Where the columns have names, {name: value} says only what is known. With a schema
            the values are those of the table, and a table with gaps may lack columns.
        seed: same seed, same samples.
        sweeps: length of the chains; by default 1000 for models with blocks or a graph, 200 sweeps or 400
            trajectories for those that know only their energy. Giving it asks for chains also where exact
            draws are possible.

    Returns:
        Visible states, (n, n_visible), in the dtype of the model; int64 for a Markov random field. A pandas
        DataFrame with the columns, dtypes and categories of the schema where the model has one.

    Raises:
        ValueError: wrong shapes, given values outside the support or of probability zero, or a model whose Z
            may be infinite.

    >>> import harmonium as hm
    >>> rbm = hm.RBM(visible=hm.Bernoulli(3), hidden=hm.Bernoulli(2))
    >>> hm.sample(rbm, 5, seed=1).shape
    torch.Size([5, 3])
    """
    states = sample_states(model, n, given, seed=seed, sweeps=sweeps)
    if model.schema is None:
        return states
    return model.schema.decode(states, None if given is None else known_words(model.schema, given))


def sample_states(
    model: EnergyModel,
    n: int = 1,
    given: Any = None,
    *,
    seed: int = 0,
    sweeps: int | None = None,
) -> Tensor:
    """The same as visible states, whether the model has a schema or not; arguments are those of `sample`."""
    n = checks.integer("n", checks.positive_integer("n", n), 1, random.CHAINS)
    reason = energy_model("model", model).reason_not_normalizable()
    if reason:
        raise ValueError(f"model: {reason}")
    if given is None and model.context is not None:
        raise ValueError("given: expected the context of every row: this model is of the rest given it.")
    clamp = None if given is None else clamp_from(model, given, n)
    v = observed(model, _drawn(model, n, clamp, Address(seed, Purpose.SAMPLE), sweeps))
    return v.long() if model.whole_states else v


def completed_states(
    model: EnergyModel, v: Tensor, *, seed: int, sweeps: int | None = None, chain: int = 0
) -> Tensor:
    """Rows of visible states, (rows, n_visible), with what is NaN drawn given the rest of the row; of many
    rows those from number `chain` on.
    """
    address = Address(seed, Purpose.SAMPLE, chain=chain)
    return _drawn(model, len(v), Clamp(~torch.isnan(v), v), address, sweeps).to(v)


def _drawn(model: EnergyModel, n: int, clamp: Clamp | None, address: Address, sweeps: int | None) -> Tensor:
    """`n` visible states."""
    if model.normaliser is not model:
        if clamp is not None:
            raise ValueError(
                "model: a deep belief network draws whole rows, downwards, and can't complete a part of one."
            )
        return model.downwards(_drawn(model.normaliser, n, None, address, sweeps), address.at(step=2**40))
    if sweeps is None:
        exact = model.exact_sample(n, address, None if clamp is None else _known(clamp))
        if exact is not None:
            return exact
    return _divided(model, n, sweeps, clamp, address)


def clamp_from(model: EnergyModel, given: Any, n: int) -> Clamp:
    """A clamp from values with NaN where free, checked against the support of the visible variables."""
    values = known_states(model, given, n)
    return Clamp(~torch.isnan(values), values)


def _known(clamp: Clamp) -> Tensor:
    """What is held, NaN where free."""
    return torch.where(clamp.held, clamp.values.double(), torch.nan)


def _divided(model: EnergyModel, n: int, sweeps: int | None, clamp: Clamp | None, address: Address) -> Tensor:
    """What `_annealed` draws, each process a share of the chains; all of them where chains share what they
    adapt, or are fewer than processes.
    """
    if not divides(model, clamp):
        with processes.repeating():
            return _annealed(model, n, sweeps, clamp, address)
    if processes.count() == 1 or n < processes.count():
        with processes.repeating():
            return _in_parts(model, slice(0, n), sweeps, clamp, address)
    return processes.gather(_in_parts(model, processes.share(n), sweeps, clamp, address))


def together(model: EnergyModel) -> int:
    """How many chains run together: what a sweep needs beside their states is many times these."""
    cells = CELLS if model.device.type == "cpu" else CELLS_OF_GPU
    return max(1, cells // model.visible_space.width)


def _in_parts(
    model: EnergyModel, own: slice, sweeps: int | None, clamp: Clamp | None, address: Address
) -> Tensor:
    """What `_annealed` draws of some chains, which have nothing to do with each other, part by part."""
    drawn = []
    for start in range(own.start, own.stop, together(model)):
        part = slice(start, min(start + together(model), own.stop))
        held = clamp
        if clamp is not None:
            held = Clamp(*(x if x.ndim == 1 else x[part] for x in (clamp.held, clamp.values)))
        here = address.at(chain=address.chain + start)
        drawn.append(_annealed(model, processes.size(part), sweeps, held, here))
    return drawn[0] if len(drawn) == 1 else torch.cat(drawn)


def _annealed(
    model: EnergyModel, n: int, sweeps: int | None, clamp: Clamp | None, address: Address
) -> Tensor:
    kernel = default_kernel(model, clamp)
    if sweeps is None:
        sweeps = {SiteGibbs: 200, HMC: 400}.get(type(kernel), 1000)
    sweeps = checks.positive_integer("sweeps", sweeps)
    # what a field forbids costs a finite price at first: chains that begin anywhere can get to what it allows
    soft = model.softened()
    chains = initial_chains(soft, n, address)
    if clamp is not None:
        chains = chains.with_visible(clamp.apply(chains.visible))
    path, heating = path_to(soft), sweeps // 2
    stages = min(STAGES, heating)
    for k in range(stages):
        steps = heating * (k + 1) // stages - heating * k // stages
        chains = advance(kernel, path.at((k + 1) / stages), chains, steps)
    if soft is not model:
        allowed = model.obedient(chains.visible, chains.address, None if clamp is None else _known(clamp))
        chains = chains.moved((allowed,))
    rest = sweeps - heating
    if isinstance(kernel, HMC):
        chains, rest = advance(kernel, model, chains, rest // 2), rest - rest // 2
        kernel = kernel.fixed(chains)  # from here on the invariant distribution is exact
    return advance(kernel, model, chains, rest).visible
