"""Where a path begins, and states from which both of its ends are heard."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from harmonium.models import BlockModel, PairwiseModel
from harmonium.models.blocks import State
from harmonium.random import Address
from harmonium.sampling.tempering import Segment
from harmonium.units import Gaussian, Mixed, Tail, Units

BROAD = 0.1  # share of the broad model in a matched one: a reference may be vague, never blind to a mode
PILOT_CHAINS, PILOT_SWEEPS = 128, 48
PROBES = 128  # most starts that are made from single units
SETTLING = 8  # Gibbs sweeps that bring a start to the temperature of the model


def broad(model: BlockModel) -> PairwiseModel:
    """The independent model without biases, uniform where states are bounded: the path from it is a tempering
    of E.
    """
    layers = [copy.deepcopy(layer) for layer in model.layers]
    for layer in layers:
        torch.nn.init.zeros_(layer.bias)
    return PairwiseModel(*layers)


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
        if _closed_form(layer):
            new.match(torch.cat([state[i], vague[i]]), weights)
        else:
            new.bias.copy_(model.field(i, state).mean(0))
        layers.append(new)
    return PairwiseModel(*layers)


def _closed_form(layer: Units) -> bool:
    if isinstance(layer, Mixed):
        return all(_closed_form(part) for part in layer.parts)  # type: ignore[arg-type]
    return isinstance(layer, Gaussian) or not layer.shape_parameters()


def modes(model: BlockModel, address: Address, known: State | None = None) -> State:
    """States of the model from wherever they can be had cheaply: annealing, single units, and what is
    `known`.
    """
    found = [anneal(model, broad(model), address.at(step=0)), probes(model)]
    if known is not None:
        found.append(tuple(x[:PILOT_CHAINS] for x in known))
    state = tuple(torch.cat(blocks) for blocks in zip(*found, strict=True))
    return settle(model, state, SETTLING, address.at(step=PILOT_SWEEPS + 1))


def anneal(model: BlockModel, start: BlockModel, address: Address) -> State:
    """States of chains led from `start` to `model`."""
    state = start.random_state(PILOT_CHAINS, address)
    segment = Segment(start, model)
    for k in range(1, PILOT_SWEEPS + 1):
        beta = state[0].new_full((PILOT_CHAINS, 1), k / PILOT_SWEEPS)
        state = _gibbs(segment, state, beta, address.at(step=address.step + k))
    return state


def _gibbs(segment: Segment, state: State, beta: Tensor, address: Address) -> State:
    new = list(state)
    for block in reversed(range(len(new))):
        new[block] = segment.sample(block, segment.fields(block, tuple(new)), beta, address)
    return tuple(new)


def settle(model: BlockModel, state: State, sweeps: int, address: Address) -> State:
    """The states after some Gibbs sweeps of the model."""
    one = state[0].new_ones(len(state[0]), 1)
    segment = Segment(model, model)
    for k in range(sweeps):
        state = _gibbs(segment, state, one, address.at(step=address.step + k))
    return state


def probes(model: BlockModel) -> State:
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
            state[block] = model.conditional_units(block).mode(model.field(block, tuple(state)))
        state[last] = model.conditional_units(last).mode(model.field(last, tuple(state)))
    return tuple(state)


def spread(model: BlockModel, candidates: State, n: int) -> State:
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


def with_visible(model: BlockModel, v: Tensor, address: Address) -> State:
    """States with these visible rows, the other blocks drawn given what is there already."""
    state = list(model.random_state(len(v), address))
    state[0] = v
    for sweep in range(1, len(state)):
        for block in reversed(range(1, len(state))):
            here = model.block_address(block, address.at(step=address.step + sweep))
            state[block] = model.conditional_units(block).sample(model.field(block, tuple(state)), here)
    return tuple(state)
