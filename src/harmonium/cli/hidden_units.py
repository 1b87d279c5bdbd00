"""The section of the report on what hidden units look for: weights, or filters and their maps."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from harmonium import plots
from harmonium.data import Dataset
from harmonium.models import ConvolutionalRBM, DeepBeliefNetwork, EnergyModel
from harmonium.models.intake import states_of
from harmonium.plots.page import Section

MOST_SITES = 80
"""Columns of categories whose weights are shown as letters; more would be too small to read."""
PICTURES, MAPS = 4, 8
"""Rows whose feature maps are shown, and filters that they are shown of."""
RED = "under red raises the hidden unit's field, one under blue lowers it."


@singledispatch
def section(model: EnergyModel, data: Dataset, rows: np.ndarray) -> Section | None:
    """Weights of the hidden units next to the data; None for a model that has none.

    Args:
        model: the model.
        data: what it has learned from.
        rows: some training rows, whole, (n, columns).
    """
    below = model.of_observed().as_pairwise()
    if below is None or not below.couplings():
        return None
    visible, weight = below.layers[0], below.couplings()[0].weight.detach()
    text = "The weights of each hidden unit, those with the largest norm first. "
    states = visible.cardinality or 0
    if visible.one_hot and states <= 10 and visible.n <= MOST_SITES:
        figure = plots.logos(weight, "0123456789"[:states])
        text += (
            "A number is a state of its column, as tall as its weight: above the line it raises the hidden"
            " unit's field, below it lowers it."
        )
    else:
        same = visible.width == data.width
        pixels, names = (data.shape, data.columns) if same else (None, None)
        figure = plots.filters(weight, pixels, names=names)
        text += f"A visible unit {RED}"
    return Section("What the hidden units look for", text, [(figure, "weights of the hidden units")])


@section.register(DeepBeliefNetwork)
def _(model: DeepBeliefNetwork, data: Dataset, rows: np.ndarray) -> Section | None:
    return section(model.rbms()[0], data, rows)


@section.register(ConvolutionalRBM)
def _(model: ConvolutionalRBM, data: Dataset, rows: np.ndarray) -> Section:
    """The filters, one channel beside the next, and where a few rows have what they look for."""
    filters = model.filters.detach()
    order = filters.flatten(1).norm(dim=1).argsort(descending=True)
    pictured, kernel = len(model.coupling.geometry.kernel) == 2, tuple(filters.shape[2:])
    shape = (kernel[0], kernel[1]) if pictured else None
    weights = plots.filters(filters[order].flatten(0, 1).flatten(1).T, shape)
    maps = _maps(model, states_of(model, rows[:: max(1, len(rows) // PICTURES)][:PICTURES]), order[:MAPS])
    places = maps.shape[2:]
    grid = (int(places[0]), int(places[1])) if pictured else None
    figure = plots.tiles(maps.flatten(0, 1).flatten(1).cpu().numpy(), grid, columns=maps.shape[1])
    channels = ", the channels of one next to each other" if filters.shape[1] > 1 else ""
    text = (
        f"Each filter slides over {'the picture' if pictured else 'the sequence'}, those with the largest"
        f" norm first{channels}. A visible unit {RED} Below, for {maps.shape[0]} training rows the means of"
        f" the hidden units of the first {maps.shape[1]} filters, place by place: a row of maps for each row"
        " of data."
    )
    alt = "means of the hidden units, place by place"
    return Section("What the filters look for", text, [(weights, "filters"), (figure, alt)])


def _maps(model: ConvolutionalRBM, v: Tensor, chosen: Tensor) -> Tensor:
    """(rows, chosen filters, *places)."""
    maps: Tensor = model.maps(v)
    return torch.index_select(maps, 1, chosen)
