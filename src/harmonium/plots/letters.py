"""Weights over sequences as letters: what each hidden unit looks for, place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium import checks
from harmonium.plots import style
from harmonium.plots.tiles import WIDTH, largest_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

NUCLEOTIDES = {"A": "#009e73", "C": "#0072b2", "G": "#e69f00", "T": "#d55e00", "U": "#d55e00"}
AMINO_ACIDS = {  # acidic, basic, polar, aromatic; what is left, mostly oily, is in ink
    **dict.fromkeys("DE", "#d55e00"),
    **dict.fromkeys("KRH", "#0072b2"),
    **dict.fromkeys("STNQCGP", "#009e73"),
    **dict.fromkeys("FWY", "#cc79a7"),
}
SMALLEST = 0.02
"""Letters of less than this share of the tallest stack are left out: nobody could read them."""


def logos(weight: Any, letters: str, most: int = 8) -> Figure:
    """The weights of hidden units to one-hot sites as sequence logos, those with the largest norm first.

    A letter is as tall as its weight, in the gauge in which the weights of a site sum to zero: letters above
    the line raise the hidden unit's field, those below lower it.

    Args:
        weight: (sites·states, n_hidden), as `rbm.weight` of an RBM with `Categorical` visible units.
        letters: one for each state, in their order, such as "ACGT".
        most: hidden units to show.

    Raises:
        ValueError: the number of rows is no multiple of the number of letters.
    """
    table = style.numbers("weight", weight)
    states = len(letters)
    if states < 2 or table.ndim != 2 or len(table) == 0 or len(table) % states:
        raise ValueError(
            f"letters must be one for each state of a site, got {states} for weights of shape {table.shape}."
        )
    sites = table.reshape(-1, states, table.shape[1])
    centred = (sites - sites.mean(1, keepdims=True)).reshape(table.shape)
    chosen = largest_columns(centred, checks.positive_integer("most", most)).reshape(-1, len(sites), states)
    top = max(float(np.maximum(sign * chosen, 0.0).sum(-1).max()) for sign in (1, -1)) or 1.0
    fig = style.figure(max(WIDTH, 0.12 * len(sites)), 1.15 * len(chosen) + 0.4)
    shapes = {letter: _outline(letter) for letter in letters}
    for unit, (ax, stack) in enumerate(
        zip(fig.subplots(len(chosen), squeeze=False)[:, 0], chosen, strict=True)
    ):
        last = unit == len(chosen) - 1
        style.axes(ax, "", "site" if last else "", f"{unit + 1}")
        _draw(ax, stack, letters, shapes, SMALLEST * top)
        ax.yaxis.label.set_rotation(0)
        ax.locator_params(axis="x", integer=True)
        ax.set(xlim=(-0.6, len(sites) - 0.4), ylim=(-1.05 * top, 1.05 * top))
        ax.axhline(0.0, color=style.LINE, lw=0.8, zorder=0)
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(bottom=last, labelbottom=last)
    return fig


def _draw(ax: Axes, stack: np.ndarray, letters: str, shapes: dict[str, Path], least: float) -> None:
    """The letters of one hidden unit, (sites, states): the largest farthest from the line."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    paths, colours = [], []
    for site, weights in enumerate(stack):
        ends = {1: 0.0, -1: 0.0}
        for k in np.argsort(np.abs(weights), kind="stable"):
            height, sign = float(weights[k]), 1 if weights[k] > 0 else -1
            if abs(height) >= least:
                shape = shapes[letters[k]]
                corner = (site - 0.46, min(ends[sign], ends[sign] + height))
                vertices = np.asarray(shape.vertices) * (0.92, abs(height)) + corner
                paths.append(Path(vertices, shape.codes))
                colours.append(colour_of(letters[k], letters))
            ends[sign] += height
    ax.add_collection(PathCollection(paths, facecolors=colours, lw=0))


def colour_of(letter: str, letters: str) -> str:
    """The colour of a letter: that of a nucleotide or an amino acid where the alphabet is theirs.

    >>> colour_of("G", "ACGT"), colour_of("K", "ACDEFGHIKLMNPQRSTVWY-"), colour_of("K", "KL")
    ('#e69f00', '#0072b2', '#1f2329')
    """
    known = set(letters.upper())
    if known <= {*NUCLEOTIDES, *"-.N"}:
        return NUCLEOTIDES.get(letter.upper(), style.MUTED)
    if known >= set("ACDEFGHIKLMNPQRSTVWY"):
        return AMINO_ACIDS.get(letter.upper(), style.INK if letter.isalpha() else style.MUTED)
    return style.INK


def _outline(letter: str) -> Path:
    """A letter that fills the unit square."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    path = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    vertices = np.asarray(path.vertices)
    low, size = vertices.min(0), np.ptp(vertices, axis=0)
    width = max(float(size[0]), 0.6 * float(size.max()))  # an I stays slim, a dash flat
    height = max(float(size[1]), 0.6 * float(size.max()))
    middle = (0.5 * (1 - size[0] / width), 0.5 * (1 - size[1] / height))
    return Path((vertices - low) / (width, height) + middle, path.codes)
