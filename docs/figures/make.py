"""The pictures of docs/derivation.md: `python docs/figures/make.py [name ...]`, all where none is named."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import networkx as nx
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

import harmonium as hm
from harmonium import kernels
from harmonium.models.elimination import neighbours
from harmonium.random import Address, Purpose

HERE = Path(__file__).parent
INK, BLUE, ORANGE, GREY, PALE = "#22303c", "#1f6fa8", "#d9762b", "#9aa5ae", "#e8edf1"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "savefig.dpi": 150,
}


def normal(*shape: int, step: int = 0) -> torch.Tensor:
    """Standard normal numbers, the same on every machine."""
    count = int(torch.tensor(shape).prod())
    u = kernels.uniform(Address(1, Purpose.TRIAL, step=step), (1, count), torch.float64)
    return torch.special.ndtri(u).reshape(shape)


def softmax() -> Figure:
    """Energies of the twelve states of section 1, and their probabilities."""

    class Triple(hm.EnergyModel):
        def __init__(self) -> None:
            super().__init__(states=[2, 3, 2])

        def energy(self, x: torch.Tensor) -> torch.Tensor:
            return -0.8 * x[:, 0] * x[:, 1] * x[:, 2] + 0.3 * x[:, 1]

    model = Triple()
    states = model.visible_space.states(torch.arange(12))
    names = ["".join(str(int(c)) for c in row) for row in states]
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.bar(names, model.energy(states), color=GREY)
    top.axhline(0, color=INK, linewidth=0.6)
    top.set_ylabel("E(x)")
    bottom.bar(names, model.probabilities(), color=BLUE)
    bottom.set(ylabel="p(x)", xlabel="state x")
    return figure


def free_energy() -> Figure:
    """The joint table P(v, h) of section 2 with its margin P(v) = exp(-F(v)) / Z."""
    w = normal(3, 2)

    class Joint(hm.EnergyModel):
        def __init__(self) -> None:
            super().__init__(states=[2, 2, 2], hidden_states=[2, 3])

        def energy(self, v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            return -((v @ w.float()) * h).sum(1) - 0.5 * v[:, 0] * h[:, 0] * h[:, 1]

    model = Joint()
    v, h = model.visible_space.states(torch.arange(8)), model.hidden_space.states(torch.arange(6))
    log_p = -model.energy(v.repeat_interleave(6, 0), h.repeat(8, 1))
    table = torch.softmax(log_p, 0).reshape(8, 6).T
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1, 1.4))
    top.bar(range(8), model.probabilities(), color=BLUE, width=0.9)
    top.set(ylabel="P(v) = $e^{-F(v)}/Z$", xticks=[], xlim=(-0.5, 7.5))
    image = bottom.imshow(table, cmap="Blues", aspect="auto")
    bottom.set_xticks(range(8), ["".join(str(int(c)) for c in row) for row in v])
    bottom.set_yticks(range(6), ["".join(str(int(c)) for c in row) for row in h])
    bottom.set(xlabel="v", ylabel="h")
    figure.colorbar(image, ax=bottom, label="P(v, h)", pad=0.01)
    return figure


def gradient() -> Figure:
    """One step of exact learning on a line of 60 states: both phases, and what they do to F."""

    class Line(hm.EnergyModel):
        def __init__(self) -> None:
            super().__init__(states=[60])
            place = torch.arange(60.0)
            self.values = nn.Parameter(
                0.002 * (place - 42) ** 2 - 1.2 * torch.exp(-(((place - 44) / 5) ** 2))
            )

        def energy(self, x: torch.Tensor) -> torch.Tensor:
            return self.values[x[:, 0].long()]

    model, place = Line(), torch.arange(60)
    wanted = torch.exp(-(((place - 18) / 4.0) ** 2)) + 0.6 * torch.exp(-(((place - 34) / 3.0) ** 2))
    wanted = wanted / wanted.sum()
    before, dreamt = model.values.detach().clone(), model.probabilities()
    x = place[:, None].float()
    model.accumulate_gradient(x, wanted)
    model.accumulate_gradient(x, -dreamt.float())
    after = before - 25.0 * model.values.grad
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.fill_between(place, wanted, color=BLUE, alpha=0.6, linewidth=0, label="data: F goes down")
    top.fill_between(place, dreamt, color=ORANGE, alpha=0.6, linewidth=0, label="model: F goes up")
    top.set(ylabel="probability", yticks=[])
    top.legend(frameon=False)
    bottom.plot(place, before, color=GREY, label="F before")
    bottom.plot(place, after, color=INK, label="F after a step")
    bottom.set(xlabel="v", ylabel="F(v)", yticks=[])
    bottom.legend(frameon=False)
    return figure


def draw_graph(
    axis: Axes, graph: nx.Graph, place: dict, colours: list[str], labels: dict | None = None
) -> None:
    """Nodes and edges in the style of this page."""
    nx.draw_networkx_edges(graph, place, ax=axis, edge_color=GREY, width=1.2)
    nx.draw_networkx_nodes(
        graph, place, ax=axis, node_color=colours, edgecolors=INK, linewidths=0.8, node_size=330
    )
    names = labels or {name: str(name) for name in graph}
    for name, colour in zip(graph, colours, strict=True):
        dark = colour == BLUE
        nx.draw_networkx_labels(
            graph, place, {name: names[name]}, ax=axis, font_size=9, font_color="white" if dark else INK
        )
    axis.set_axis_off()
    axis.margins(0.15)


def markov() -> Figure:
    """A graph, its maximal cliques, and a node that separates two others."""
    graph = nx.Graph([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("d", "f")])
    place = {"a": (0, 1), "b": (0, 0), "c": (1, 0.5), "d": (2, 0.5), "e": (3, 1), "f": (3, 0)}
    figure = Figure(figsize=(6.8, 2.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for clique, colour in zip(nx.find_cliques(graph), ("#cfe2ef", "#f6dcc6", "#d5e6d8"), strict=True):
        corners = [place[name] for name in clique]
        left.fill(*zip(*corners, strict=True), color=colour, linewidth=16, joinstyle="round")
    draw_graph(left, graph, place, ["white"] * 6)
    left.set_title("three maximal cliques, three potentials")
    draw_graph(
        right, graph, place, [PALE if name in "ab" else ORANGE if name == "c" else BLUE for name in graph]
    )
    right.set_title("c separates a, b from d, e, f")
    return figure


def elimination() -> Figure:
    """What is joined when variables of a grid are summed out row by row."""
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(5, 5), ordering="sorted")
    place = {k: (k % 5, -(k // 5)) for k in graph}
    around = neighbours([tuple(edge) for edge in graph.edges], 25)
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = figure.subplots(1, 3)
    gone: list[int] = []
    for axis, stop in zip(axes, (2, 7, 13), strict=True):
        while len(gone) < stop:
            v = len(gone)
            for u in around[v]:
                around[u] = (around[u] | around[v]) - {u, v}
            gone.append(v)
        v = len(gone)
        colours = [
            PALE if k < v else ORANGE if k == v else BLUE if k in around[v] else "white" for k in graph
        ]
        draw_graph(axis, graph, place, colours, dict.fromkeys(graph, ""))
        axis.set_title(f"table over {len(around[v]) + 1} variables")
    return figure


def restriction() -> Figure:
    """A Boltzmann machine with all its couplings, and without the lateral ones."""
    visible, hidden = [f"$v_{k}$" for k in range(1, 5)], [f"$h_{k}$" for k in range(1, 4)]
    place = {name: (k, 0.18 * (k in (1, 2)) * -1) for k, name in enumerate(visible)}
    place |= {name: (k + 0.5, 1 + 0.18 * (k == 1)) for k, name in enumerate(hidden)}
    full = nx.complete_graph(visible + hidden)
    cut = nx.Graph([(v, h) for v in visible for h in hidden])
    figure = Figure(figsize=(6.4, 2.4), layout="constrained")
    for axis, graph, title in zip(
        figure.subplots(1, 2), (full, cut), ("Boltzmann machine", "restricted: two sides"), strict=True
    ):
        draw_graph(axis, graph, place, [ORANGE if name in hidden else BLUE for name in graph])
        axis.set_title(title)
    return figure


def toy_density() -> Figure:
    """Trains the model of examples/toy_density.py: some minutes."""
    sys.path.insert(0, str(HERE.parent.parent / "examples"))
    import toy_density as example

    return example.picture(*example.train(example.STEPS))


FIGURES = [softmax, free_energy, gradient, markov, elimination, restriction, toy_density]


def main(wanted: list[str]) -> None:
    """Draw the figures named, or all."""
    with matplotlib.rc_context(STYLE):
        for draw in FIGURES:
            if not wanted or draw.__name__ in wanted:
                draw().savefig(HERE / f"{draw.__name__}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
