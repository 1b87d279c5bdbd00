"""Where a path begins, and states from which both of its ends are heard."""

from __future__ import annotations

import copy
from functools import singledispatch

import torch

from harmonium.models import BlockModel, EnergyModel, PairwiseModel
from harmonium.random import Address
from harmonium.sampling.chains import State
from harmonium.sampling.segments import Segment
from harmonium.sampling.tempering import broad
from harmonium.units import Tail

BROAD = 0.1  # share of the broad model in a matched one: a reference may be vague, never blind to a mode
PILOT_CHAINS, PILOT_SWEEPS = 128, 48
PROBES = 128  # most starts that are made from single units
SETTLING = 8  # Gibbs sweeps that bring a start to the temperature of the model


def matched(model: BlockModel, state: State, address: Address) -> PairwiseModel:
    """The independent model with the moments of `state`, kept broad.

    Units whose parameters have no closed form keep their shape and take their mean field as bias.
    """
    rows = len(state[0])
    vague = broad(model).random_state(rows, address)
    weights = torch.cat([torch.full((rows,), 1.0 - BROAD), torch.full((rows,), BROAD)]).to(state[0])
    layers = []
    for i, layer in enumerate(model.layers):
        new = copy.deepcopy(layer)
        if layer.matched_in_closed_form():
            new.match(torch.cat([state[i], vague[i]]), weights)
        else:
            new.bias.copy_(model.field(i, state).mean(0))
        layers.append(new)
    return PairwiseModel(*layers)


def modes(model: EnergyModel, address: Address, known: State | None = None) -> State:
    """States of the model from wherever they can be had cheaply: annealing, single units, and what is
    `known`.
    """
    start = broad(model)
    path = Segment(start, model)
    found = [start.random_state(PILOT_CHAINS, address)]
    for k in range(1, PILOT_SWEEPS + 1):
        found[0] = _moved(path, found[0], k / PILOT_SWEEPS, address.at(step=address.step + k))
    found += probes(model)
    if known is not None:
        found.append(known)
    state = tuple(torch.cat(blocks) for blocks in zip(*found, strict=True))
    for k in range(SETTLING):
        state = _moved(path, state, 1.0, address.at(step=address.step + PILOT_SWEEPS + 1 + k))
    return state


def _moved(path: Segment, state: State, beta: float, address: Address) -> State:
    return path.look(state).sweep(state[0].new_full((len(state[0]), 1), beta), address)


@singledispatch
def probes(model: EnergyModel) -> list[State]:
    """States where single units of the model lead; none where it names no blocks."""
    return []


@probes.register(BlockModel)
def _(model: BlockModel) -> list[State]:
    """States led by one unit each: a site of the last block is pushed to an extreme, and the others follow
    it.

    They find narrow modes that annealing misses, as long as a unit of the model stands for them.
    """
    layers, last = model.layers, len(model.layers) - 1
    width = layers[last].width
    columns = torch.linspace(0, width - 1, min(width, PROBES // 2)).long()
    push = 1e4 if layers[last].tail is Tail.BOUNDED else 6.0
    field = layers[last].bias.repeat(2 * len(columns), 1)
    rows = torch.arange(len(columns))
    field[rows, columns] += push
    field[rows + len(columns), columns] -= push
    state = [layer.mode(layer.bias.expand(len(field), layer.width)) for layer in layers]
    state[last] = layers[last].mode(field)
    for _ in range(2):  # the others adapt to the pushed site, then everything to everything
        for block in range(last):
            state[block] = model.units_in(block, tuple(state)).mode(model.field(block, tuple(state)))
        state[last] = model.units_in(last, tuple(state)).mode(model.field(last, tuple(state)))
    return [tuple(state)]


def spread(model: EnergyModel, candidates: State, n: int) -> State:
    """`n` of the candidates: the most probable ones, and others as far from them and from each other as
    possible.
    """
    order = torch.argsort(model.energy(*candidates))
    points = candidates[0][order[: max(n, 3 * len(order) // 4)]]
    chosen = [0]
    nearest = ((points - points[0]) ** 2).sum(-1)
    while len(chosen) < n:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(-1))
    return tuple(x[order[chosen]] for x in candidates)
