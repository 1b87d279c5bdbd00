"""A neural energy learns a density in the plane: `python examples/toy_density.py [picture.png]`.

The energy is a small network, declared with the bounds of its two variables and nothing else. `hm.fit`
draws its negative particles by Hamiltonian Monte Carlo; log Z is an integral over the box, so the likelihood
is exact.
"""

import math
import sys

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import harmonium as hm
from harmonium import kernels
from harmonium.random import Address, Purpose

SIDE, STEPS = 3.0, 8000


def spirals(n: int, seed: int = 0) -> Tensor:
    """`n` points on two spirals, blurred, (n, 2)."""
    u = kernels.uniform(Address(seed, Purpose.TRIAL), (n, 4), torch.float64)
    angle = 3.0 * math.pi * torch.sqrt(u[:, 0]) + 0.5
    arm = torch.where(u[:, 1] < 0.5, 1.0, -1.0) * angle / (3.0 * math.pi) * 2.4
    blur = 0.08 * torch.special.ndtri(u[:, 2:])
    return (torch.stack([arm * torch.cos(angle), arm * torch.sin(angle)], 1) + blur).float()


class Neural(hm.EnergyModel):
    """E(x) is a network of two hidden layers."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(bounds=[(-SIDE, SIDE), (-SIDE, SIDE)])
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        for k, p in enumerate(self.net.parameters()):  # addressed: the same weights everywhere
            u = kernels.uniform(Address(0, Purpose.WEIGHTS, step=k), (1, p.numel()), torch.float64)
            scale = 1.0 if p.ndim == 1 else 2.0 / p.shape[1] ** 0.5
            p.data = (scale * torch.special.ndtri(u)).reshape(p.shape).float()

    def energy(self, x: Tensor) -> Tensor:
        """(batch, 2) to (batch,)."""
        return self.net(x).squeeze(1)


def train(steps: int) -> tuple[Neural, Tensor]:
    """The trained model and its data."""
    data, model = spirals(4000), Neural()
    hm.fit(model, data, steps=steps, learning_rate=5e-3, progress=sys.stderr.isatty())
    return model, data


def picture(model: Neural, data: Tensor) -> Figure:
    """Data, learned density and samples, side by side."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    samples = hm.sample(model, 2000, seed=1)
    grid = torch.linspace(-SIDE, SIDE, 240)
    points = torch.cartesian_prod(grid, grid)
    with torch.no_grad():
        log_p = -model.energy(points).reshape(240, 240).T - float(model.closed_form_log_partition() or 0.0)
    axes[1].imshow(torch.exp(log_p), origin="lower", extent=(-SIDE, SIDE, -SIDE, SIDE), cmap="viridis")
    for axis, x, title in ((axes[0], data[:2000], "data"), (axes[2], samples, "samples by HMC")):
        axis.scatter(x[:, 0], x[:, 1], s=1.5, color="#1f4e79", linewidths=0)
        axis.set_title(title)
    axes[1].set_title("exp(-E) / Z")
    for axis in axes:
        axis.set(xticks=[], yticks=[], aspect="equal", xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE))
    return figure


def main() -> None:
    """Train, say how well, draw."""
    model, data = train(STEPS)
    held_out = spirals(4000, seed=1)
    print("mean log P of new points:", hm.log_likelihood(model, held_out))
    print("uniform density:", -2.0 * math.log(2.0 * SIDE))
    picture(model, data).savefig(sys.argv[1] if len(sys.argv) > 1 else "toy_density.png", dpi=150)


if __name__ == "__main__":
    main()
