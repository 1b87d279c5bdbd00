"""Greedy layer-wise training, of a deep belief network and towards a deep Boltzmann machine.

The RBMs of a belief network are each trained on features of the one below (Hinton, Osindero & Teh 2006), and
those that pretrain a Boltzmann machine count a layer twice that has two neighbours (Salakhutdinov & Hinton
2009).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harmonium import checks, processes, store
from harmonium.models import RBM, DeepBeliefNetwork, DeepBoltzmannMachine
from harmonium.models.intake import rows_of
from harmonium.random import Address, Purpose, derived_seed
from harmonium.recipes.run.checkpointing import same_settings
from harmonium.recipes.run.history import History
from harmonium.units import Bernoulli, Binomial, Units


@singledispatch
def fit_layers(model: Any, X: Any, fit: Callable[..., History], given: dict[str, Any]) -> History | None:
    """Train a model that is made of several, one after the other; None for any other, to be trained as a
    whole.
    """
    return None


@fit_layers.register(DeepBeliefNetwork)
def _(network: DeepBeliefNetwork, X: Any, fit: Callable[..., History], given: dict[str, Any]) -> History:
    """Train each RBM by `fit` with the settings given, on rows and then on features of them.

    Features are the means of 0/1 units, drawn anew in each epoch, and one draw of any other.

    Returns:
        The history of all runs: each record says of which "layer" it is, counted from 1.

    Raises:
        ValueError: as `hm.fit`; rows have gaps, or what was asked for isn't for several runs.
    """
    unfit = ("state", "objective")  # what several runs one after the other have no use for
    for name in unfit:
        if given[name]:
            raise ValueError(
                f"{name}: expected none for a deep belief network, whose layers have a run each."
            )
    rest = {name: value for name, value in given.items() if name not in (*unfit, "validation", "resume")}
    rows, done = [X, given["validation"]], Done(network, given)
    for k, rbm in enumerate(network.rbms()):
        if k >= done.layers:
            history = fit(rbm, rows[0], validation=rows[1], resume=done.begun(), **rest)
            if k == 0:
                network.columns = rbm.columns
            done.add(history)
        if k + 1 < len(network.machines):
            rows = [x if x is None else _features(rbm, x, derived_seed(given["seed"], k)) for x in rows]
    return done.history()


class Done:
    """The layers that are trained, kept in a file of their own beside the checkpoint, which is that of the
    layer in training. It is dropped before they are written: a run that is killed between trains its layer
    again, to the same end.

    Attributes:
        layers: how many.
    """

    def __init__(self, network: DeepBeliefNetwork, given: dict[str, Any]) -> None:
        self.network, self.layers = network, 0
        self.path = None if given["checkpoint"] is None else Path(given["checkpoint"])
        self.asked = {name: given[name] for name in ("seed", "steps", "minutes")}
        self.facts: dict[str, Any] = {"records": [], "warnings": [], "notes": []}
        self.resume = bool(given["resume"])
        if self.resume and self.path is not None and layers_of(self.path).exists():
            tensors, self.facts = store.load_tensors(layers_of(self.path))
            same_settings(layers_of(self.path), self.facts["asked"], self.asked)
            network.load_state_dict(tensors)
            self.layers = self.facts["layers"]
            network.columns = self.facts["columns"] and tuple(self.facts["columns"])
        elif self.path is not None and processes.first() and not self.resume:
            layers_of(self.path).unlink(missing_ok=True)  # of another run

    def begun(self) -> bool:
        """Whether the next layer goes on from a checkpoint."""
        if not self.resume or self.layers == 0 or self.path is None:
            return self.resume
        return self.path.exists() or store.previous(self.path).exists()

    def add(self, history: History) -> None:
        """Take in the run of a layer."""
        self.layers += 1
        layer = self.layers
        self.facts["records"] += [{**record, "layer": layer} for record in history.records]
        for name in ("warnings", "notes"):
            self.facts[name] += [f"Layer {layer}: {sentence}" for sentence in getattr(history, name)]
        settings = {k: v for k, v in history.settings.items() if isinstance(v, (int, float, str, type(None)))}
        if layer > 1:
            settings["data"] = self.facts["settings"]["data"]  # what the table was taken for, not features
        self.facts |= {"layers": layer, "asked": self.asked, "columns": self.network.columns}
        self.facts |= {"settings": settings, "best_step": history.best_step}
        self.resume = False
        if self.path is None:
            return
        with processes.agreeing():
            if processes.first():
                for path in (self.path, store.previous(self.path)):
                    path.unlink(missing_ok=True)
                store.save_tensors(layers_of(self.path), self.network.state_dict(), self.facts)

    def history(self) -> History:
        """Of all runs, as if they were one."""
        facts = self.facts
        found = History(self.network, settings=facts["settings"], warnings=facts["warnings"])
        found.records[:], found.notes[:] = facts["records"], facts["notes"]
        found.best_step = facts["best_step"]
        return found


def layers_of(checkpoint: Path) -> Path:
    """Where the layers are kept whose training is over.

    >>> layers_of(Path("run/checkpoint.safetensors")).name
    'checkpoint.layers.safetensors'
    """
    return checkpoint.with_name(f"{checkpoint.stem}.layers{checkpoint.suffix}")


@torch.no_grad()
def _features(rbm: RBM, X: Any, seed: int) -> Tensor:
    """Hidden means or states of rows, (rows, hidden width)."""
    rows = rows_of(rbm, X, "X", seed=seed, free=False)
    return torch.cat([_of(rbm, v, k, seed) for k, v in enumerate(rows.pieces())])


def _of(rbm: RBM, v: Tensor, piece: int, seed: int) -> Tensor:
    if rbm.hidden.two_values == (0.0, 1.0):
        return rbm.hidden_given_visible(v)
    return rbm.hidden.sample(rbm.field(1, (v, v[:, :0])), Address(seed, Purpose.POSITIVE, step=piece))


@singledispatch
def pretrain(machine: Any, X: Any, *, seed: int = 0, **settings: Any) -> None:
    """Give a machine of 0/1 layers the weights of RBMs that are trained one after the other, from below.

    A layer between two others gets half of its field from either. So in the RBM of two neighbours a layer
    counts twice where the other one has a second neighbour: two copies of a 0/1 unit with the same weights
    are a binomial unit of two trials. The biases are the means of those that a layer has in its two RBMs,
    which makes its field the mean of both. `hm.fit(machine, X)` then goes on from there, where it would
    otherwise begin with the principal directions of the rows.

    Args:
        machine: a `hm.DeepBoltzmannMachine`, changed in place.
        X: whole rows, as of `hm.fit`.
        seed: of everything random.
        settings: of `hm.fit` for each RBM, such as `steps`.

    Raises:
        TypeError, ValueError: a machine of another kind or with layers that aren't 0/1, or rows with gaps.

    >>> import harmonium as hm
    >>> dbm = hm.DeepBoltzmannMachine(hm.Bernoulli(4), [hm.Bernoulli(3), hm.Bernoulli(2)])
    >>> pretrain(dbm, [[0, 0, 1, 1], [1, 1, 0, 0]] * 20, steps=20)
    >>> bool((dbm.weights[1] != 0).all())
    True
    """
    raise TypeError(f"machine: expected a hm.DeepBoltzmannMachine, got {checks.describe(machine)}.")


@pretrain.register(DeepBoltzmannMachine)
def _(machine: DeepBoltzmannMachine, X: Any, *, seed: int = 0, **settings: Any) -> None:
    from harmonium.recipes.training import fit  # which itself asks whether a model is trained layer by layer

    stack, last = machine.stack, len(machine.weights) - 1
    if not all(type(units) is Bernoulli for units in stack):
        raise TypeError(f"machine: expected 0/1 layers, got {', '.join(type(u).__name__ for u in stack)}.")
    plain = RBM(Bernoulli(stack[0].n), Bernoulli(1))
    x = rows_of(plain, X, "X", seed=seed, free=False).states()
    biases: list[list[Tensor]] = [[] for _ in stack]
    for k, weight in enumerate(machine.weights):
        twice = k < last, k > 0
        below, above = (_counted(units.n, two) for units, two in zip(stack[k : k + 2], twice, strict=True))
        rbm = RBM(below, above, dtype=machine.dtype, device=machine.device, seed=derived_seed(seed, k))
        fit(rbm, x * (1 + twice[0]), seed=seed, **settings)
        with torch.no_grad():
            weight.copy_(rbm.weight)
            mean = rbm.hidden_given_visible(x * (1 + twice[0])) / (1 + twice[1])
        biases[k].append(rbm.visible.bias.detach())
        biases[k + 1].append(rbm.hidden.bias.detach())
        x = Bernoulli(stack[k + 1].n).sample(torch.logit(mean), Address(seed, Purpose.POSITIVE, step=k))
    with torch.no_grad():
        for units, found in zip(stack, biases, strict=True):
            units.bias.copy_(torch.stack(found).mean(0))


def _counted(n: int, twice: bool) -> Units:
    return Binomial(n, trials=2) if twice else Bernoulli(n)
