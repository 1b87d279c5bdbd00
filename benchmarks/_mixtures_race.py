"""A continuous mixture of Chow-Liu trees: DATA OUT SECONDS SETTINGS -> mean log P of train, valid, test rows.

P(x) = E P(x | tree(z)) with z normal: one tree over the columns, whose conditional logits a network makes of
z (Correia, Gala, Quaeghebeur, de Campos and Peharz, "Continuous mixtures of tractable probabilistic models",
AAAI 2023). The network learns with the expectation over shifted Sobol points, drawn anew for each step. Then
it is kept and a fixed set of points is fitted (latent optimisation): a finite mixture, whose log P is exact.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from torch import nn
from torch.nn.functional import softplus

PARTS = ("train", "valid", "test")
CHECKS = 20  # looks at the validation rows in each stage
DECAY = 1e-5


def chow_liu(rows, smoothing: float = 0.01):
    """Each column's parent in the tree of greatest mutual information; the first, the root, is its own."""
    n = len(rows) + 4 * smoothing
    both = rows.T @ rows + smoothing
    one = rows.sum(0) + 2 * smoothing
    joint = torch.stack([both, one[:, None] - both, one - both, n - one[:, None] - one + both]) / n
    apart = torch.stack([torch.outer(a, b) for a in (one / n, 1 - one / n) for b in (one / n, 1 - one / n)])
    information = (joint * (joint / apart).log()).sum(0)
    # an edge of weight 0 would be none
    tree = minimum_spanning_tree(-(information.clamp(min=0) + 1).triu(1).numpy())
    parent = breadth_first_order(tree, 0, directed=False)[1]
    return torch.from_numpy(np.where(parent < 0, 0, parent)).long()


def features(rows, parent):
    """What log P(x | tree) is linear in: x of each column, and x times that of the parent."""
    return torch.cat([rows, rows * rows[:, parent]], 1)


def log_components(seen, logits, parent):
    """Log P(x | tree) of each row and point, (rows, points), from features and logits (points, 2, columns).

    logits[:, 0] are those of x = 1 where the parent is 0, logits[:, 1] where it is 1. The root has the first.
    log P(x | y) = x a + x y (b - a) - softplus(a) - y (softplus(b) - softplus(a)).
    """
    low, high = logits.unbind(1)
    high = torch.cat([low[:, :1], high[:, 1:]], 1)
    normaliser = softplus(low)
    linear = low.index_add(1, parent, normaliser - softplus(high))
    return torch.addmm(-normaliser.sum(1), seen, torch.cat([linear, high - low], 1).T)


def log_probability(seen, logits, parent):
    """Log P of each row under the mixture, in which all points weigh the same."""
    return log_components(seen, logits, parent).logsumexp(1) - math.log(len(logits))


def mean_log_probability(seen, logits, parent, piece: int = 1024) -> float:
    """Nats per row, in double precision."""
    with torch.no_grad():
        logits = logits.double()
        return sum(float(log_probability(x.double(), logits, parent).sum()) for x in seen.split(piece)) / len(
            seen
        )


def decoder(latent: int, out: int, layers: int) -> nn.Sequential:
    """From z to the logits, with widths that grow evenly."""
    widths = [latent + (out - latent) * k // layers for k in range(layers + 1)]
    parts: list[nn.Module] = []
    for narrow, wide in zip(widths[:-2], widths[1:-1], strict=True):
        parts += [nn.Linear(narrow, wide), nn.LeakyReLU(), nn.BatchNorm1d(wide)]
    return nn.Sequential(*parts, nn.Linear(*widths[-2:]))


class Mixture(nn.Module):
    """The trees' logits at the points z, or at points drawn anew."""

    def __init__(self, columns: int, settings: dict):
        super().__init__()
        latent = settings["latent"]
        sobol = torch.quasirandom.SobolEngine(latent, scramble=True, seed=settings["seed"])
        self.grid = sobol.draw(settings["points"])
        self.z = nn.Parameter(self._normal(self.grid))
        self.decoder = decoder(latent, 2 * columns, settings["layers"])

    def forward(self, drawn: bool):
        z = self._normal((self.grid + torch.rand(self.grid.shape[1])) % 1) if drawn else self.z
        return self.decoder(z).unflatten(1, (2, -1))

    @staticmethod
    def _normal(uniform):
        return torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))


def climb(model, x: dict, parent, span: tuple, settings: dict) -> int:
    """Adam on batches of rows within a span of processor time, chosen by the validation rows; its steps.

    Until `z` needs gradients the network learns, with points drawn anew; then z does.
    """
    fitted = model.z.requires_grad
    model.train(not fitted)
    rate = settings["point_rate" if fitted else "rate"]
    optimiser = torch.optim.Adam(
        [model.z] if fitted else model.decoder.parameters(), lr=rate, weight_decay=DECAY
    )
    start, end = span
    best, found, steps, looks = -math.inf, {}, 0, 0
    over = False
    while not over:
        for rows in x["train"][torch.randperm(len(x["train"]))].split(settings["batch"]):
            done = (time.process_time() - start) / (end - start)
            over = done >= 1
            if over or done >= looks / CHECKS:
                looks += 1
                model.eval()
                value = mean_log_probability(x["valid"], model(drawn=False), parent)
                model.train(not fitted)
                if value > best:
                    best, found = value, {k: p.clone() for k, p in model.state_dict().items()}
            if over:
                break
            for group in optimiser.param_groups:  # half constant, half falling
                group["lr"] = rate * min(1.0, max(0.02, 2 - 2 * done))
            optimiser.zero_grad()
            (-log_probability(rows, model(drawn=not fitted), parent).mean()).backward()
            optimiser.step()
            steps += 1
    model.load_state_dict(found)
    model.eval()
    return steps


def train(rows: dict, seconds: float, settings: dict) -> dict:
    """Both stages, and what is reached."""
    parent = chow_liu(rows["train"])
    x = {part: features(rows[part], parent) for part in PARTS}
    model = Mixture(rows["train"].shape[1], settings)
    start = time.process_time()
    turn = seconds - settings["share"] * (seconds - start)
    model.z.requires_grad_(False)
    steps = climb(model, x, parent, (start, turn), settings)
    model.z.requires_grad_(True)
    model.decoder.requires_grad_(False)
    before = mean_log_probability(x["valid"], model(drawn=False), parent)
    steps += climb(model, x, parent, (turn, seconds), settings)
    found = {part: mean_log_probability(x[part], model(drawn=False), parent) for part in PARTS}
    return found | {"steps": steps, "valid before the points were fitted": before}


def main(file: str, out: str, seconds: float, settings: dict) -> None:
    """Train and measure on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    with np.load(file) as data:
        rows = {part: torch.from_numpy(data[part]).float() for part in PARTS}
    found = train(rows, seconds, settings)
    with open(out, "w", encoding="utf-8") as kept:
        json.dump(found | {"cpu_seconds": time.process_time()}, kept)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4]))
